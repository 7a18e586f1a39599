// The two ends of a model in PyTorch: embedding, and output projection with the loss.
#include <string>
#include <utility>

#include "sim/workload/torch_kernels.h"

namespace trillion {

Passes torch_embedding(const BlockContext& c) {
  const TorchSizes t(c);
  const double table = static_cast<double>(c.model.vocab_size) * static_cast<double>(t.s.hidden) / static_cast<double>(t.s.tensor);
  Passes p;
  Operation look_up = torch_kernel("embedding", MemoryKernel::torch_embedding, t.wide * t.residual, t.wide * t.residual);
  // The gradient of the whole table is written, zeros included.
  Operation backward = torch_kernel("embedding backward", MemoryKernel::torch_embedding_backward, t.wide * t.residual, t.wide * table);
  look_up.category = backward.category = Category::embedding_and_head;
  p.forward.push_back(look_up);
  p.weight.push_back(backward);
  const bool tied = c.model.tie_word_embeddings && c.plan.pipeline_parallel == 1;
  p.transient = Bytes{(tied || t.micro_batches > 1 ? t.wide : 0.0) * table};  // in one graph: workload/block_memory.cpp
  const double meetings = tied ? 1 : 1 - 1 / t.micro_batches;
  if (meetings > 0) {
    p.weight.push_back(
        torch_kernel("embedding accumulate", MemoryKernel::torch_accumulate, 2 * t.wide * table * meetings, t.wide * table * meetings));
  }
  return p;
}

namespace {

// Bytes a logit that the loss's backward pass holds beside what is saved. Compiled on its own: the logits' gradients. Else those of the
// log-probabilities and of the FP32 logits. Over several ranks: a softmax that becomes its gradient in place, and that in BF16
// (calibration/steps/parallel_layers.py); not so DTensor's loss_parallel, whose (one_hot + exp(x)) * gradient holds three tensors in FP32
// (torch/distributed/tensor/parallel/loss.py, _nll_loss_and_log_softmax_backward).
double loss_transient_bytes(const BlockContext& c) {
  if (is_loss_compiled(c)) return 2;
  return c.plan.tensor_parallel == 1 ? 8 : c.runs_apart(UnfusedPart::cross_entropy) ? 12 : 2;
}

}  // namespace

Passes torch_head(const BlockContext& c) {
  const TorchSizes t(c);
  const bool compiled = is_loss_compiled(c);
  const double logits = static_cast<double>(t.s.tokens) * static_cast<double>(t.s.vocabulary);
  Passes norm, entry, projection;
  add_torch_norm(norm, t, "final norm", 1);
  const EntryBackward entry_back = add_tensor_entry(entry, c, "head", DType::bf16);
  add_torch_linear(projection, c, {"head", t.s.tokens, t.s.hidden, t.s.vocabulary, Category::embedding_and_head, DType::bf16});
  const auto loss = [&](const char* label, MemoryKernel kernel, double read, double written) {
    return memory_operation(label, Category::embedding_and_head, kernel, Bytes{read * logits}, Bytes{written * logits});
  };
  Passes p;
  Passes casts;
  add_input_casts(casts, c, t, {"head"});
  append(p.forward, norm.forward);
  append(p.forward, entry.forward);
  append(p.forward, casts.forward);
  append(p.forward, projection.forward);
  if (compiled) {
    p.forward.push_back(loss("cross entropy", MemoryKernel::cross_entropy, 2, 0));
    p.backward.push_back(loss("cross entropy backward", MemoryKernel::cross_entropy_backward, 2, 2));
  } else {
    p.forward.push_back(loss("logits to FP32", MemoryKernel::torch_cast_fp32, 2, 4));
    p.forward.push_back(loss("cross entropy", MemoryKernel::torch_cross_entropy, 4, 4));
    p.backward.push_back(loss("cross entropy backward", MemoryKernel::torch_cross_entropy_backward, 4, 4));
    p.backward.push_back(loss("logit gradients to BF16", MemoryKernel::torch_cast_bf16, 4, 2));
  }
  append(p.backward, projection.backward);
  append(p.backward, casts.backward);
  append(p.backward, entry_back.after);
  append(p.backward, norm.backward);
  append(p.weight, projection.weight);
  if (!t.one_graph) p.transient = Bytes{loss_transient_bytes(c) * logits};
  p.saved = norm.saved;
  p.saved.insert(p.saved.end(), projection.saved.begin(), projection.saved.end());
  p.saved.push_back({compiled ? "logits" : "log-probabilities", Bytes{(compiled ? 2 : 4) * logits}});
  return p;
}

}  // namespace trillion
