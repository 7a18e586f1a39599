// Feed-forward modules without routing: the dense network of a layer, and what shared experts have in common with it.
#include "sim/workload/feed_forward.h"

#include "sim/workload/apart.h"

namespace trillion {

namespace {

MemoryKernel activation_kernel(const Model& m) { return m.activation == Activation::swiglu ? MemoryKernel::swiglu : MemoryKernel::gelu; }

MemoryKernel activation_backward_kernel(const Model& m) {
  return m.activation == Activation::swiglu ? MemoryKernel::swiglu_backward : MemoryKernel::gelu_backward;
}

}  // namespace

std::int64_t up_factor(const Model& model) { return model.activation == Activation::swiglu ? 2 : 1; }

namespace {

double values(const FeedForward& f) { return static_cast<double>(f.rows) * static_cast<double>(f.width); }

Operation routed(Operation op, const FeedForward& f) {
  op.scale = f.scale;
  return op;
}

}  // namespace

Operation activation_forward(const FeedForward& f, const BlockContext& c, Bytes activated_per_element) {
  return routed(memory_operation(f.name + " activation", Category::norm_and_elementwise, activation_kernel(c.model),
                                 Bytes{2.0 * static_cast<double>(up_factor(c.model)) * values(f)}, activated_per_element * values(f)),
                f);
}

Operation activation_backward(const FeedForward& f, const BlockContext& c, Bytes also_written_per_element) {
  const double up = static_cast<double>(up_factor(c.model));
  return routed(memory_operation(f.name + " activation backward", Category::norm_and_elementwise, activation_backward_kernel(c.model),
                                 Bytes{(2 * up + 2) * values(f)}, (Bytes{2 * up} + also_written_per_element) * values(f)),
                f);
}

bool runs_again(const FeedForward& f, const BlockContext& c) {
  using enum RecomputeModule;
  return c.plan.recomputes(f.module) || (f.module == shared_experts && c.plan.recomputes(moe));
}

bool activation_again(const FeedForward& f, const BlockContext& c) {
  using enum RecomputeModule;
  return !runs_again(f, c) && (c.plan.recomputes(activation) || (f.module == moe && c.plan.recomputes(moe_activation)));
}

bool keeps_input_in_fp8(const FeedForward& f, const BlockContext& c) { return Sizes(c).fp8() && activation_again(f, c); }

Operation keep_input(const FeedForward& f, const BlockContext& c) {
  return routed(cast_operation(f.name + " keep activation input", static_cast<double>(up_factor(c.model)) * values(f)), f);
}

Operation restore_input(const FeedForward& f, const BlockContext& c) {
  const double n = static_cast<double>(up_factor(c.model)) * values(f);
  return routed(memory_operation(f.name + " restore activation input", Category::cast_and_quantize, MemoryKernel::cast_bf16,
                                 Bytes{kFp8Bytes * n}, Bytes{2 * n}),
                f);
}

Operation output_again_as_operand(const FeedForward& f, const BlockContext& c) {
  const double up = static_cast<double>(up_factor(c.model));
  return routed(memory_operation(f.name + " activation again for wgrad", Category::recompute, MemoryKernel::cast_fp8_transpose,
                                 Bytes{2 * up * values(f)}, Bytes{kFp8Bytes * values(f)}),
                f);
}

void add_saved_activation(Passes& p, const FeedForward& f, const BlockContext& c) {
  if (runs_again(f, c)) return;
  const double up = static_cast<double>(up_factor(c.model));
  p.saved.push_back({f.name + " activation input", Bytes{(keeps_input_in_fp8(f, c) ? kFp8Bytes : 2) * up * values(f)}, f.scale});
  if (!activation_again(f, c))
    p.saved.push_back({f.name + " activation output", Bytes{(Sizes(c).fp8() ? kFp8Bytes : 2) * values(f)}, f.scale});
}

Passes dense_feed_forward(const BlockContext& c) {
  const Sizes s(c);
  const std::int64_t width = c.model.intermediate_size / s.tensor;
  Linear up{"ffn up", s.tokens, s.hidden, up_factor(c.model) * width, Category::dense_ffn, s.linear_type};
  Linear down{"ffn down", s.tokens, width, s.hidden, Category::dense_ffn, s.linear_type};
  up.own_input = down.own_gradient = s.shard();
  const FeedForward f{"ffn", s.tokens, width, LoadScale::none, RecomputeModule::mlp};
  const bool norm_runs_again = c.plan.recomputes(RecomputeModule::norm);

  Passes p;
  add_norm(p, c, "ffn norm", c.fuses_residual_with_norm);
  const Operations norm_backward = p.backward;
  p.backward.clear();
  const auto inside = static_cast<std::ptrdiff_t>(p.forward.size());
  const EntryBackward entry = add_tensor_entry(p, c, "ffn", s.linear_type);

  // In FP8 the activation kernel quantises what it writes, unless the scale waits for the largest value of it.
  const ActivationPieces pieces = activation_pieces(c, f.name, values(f));
  const bool quantises = s.fp8() && !c.runs_apart(UnfusedPart::maximum) && pieces.forward.empty();
  const Operand activated = quantises ? Operand::quantised : Operand::bf16;
  add_forward(p.forward, up);
  append(p.forward, pieces.forward.empty() ? Operations{activation_forward(f, c, Bytes{quantises ? kFp8Bytes : 2})} : pieces.forward);
  add_forward(p.forward, down, activated);
  if (keeps_input_in_fp8(f, c)) p.forward.push_back(keep_input(f, c));
  add_tensor_exit(p, c, "ffn", s.linear_type);
  if (runs_again(f, c)) {
    if (norm_runs_again) p.recompute.push_back(norm_again(c, "ffn norm"));
    const Operations network = again({p.forward.begin() + inside, p.forward.end()});
    p.recompute.insert(p.recompute.end(), network.begin(), network.end());
  }
  add_residual(p, c, "ffn");

  add_input_gradient(p.backward, down);
  if (keeps_input_in_fp8(f, c)) p.backward.push_back(restore_input(f, c));
  const bool again_in_bf16 = activation_again(f, c) && !s.fp8();
  append(p.backward, pieces.backward.empty() ? Operations{activation_backward(f, c, Bytes{again_in_bf16 ? 2.0 : 0.0})} : pieces.backward);
  if (norm_runs_again && !runs_again(f, c)) p.backward.push_back(norm_backward.front());
  p.backward.insert(p.backward.end(), entry.before.begin(), entry.before.end());
  add_input_gradient(p.backward, up);
  p.backward.insert(p.backward.end(), entry.after.begin(), entry.after.end());
  add_norm_backward(p.backward, c, norm_backward.back());

  for (const Linear& l : {down, up}) {
    add_weight_operands(p.weight, l);
    add_weight_gradient(p.weight, c, l);
  }
  if (c.model.mlp_bias) {
    add_bias_sum(p.weight, c, down.name, s.residual(), s.residual_tokens);
    add_bias_sum(p.weight, c, up.name, s.bf16(up.out), s.tokens);
  }
  add_saved_activation(p, f, c);
  return p;
}

}  // namespace trillion
