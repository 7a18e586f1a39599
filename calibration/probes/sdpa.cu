#include "sdpa.h"

#include <cuda_bf16.h>

#include <cmath>
#include <limits>

#include "arena.h"
#include "check.h"

namespace probe {
namespace {

constexpr cudnnDataType_t kBf16 = CUDNN_DATA_BFLOAT16;
constexpr cudnnDataType_t kFp32 = CUDNN_DATA_FLOAT;

struct Operand {
  Extents extents, strides;
};

// [batch, position, head, dimension] in memory, seen as batch, head, position, dimension.
Operand operand(std::int64_t batch, std::int64_t heads, std::int64_t positions, std::int64_t dim) {
  return {{batch, heads, positions, dim}, {positions * heads * dim, dim, heads * dim, 1}};
}

Operand transposed(Operand o) {
  std::swap(o.extents[2], o.extents[3]);
  std::swap(o.strides[2], o.strides[3]);
  return o;
}

std::int64_t count(const Operand& o) { return o.extents[0] * o.extents[1] * o.extents[2] * o.extents[3]; }

struct Operands {
  explicit Operands(const AttentionShape& s)
      : q(operand(s.batch, s.heads, s.queries, s.qk_dim)),
        k(operand(s.batch, s.kv_heads, s.keys, s.qk_dim)),
        v(operand(s.batch, s.kv_heads, s.keys, s.v_dim)),
        o(operand(s.batch, s.heads, s.queries, s.v_dim)),
        score{s.batch, s.heads, s.queries, s.keys},
        row{s.batch, s.heads, s.queries, 1},
        row_strides{s.heads * s.queries, s.queries, 1, 1} {}
  Operand q, k, v, o;
  Extents score, row, row_strides;
};

float softmax_scale(const AttentionShape& s) { return 1.0f / std::sqrt(static_cast<float>(s.qk_dim)); }

}  // namespace

double AttentionShape::flops() const {
  // A causal row i of a square problem sees i + 1 keys.
  const double pairs = causal ? double(queries) * (double(keys) - (double(queries) - 1) / 2) : double(queries) * keys;
  const double products = backward ? 3.0 * qk_dim + 2.0 * v_dim : double(qk_dim) + v_dim;
  return 2.0 * batch * heads * pairs * products;
}

Row AttentionShape::row(const std::string& load, const std::string& path) const {
  Row row;
  row.text("op", "attention").text("dtype", "bf16").number("batch", batch).number("heads", heads);
  row.number("kv_heads", kv_heads).number("queries", queries).number("keys", keys);
  row.number("qk_dim", qk_dim).number("v_dim", v_dim).flag("causal", causal);
  row.text("direction", backward ? "backward" : "forward");
  return row.text("path", path).text("load", load);
}

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  const cudaError_t status = cudaMalloc(&data_, std::max<std::size_t>(bytes, 16));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Unsupported("not enough device memory");
  }
  check(status, "cudaMalloc");
}

Buffer::~Buffer() { cudaFree(data_); }

std::size_t Sdpa::bytes_per_set(const AttentionShape& shape) {
  const Operands ops(shape);
  const std::size_t once = 2 * (count(ops.q) + count(ops.k) + count(ops.v) + count(ops.o));
  const std::size_t statistics = 4 * shape.batch * shape.heads * shape.queries;
  return (shape.backward ? 2 : 1) * once + statistics;
}

Sdpa::Sdpa(const AttentionShape& shape, int sets) : shape_(shape), sets_(sets) {
  if (const auto status = cudnnCreate(&handle_); status != CUDNN_STATUS_SUCCESS) {
    throw std::runtime_error(std::string("cudnnCreate: ") + cudnnGetErrorString(status));
  }
  const Operands ops(shape);
  for (int set = 0; set < sets; ++set) {
    for (int which = 0; which < kCount; ++which) {
      const bool gradient = which >= kOutGradient;
      const Operand& like = which == kQ || which == kQGradient   ? ops.q
                            : which == kK || which == kKGradient ? ops.k
                            : which == kV || which == kVGradient ? ops.v
                                                                 : ops.o;
      const std::size_t bytes = which == kStatistics          ? 4 * shape.batch * shape.heads * shape.queries
                                : gradient && !shape.backward ? 16
                                                              : 2 * count(like);
      buffers_.emplace_back(bytes);
      if (which == kQ || which == kK || which == kV || (which == kOutGradient && shape.backward)) {
        fill_normal_bf16(buffers_.back().data(), count(like), 100 * set + which);
      }
    }
  }
  build_forward();
  if (shape.backward) {
    for (int set = 0; set < sets; ++set) launch_forward(nullptr, set);
    PROBE_CUDA(cudaDeviceSynchronize());
    build_backward();
  }
}

Sdpa::~Sdpa() {
  forward_.reset();
  backward_.reset();
  cudnnDestroy(handle_);
}

// Scores of keys after the query become minus infinity: row index >= column index ? score : -inf.
int Sdpa::mask(CudnnGraph& graph, int scores, const Extents& score) {
  if (!shape_.causal) return scores;
  if (shape_.queries != shape_.keys) throw Unsupported("a causal mask is measured on square problems only");
  const Extents strides = packed_strides(score);
  const int row = graph.intermediate(score, strides, CUDNN_DATA_INT32);
  const int column = graph.intermediate(score, strides, CUDNN_DATA_INT32);
  const int keep = graph.intermediate(score, strides, CUDNN_DATA_BOOLEAN);
  const int masked = graph.intermediate(score, strides);
  const int minus_infinity = graph.scalar(-std::numeric_limits<float>::infinity());
  graph.index_along(2, scores, row);
  graph.index_along(3, scores, column);
  graph.pointwise(CUDNN_POINTWISE_CMP_GE, row, column, keep, CUDNN_DATA_BOOLEAN);
  graph.select(scores, minus_infinity, keep, masked);
  return masked;
}

// O = softmax(mask(scale Q K^T)) V and the log-sum-exp that the backward pass needs.
void Sdpa::build_forward() {
  const Operands ops(shape_);
  const Extents wide = packed_strides(ops.score);
  const Operand kt = transposed(ops.k);
  forward_ = std::make_unique<CudnnGraph>(handle_);
  CudnnGraph& g = *forward_;
  const int q = g.stored(ops.q.extents, ops.q.strides, kBf16);
  const int k = g.stored(kt.extents, kt.strides, kBf16);
  const int v = g.stored(ops.v.extents, ops.v.strides, kBf16);
  const int o = g.stored(ops.o.extents, ops.o.strides, kBf16);
  const int statistics = g.stored(ops.row, ops.row_strides, kFp32);
  const auto virtual_score = [&] { return g.intermediate(ops.score, wide); };
  const auto virtual_row = [&] { return g.intermediate(ops.row, ops.row_strides); };

  const int product = virtual_score(), scaled = virtual_score();
  g.matmul(q, k, product);
  g.pointwise(CUDNN_POINTWISE_MUL, product, g.scalar(softmax_scale(shape_)), scaled);
  const int masked = mask(g, scaled, ops.score);

  const int largest = virtual_row(), shifted = virtual_score(), exponential = virtual_score();
  const int sum = virtual_row(), logarithm = virtual_row();
  const int probability = g.intermediate(ops.score, wide, kBf16);
  g.reduce(CUDNN_REDUCE_TENSOR_MAX, masked, largest);
  g.pointwise(CUDNN_POINTWISE_SUB, masked, largest, shifted);
  g.pointwise(CUDNN_POINTWISE_EXP, shifted, exponential);
  g.reduce(CUDNN_REDUCE_TENSOR_ADD, exponential, sum);
  g.pointwise(CUDNN_POINTWISE_LOG, sum, logarithm);
  g.pointwise(CUDNN_POINTWISE_ADD, largest, logarithm, statistics);
  g.pointwise(CUDNN_POINTWISE_DIV, exponential, sum, probability);
  g.matmul(probability, v, o);
  g.build();

  scratch_.emplace_back(g.workspace_bytes());
  for (int set = 0; set < sets_; ++set) {
    g.bind({{q, buffer(set, kQ)}, {k, buffer(set, kK)}, {v, buffer(set, kV)}, {o, buffer(set, kO)}, {statistics, buffer(set, kStatistics)}},
           scratch_.back().data());
  }
}

// With P recomputed from the statistics and D = rowsum(dO * O):
//   dV = P^T dO    dS = P * (dO V^T - D) scale    dK = dS^T Q    dQ = dS K
// Gradients of shared key-value heads are sums over their query heads.
void Sdpa::build_backward() {
  const Operands ops(shape_);
  const Extents wide = packed_strides(ops.score);
  const Operand kt = transposed(ops.k), vt = transposed(ops.v);
  const bool shared = shape_.heads != shape_.kv_heads;
  backward_ = std::make_unique<CudnnGraph>(handle_);
  CudnnGraph& g = *backward_;
  const int q = g.stored(ops.q.extents, ops.q.strides, kBf16);
  const int k = g.stored(kt.extents, kt.strides, kBf16);
  const int v = g.stored(vt.extents, vt.strides, kBf16);
  const int o = g.stored(ops.o.extents, ops.o.strides, kBf16);
  const int out_gradient = g.stored(ops.o.extents, ops.o.strides, kBf16);
  const int statistics = g.stored(ops.row, ops.row_strides, kFp32);
  const int q_gradient = g.stored(ops.q.extents, ops.q.strides, kBf16);
  const int k_gradient = g.stored(ops.k.extents, ops.k.strides, kBf16);
  const int v_gradient = g.stored(ops.v.extents, ops.v.strides, kBf16);
  const int row_sum = g.stored(ops.row, ops.row_strides, kFp32);                    // D, spilled
  const int q_sum = g.stored(ops.q.extents, packed_strides(ops.q.extents), kFp32);  // dQ in fp32
  const int scale = g.scalar(softmax_scale(shape_)), one = g.scalar(1.0f);
  const auto virtual_score = [&] { return g.intermediate(ops.score, wide); };
  const auto transposed_score = [&](int x) {
    const Extents extents{ops.score[0], ops.score[1], ops.score[3], ops.score[2]};
    const int out = g.intermediate(extents, {wide[0], wide[1], wide[3], wide[2]}, kBf16);
    g.reshape(x, out);
    return out;
  };
  const auto summed_over_heads = [&](int a, int b, std::int64_t dim, int out) {
    if (!shared) return g.matmul(a, b, out);
    const Extents full{shape_.batch, shape_.heads, shape_.keys, dim};
    const int every_head = g.intermediate(full, packed_strides(full), kBf16);
    g.matmul(a, b, every_head);
    g.reduce(CUDNN_REDUCE_TENSOR_ADD, every_head, out);
  };

  const int weighted = g.intermediate(ops.o.extents, ops.o.strides), sum = g.intermediate(ops.row, ops.row_strides);
  g.pointwise(CUDNN_POINTWISE_MUL, out_gradient, o, weighted);
  g.reduce(CUDNN_REDUCE_TENSOR_ADD, weighted, sum);
  g.pointwise(CUDNN_POINTWISE_MUL, sum, one, row_sum);

  const int product = virtual_score(), scaled = virtual_score(), shifted = virtual_score();
  const int probability = virtual_score();
  g.matmul(q, k, product);
  g.pointwise(CUDNN_POINTWISE_MUL, product, scale, scaled);
  g.pointwise(CUDNN_POINTWISE_SUB, scaled, statistics, shifted);
  const int masked = mask(g, shifted, ops.score);
  g.pointwise(CUDNN_POINTWISE_EXP, masked, probability);
  summed_over_heads(transposed_score(probability), out_gradient, shape_.v_dim, v_gradient);

  const int p_gradient = virtual_score(), centred = virtual_score(), s_gradient = virtual_score();
  const int s_scaled = virtual_score();
  g.matmul(out_gradient, v, p_gradient);
  g.pointwise(CUDNN_POINTWISE_SUB, p_gradient, row_sum, centred);
  g.pointwise(CUDNN_POINTWISE_MUL, centred, probability, s_gradient);
  g.pointwise(CUDNN_POINTWISE_MUL, s_gradient, scale, s_scaled);
  summed_over_heads(transposed_score(s_scaled), q, shape_.qk_dim, k_gradient);

  const int k_plain = g.intermediate(ops.k.extents, ops.k.strides, kBf16);
  g.reshape(k, k_plain);
  g.matmul(s_scaled, k_plain, q_sum);
  g.pointwise(CUDNN_POINTWISE_IDENTITY, q_sum, q_gradient);
  g.build();

  bind_backward({{kQ, q},
                 {kK, k},
                 {kV, v},
                 {kO, o},
                 {kOutGradient, out_gradient},
                 {kStatistics, statistics},
                 {kQGradient, q_gradient},
                 {kKGradient, k_gradient},
                 {kVGradient, v_gradient}},
                row_sum, q_sum);
}

void Sdpa::bind_backward(const std::vector<std::pair<Which, int>>& tensors, int row_sum, int q_sum) {
  scratch_.emplace_back(backward_->workspace_bytes());
  void* workspace = scratch_.back().data();
  scratch_.emplace_back(4 * shape_.batch * shape_.heads * shape_.queries);
  void* spilled_rows = scratch_.back().data();
  scratch_.emplace_back(4 * shape_.batch * shape_.heads * shape_.queries * shape_.qk_dim);
  void* spilled_q = scratch_.back().data();
  for (int set = 0; set < sets_; ++set) {
    CudnnGraph::Pointers pointers{{row_sum, spilled_rows}, {q_sum, spilled_q}};
    for (const auto& [which, tensor] : tensors) pointers.emplace_back(tensor, buffer(set, which));
    backward_->bind(pointers, workspace);
  }
}

void Sdpa::launch_forward(cudaStream_t stream, int index) const { forward_->run(stream, index % sets_); }

void Sdpa::launch(cudaStream_t stream, int index) const { (shape_.backward ? *backward_ : *forward_).run(stream, index % sets_); }

}  // namespace probe
