// The two ends of the model: embedding, output head with loss, and the entry of a multi-token-prediction module.
#include "sim/workload/passes.h"

namespace trillion {

Passes embedding(const BlockContext& c) {
  const Sizes s(c);
  constexpr auto kPart = Category::embedding_and_head;
  Passes p;
  // A rank with a part of the vocabulary looks all tokens up, finds its own, and the parts are added up.
  const Bytes rows = s.bf16(s.hidden);
  p.forward.push_back(memory_operation("embedding", kPart, MemoryKernel::embedding, rows, rows));
  add_tensor_exit(p, c, "embedding");
  // The gradient rows are added to the FP32 gradient of the table.
  p.weight.push_back(memory_operation("embedding backward", kPart, MemoryKernel::embedding_backward, 3 * rows, 2 * rows));
  return p;
}

Passes output_head(const BlockContext& c) {
  const Sizes s(c);
  // Rows that do not divide are padded, as Megatron-LM pads them.
  const std::int64_t vocabulary = (c.model.vocab_size + s.tensor - 1) / s.tensor;
  // Kept in BF16 by the FP8 recipes in use (DeepSeek-V3 report, section 3.3.1; Transformer Engine's default).
  const Linear projection{"head", s.tokens, s.hidden, vocabulary, Category::embedding_and_head, DType::bf16};
  const Bytes logits = s.bf16(vocabulary);
  Passes p;
  add_norm(p, c, "final norm");
  const Operations norm_backward = p.backward;
  p.backward.clear();
  const EntryBackward entry = add_tensor_entry(p, c, "head");
  add_forward(p.forward, projection);
  // The loss reads the logits twice (maximum, then sum) and leaves their gradient in their place.
  p.forward.push_back(memory_operation("cross entropy", Category::embedding_and_head, MemoryKernel::cross_entropy, 2 * logits, logits));
  p.backward.push_back(
      memory_operation("cross entropy backward", Category::embedding_and_head, MemoryKernel::cross_entropy_backward, logits, logits));
  if (c.plan.recomputes(RecomputeModule::norm)) p.backward.push_back(norm_backward.front());
  p.backward.insert(p.backward.end(), entry.before.begin(), entry.before.end());
  add_input_gradient(p.backward, projection);
  p.backward.insert(p.backward.end(), entry.after.begin(), entry.after.end());
  p.backward.push_back(norm_backward.back());
  add_weight_gradient(p.weight, projection);
  p.saved.push_back({"logits", logits});
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
  add_weight_gradient(p.weight, projection);
  p.saved = norms.saved;
  return p;
}

}  // namespace trillion
