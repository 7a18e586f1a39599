#include "sim/workload/unfused_attention.h"

#include <string>

#include "sim/workload/passes.h"

namespace trillion {

namespace {

// The score matrices of all heads of a micro-batch on one rank.
struct Scores {
  explicit Scores(const BlockContext& c)
      : heads(Sizes(c).sequences * (c.model.num_attention_heads / c.plan.tensor_parallel)),
        queries(c.training.sequence_length),
        keys(c.training.sequence_length),
        dim(c.model.mla ? c.model.mla->qk_nope_head_dim + c.model.mla->qk_rope_head_dim : c.model.head_dim),
        value_dim(c.model.mla ? c.model.mla->v_head_dim : dim),
        values(static_cast<double>(heads) * static_cast<double>(queries) * static_cast<double>(keys)) {}

  std::int64_t heads, queries, keys, dim, value_dim;
  double values;
};

Operation product(const std::string& label, Gemm gemm) { return {label, Category::attention, Lane::compute, gemm}; }

// Rows of queries against keys: dot products over the head's channels.
Operation of_queries_and_keys(const std::string& label, const Scores& s, std::int64_t dim) {
  return product(label, {.dtype = DType::bf16, .m = s.heads * s.queries, .n = s.keys, .k = dim, .layout = GemmLayout::forward});
}

// Rows of queries: sums over the keys.
Operation over_keys(const std::string& label, const Scores& s, std::int64_t dim) {
  return product(label, {.dtype = DType::bf16, .m = s.heads * s.queries, .n = dim, .k = s.keys, .layout = GemmLayout::input_gradient});
}

// Rows of keys: sums over the queries.
Operation over_queries(const std::string& label, const Scores& s, std::int64_t dim) {
  return product(label, {.dtype = DType::bf16, .m = s.heads * s.keys, .n = dim, .k = s.queries, .layout = GemmLayout::weight_gradient});
}

Operation elementwise(const std::string& label, MemoryKernel kernel, double read, double written) {
  return memory_operation(label, Category::attention, kernel, Bytes{read}, Bytes{written});
}

Operations probabilities(const BlockContext& c, const Scores& s) {
  Operations ops{of_queries_and_keys("attention scores", s, s.dim),
                 elementwise("attention softmax", MemoryKernel::softmax, s.values, 2 * s.values)};
  if (c.drops_out()) ops.push_back(elementwise("attention dropout", MemoryKernel::dropout, 2 * s.values, 3 * s.values));
  return ops;
}

}  // namespace

Operations unfused_attention_forward(const BlockContext& c) {
  const Scores s(c);
  Operations ops = probabilities(c, s);
  ops.push_back(over_keys("attention over values", s, s.value_dim));
  return ops;
}

Operations unfused_attention_backward(const BlockContext& c) {
  const Scores s(c);
  Operations ops;
  if (c.plan.recomputes(RecomputeModule::attention)) {
    for (Operation op : probabilities(c, s)) {
      op.label += " again";
      op.category = Category::recompute;
      ops.push_back(op);
    }
  }
  ops.push_back(over_queries("gradient of values", s, s.value_dim));
  ops.push_back(of_queries_and_keys("gradient of probabilities", s, s.value_dim));
  if (c.drops_out()) ops.push_back(elementwise("attention dropout backward", MemoryKernel::dropout_backward, 3 * s.values, 2 * s.values));
  ops.push_back(elementwise("attention softmax backward", MemoryKernel::softmax, 2 * s.values, 2 * s.values));
  ops.push_back(over_keys("gradient of queries", s, s.dim));
  ops.push_back(over_queries("gradient of keys", s, s.dim));
  return ops;
}

std::vector<SavedTensor> unfused_attention_saved(const BlockContext& c) {
  if (c.plan.recomputes(RecomputeModule::attention)) return {};
  const Scores s(c);
  if (!c.drops_out()) return {{"attention softmax", Bytes{2 * s.values}}};
  return {
      {"attention softmax", Bytes{2 * s.values}}, {"attention dropout mask", Bytes{s.values}}, {"attention dropout", Bytes{2 * s.values}}};
}

}  // namespace trillion
