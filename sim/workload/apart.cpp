#include "sim/workload/apart.h"

namespace trillion {

namespace {

constexpr auto kPart = Category::norm_and_elementwise;

}  // namespace

void add_bias_sum(Operations& weight, const BlockContext& c, const std::string& name, Bytes gradient, std::int64_t rows) {
  if (c.runs_apart(UnfusedPart::bias))
    weight.push_back({name + " bias gradient", kPart, Lane::compute, MemoryBound{MemoryKernel::column_sum, gradient, Bytes{}, rows}});
}

void add_norm_backward(Operations& ops, const BlockContext& c, const Operation& norm) {
  ops.push_back(norm);
  if (!c.runs_apart(UnfusedPart::gradient_sums)) return;
  const Bytes residual = Sizes(c).residual();
  std::get<MemoryBound>(ops.back().what).read = 2 * residual;
  ops.push_back(memory_operation(norm.label + ": sum of gradients", kPart, MemoryKernel::add, 2 * residual, residual));
}

void add_weight_gradient(Operations& ops, const BlockContext& c, const Linear& linear) {
  Linear l = linear;
  const bool apart = c.runs_apart(UnfusedPart::accumulation);
  l.fp32_gradient = l.fp32_gradient && !apart;
  add_weight_gradient(ops, l);
  if (!apart || c.micro_batches == 1) return;
  const double weights = static_cast<double>(l.in) * static_cast<double>(l.out);
  const double gradient = static_cast<double>(c.training.optimizer_state.gradient_bytes);
  ops.push_back(memory_operation(l.name + " accumulate", l.category, MemoryKernel::gradient_accumulate, Bytes{(2 + gradient) * weights},
                                 Bytes{gradient * weights}));
}

Layouts layouts(const BlockContext& c, Bytes q, Bytes kv) {
  if (!c.runs_apart(UnfusedPart::layouts)) return {};
  const auto copy = [](const char* label, Bytes bytes) { return memory_operation(label, kPart, MemoryKernel::copy, bytes, bytes); };
  Layouts l;
  if (c.runs_apart(UnfusedPart::attention)) {
    l.after = {copy("attention output to rows", q)};
  } else if (c.model.position_encoding == PositionEncoding::rope) {
    if (c.model.num_key_value_heads < c.model.num_attention_heads) l.before.push_back(copy("queries out of their groups", q));
    l.before.push_back(copy("values together", kv));
  } else {
    return {};
  }
  l.backward = {copy("join gradients of queries, keys, values", q + 2 * kv)};
  return l;
}

ActivationPieces activation_pieces(const BlockContext& c, const std::string& name, double values) {
  if (!c.runs_apart(UnfusedPart::squared_relu) || c.model.activation != Activation::squared_relu) return {};
  const auto piece = [&](const char* what, double reads) {
    return memory_operation(name + " " + what, kPart, MemoryKernel::torch_mul, Bytes{2 * reads * values}, Bytes{2 * values});
  };
  return {{piece("relu", 1), piece("square", 1)},
          {piece("square backward: power", 1), piece("square backward: twice", 1), piece("square backward: gradient", 2),
           piece("relu backward", 2)}};
}

}  // namespace trillion
