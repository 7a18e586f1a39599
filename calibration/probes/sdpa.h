// Scaled dot-product attention, forward and backward, through cuDNN's fused engines.
//
// cuDNN before 9.21 takes a causal mask only in the composite graph (matmul, scale, index, compare, select, softmax by
// reductions, matmul); its engines recognise the pattern and run one flash kernel (backward: three). Memory layout is
// batch, position, head, dimension, as projections leave it. bf16, fp32 inside, no dropout, not deterministic.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cudnn_graph.h"
#include "row.h"

namespace probe {

struct AttentionShape {
  std::int64_t batch = 1, heads = 1, kv_heads = 1, queries = 0, keys = 0;
  std::int64_t qk_dim = 128, v_dim = 128;
  bool causal = true;
  bool backward = false;

  // Multiply-adds times two of the products that the mask leaves: two forward, five backward (one recomputed).
  double flops() const;
  Row row(const std::string& load, const std::string& path) const;
};

// Device memory for one buffer, freed with it.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

class Sdpa {
 public:
  // Builds the plans and `sets` sets of buffers; for a backward shape it also runs forward once per set, so that
  // outputs and softmax statistics belong to the operands. Throws Unsupported.
  Sdpa(const AttentionShape& shape, int sets);
  ~Sdpa();
  Sdpa(const Sdpa&) = delete;
  Sdpa& operator=(const Sdpa&) = delete;

  void launch(cudaStream_t stream, int index) const;
  void launch_forward(cudaStream_t stream, int index) const;

  // Buffers of set `set`, for checks: q k v o (bf16), statistics (fp32), and of backward shapes dO dQ dK dV.
  enum Which { kQ, kK, kV, kO, kStatistics, kOutGradient, kQGradient, kKGradient, kVGradient, kCount };
  void* buffer(int set, Which which) const { return buffers_[set * kCount + which].data(); }

  static std::size_t bytes_per_set(const AttentionShape& shape);

 private:
  void build_forward();
  void build_backward();
  // `tensors`: which buffer each of the graph's tensors is; the two sums are spilled to scratch.
  void bind_backward(const std::vector<std::pair<Which, int>>& tensors, int row_sum, int q_sum);
  int mask(CudnnGraph& graph, int scores, const Extents& score);

  AttentionShape shape_;
  int sets_;
  cudnnHandle_t handle_ = nullptr;
  std::unique_ptr<CudnnGraph> forward_, backward_;
  std::vector<Buffer> buffers_;
  std::vector<Buffer> scratch_;
};

}  // namespace probe
