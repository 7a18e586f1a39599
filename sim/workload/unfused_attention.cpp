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
        dim(c.model.head_dim),
        values(static_cast<double>(heads) * static_cast<double>(queries) * static_cast<double>(keys)) {}

  std::int64_t heads, queries, keys, dim;
  double values;
};

Operation product(const std::string& label, Gemm gemm) { return {label, Category::attention, Lane::compute, gemm}; }

// Rows of queries against keys: dot products over the head's channels.
Operation of_queries_and_keys(const std::string& label, const Scores& s) {
  return product(label, {.dtype = DType::bf16, .m = s.heads * s.queries, .n = s.keys, .k = s.dim, .layout = GemmLayout::forward});
}

// Rows of queries: sums over the keys.
Operation over_keys(const std::string& label, const Scores& s) {
  return product(label, {.dtype = DType::bf16, .m = s.heads * s.queries, .n = s.dim, .k = s.keys, .layout = GemmLayout::input_gradient});
}

// Rows of keys: sums over the queries.
Operation over_queries(const std::string& label, const Scores& s) {
  return product(label, {.dtype = DType::bf16, .m = s.heads * s.keys, .n = s.dim, .k = s.queries, .layout = GemmLayout::weight_gradient});
}

Operation elementwise(const std::string& label, MemoryKernel kernel, double read, double written) {
  return memory_operation(label, Category::attention, kernel, Bytes{read}, Bytes{written});
}

Operations probabilities(const Scores& s) {
  return {of_queries_and_keys("attention scores", s), elementwise("attention softmax", MemoryKernel::softmax, s.values, 2 * s.values),
          elementwise("attention dropout", MemoryKernel::dropout, 2 * s.values, 3 * s.values)};
}

}  // namespace

Operations unfused_attention_forward(const BlockContext& c) {
  const Scores s(c);
  Operations ops = probabilities(s);
  ops.push_back(over_keys("attention over values", s));
  return ops;
}

Operations unfused_attention_backward(const BlockContext& c) {
  const Scores s(c);
  Operations ops;
  if (c.plan.recomputes(RecomputeModule::attention)) {
    for (Operation op : probabilities(s)) {
      op.label += " again";
      op.category = Category::recompute;
      ops.push_back(op);
    }
  }
  ops.push_back(over_queries("gradient of values", s));
  ops.push_back(of_queries_and_keys("gradient of probabilities", s));
  ops.push_back(elementwise("attention dropout backward", MemoryKernel::dropout, 3 * s.values, 2 * s.values));
  ops.push_back(elementwise("attention softmax backward", MemoryKernel::softmax, 2 * s.values, 2 * s.values));
  ops.push_back(over_keys("gradient of queries", s));
  ops.push_back(over_queries("gradient of keys", s));
  return ops;
}

std::vector<SavedTensor> unfused_attention_saved(const BlockContext& c) {
  if (c.plan.recomputes(RecomputeModule::attention)) return {};
  const Scores s(c);
  return {
      {"attention softmax", Bytes{2 * s.values}}, {"attention dropout mask", Bytes{s.values}}, {"attention dropout", Bytes{2 * s.values}}};
}

}  // namespace trillion
