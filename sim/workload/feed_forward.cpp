// Feed-forward modules without routing: the dense network of a layer, and what shared experts have in common with it.
#include "sim/workload/feed_forward.h"

namespace trillion {

namespace {

MemoryKernel activation_kernel(const Model& m) { return m.activation == Activation::swiglu ? MemoryKernel::swiglu : MemoryKernel::gelu; }

MemoryKernel activation_backward_kernel(const Model& m) {
  return m.activation == Activation::swiglu ? MemoryKernel::swiglu_backward : MemoryKernel::gelu_backward;
}

}  // namespace

std::int64_t up_factor(const Model& model) { return model.activation == Activation::swiglu ? 2 : 1; }

Operation activation_forward(const FeedForward& f, const BlockContext& c, Bytes activated_per_element) {
  const Sizes s(c);
  const double elements = static_cast<double>(f.rows) * static_cast<double>(f.width);
  return memory_operation(f.name + " activation", Category::norm_and_elementwise, activation_kernel(c.model),
                          Bytes{2.0 * static_cast<double>(up_factor(c.model)) * elements}, activated_per_element * elements);
}

Operation activation_backward(const FeedForward& f, const BlockContext& c) {
  const Sizes s(c);
  const double up = static_cast<double>(up_factor(c.model));
  const double elements = static_cast<double>(f.rows) * static_cast<double>(f.width);
  const bool again = c.plan.recomputes(RecomputeModule::activation);
  // Reads the saved input (FP8 where the recipe caches it so) and the output's gradient; writes the input's gradient and, where the
  // output was dropped, the output again.
  const double saved_bytes = s.fp8() && again ? 1 : 2;
  return memory_operation(f.name + " activation backward", Category::norm_and_elementwise, activation_backward_kernel(c.model),
                          Bytes{(saved_bytes * up + 2) * elements}, Bytes{(2 * up + (again ? 2 : 0)) * elements});
}

void add_saved_activation(Passes& p, const FeedForward& f, const BlockContext& c) {
  const Sizes s(c);
  const double elements = static_cast<double>(f.rows) * static_cast<double>(f.width);
  const bool again = c.plan.recomputes(RecomputeModule::activation);
  const double up = static_cast<double>(up_factor(c.model));
  p.saved.push_back({f.name + " activation input", Bytes{(s.fp8() && again ? 1.03125 : 2) * up * elements}, f.scale});
  if (!again) p.saved.push_back({f.name + " activation output", Bytes{(s.fp8() ? 1.03125 : 2) * elements}, f.scale});
}

Passes dense_feed_forward(const BlockContext& c) {
  const Sizes s(c);
  const std::int64_t width = c.model.intermediate_size / s.tensor;
  const Linear up{"ffn up", s.tokens, s.hidden, up_factor(c.model) * width, Category::dense_ffn, s.linear_type};
  const Linear down{"ffn down", s.tokens, width, s.hidden, Category::dense_ffn, s.linear_type};
  const FeedForward f{"ffn", s.tokens, width, LoadScale::none};

  Passes p;
  add_norm(p, c, "ffn norm");
  const Operations norm_backward = p.backward;
  p.backward.clear();
  add_tensor_entry(p, c, "ffn");
  const Operations entry_backward = p.backward;
  p.backward.clear();

  add_forward(p.forward, up);
  p.forward.push_back(activation_forward(f, c, s.fp8() ? Bytes{1.03125} : Bytes{2}));
  if (s.fp8()) {
    add_forward_of_quantised(p.forward, down);  // the activation kernel quantises what it writes
  } else {
    add_forward(p.forward, down);
  }
  add_tensor_exit(p, c, "ffn");
  p.forward.push_back(memory_operation("ffn residual", Category::norm_and_elementwise, MemoryKernel::add, 2 * s.residual(), s.residual()));

  add_input_gradient(p.backward, down);
  p.backward.push_back(activation_backward(f, c));
  if (c.plan.recomputes(RecomputeModule::norm)) p.backward.push_back(norm_backward.front());
  add_input_gradient(p.backward, up);
  p.backward.insert(p.backward.end(), entry_backward.begin(), entry_backward.end());
  p.backward.push_back(norm_backward.back());

  for (const Linear& l : {down, up}) {
    add_weight_operands(p.weight, l);
    add_weight_gradient(p.weight, l);
  }
  add_saved_activation(p, f, c);
  return p;
}

}  // namespace trillion
