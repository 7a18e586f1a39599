// The two ends of the model: embedding, output head with loss, and the entry of a multi-token-prediction module.
#include "sim/workload/apart.h"

namespace trillion {

Passes embedding(const BlockContext& c) {
  const Sizes s(c);
  constexpr auto kPart = Category::embedding_and_head;
  Passes p;
  // A rank with a part of the vocabulary looks all tokens up, finds its own, and the parts are added up.
  const Bytes rows = s.bf16(s.hidden);
  p.forward.push_back(memory_operation("embedding", kPart, MemoryKernel::embedding, rows, rows));
  add_tensor_exit(p, c, "embedding", DType::bf16);
  // The gradient rows are added to the FP32 gradient of the table.
  p.weight.push_back(memory_operation("embedding backward", kPart, MemoryKernel::embedding_backward, 3 * rows, 2 * rows));
  return p;
}

namespace {

Operation of_loss(const char* label, MemoryKernel kernel, Bytes read, Bytes written) {
  Operation op = memory_operation(label, Category::embedding_and_head, kernel, read, written);
  op.in_place = true;
  return op;
}

// One kernel reads the logits twice (maximum, then sum) and leaves their gradient in their place.
void add_fused_loss(Passes& p, Bytes logits) {
  p.forward.push_back(of_loss("cross entropy", MemoryKernel::cross_entropy, 2 * logits, logits));
  p.backward.push_back(of_loss("cross entropy backward", MemoryKernel::cross_entropy_backward, logits, logits));
  p.saved.push_back({"logits", logits});
}

// Megatron-LM's vocab_parallel_cross_entropy: everything in FP32, in place, the softmax is what stays. Each rank holds a part of the
// vocabulary: maximum, the target's logit and the sum are reduced over the ranks.
void add_unfused_loss(Passes& p, const BlockContext& c, Bytes logits) {
  const Bytes wide = 2 * logits;
  const auto over_ranks = [&](const char* label) {
    if (c.plan.tensor_parallel == 1) return;
    p.forward.push_back({label, Category::tensor_parallel, Lane::tensor,
                         Collective{.kind = CollectiveKind::all_reduce,
                                    .bytes = Bytes{4.0 * static_cast<double>(Sizes(c).tokens)},
                                    .ranks = c.tensor.size,
                                    .ranks_per_node = c.tensor.ranks_per_node,
                                    .scale_up_bytes = {}}});
  };
  p.forward.push_back(of_loss("logits to FP32", MemoryKernel::copy, logits, wide));
  p.forward.push_back(of_loss("largest logit", MemoryKernel::cross_entropy, wide, Bytes{}));
  over_ranks("largest logit over ranks");
  p.forward.push_back(of_loss("subtract largest logit", MemoryKernel::copy, wide, wide));
  over_ranks("target's logit over ranks");
  p.forward.push_back(of_loss("exponential", MemoryKernel::copy, wide, wide));
  p.forward.push_back(of_loss("sum of exponentials", MemoryKernel::cross_entropy, wide, Bytes{}));
  over_ranks("sum of exponentials over ranks");
  p.forward.push_back(of_loss("divide by sum", MemoryKernel::copy, wide, wide));
  p.backward.push_back(of_loss("cross entropy backward", MemoryKernel::copy, wide, wide));
  p.backward.push_back(of_loss("gradient to BF16", MemoryKernel::copy, wide, logits));
  p.backward.back().in_place = false;
  p.saved.push_back({"softmax in FP32", wide});
}

}  // namespace

Passes output_head(const BlockContext& c) {
  const Sizes s(c);
  // Kept in BF16 by the FP8 recipes in use (DeepSeek-V3 report, section 3.3.1; Transformer Engine's default).
  const Linear projection{"head", s.tokens, s.hidden, s.vocabulary, Category::embedding_and_head, DType::bf16};
  const Bytes logits = s.bf16(s.vocabulary);
  Passes p;
  add_norm(p, c, "final norm");
  const Operations norm_backward = p.backward;
  p.backward.clear();
  const EntryBackward entry = add_tensor_entry(p, c, "head", DType::bf16);
  add_forward(p.forward, projection);
  if (c.runs_apart(UnfusedPart::cross_entropy)) {
    add_unfused_loss(p, c, logits);
  } else {
    add_fused_loss(p, logits);
  }
  if (c.plan.recomputes(RecomputeModule::norm)) p.backward.push_back(norm_backward.front());
  p.backward.insert(p.backward.end(), entry.before.begin(), entry.before.end());
  add_input_gradient(p.backward, projection);
  p.backward.insert(p.backward.end(), entry.after.begin(), entry.after.end());
  p.backward.push_back(norm_backward.back());
  add_weight_gradient(p.weight, c, projection);
  return p;
}

Passes mtp_projection(const BlockContext& c) {
  const Sizes s(c);
  const Linear projection{"mtp projection", s.tokens, 2 * s.hidden, s.hidden, Category::embedding_and_head, s.linear_type};
  Passes p;
  p.forward.push_back(memory_operation("mtp embedding", Category::embedding_and_head, MemoryKernel::embedding, s.residual(), s.residual()));
  Passes norms;
  add_norm(norms, c, "mtp hidden norm");
  add_norm(norms, c, "mtp embedding norm");
  p.forward.insert(p.forward.end(), norms.forward.begin(), norms.forward.end());
  add_forward(p.forward, projection);
  add_input_gradient(p.backward, projection);
  p.backward.insert(p.backward.end(), norms.backward.begin(), norms.backward.end());
  add_weight_operands(p.weight, projection);
  add_weight_gradient(p.weight, c, projection);
  p.saved = norms.saved;
  return p;
}

}  // namespace trillion
