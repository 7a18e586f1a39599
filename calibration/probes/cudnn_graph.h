// An operation graph of cuDNN's backend API: tensors and operations in, one fused execution plan out.
//
//   CudnnGraph graph(handle);
//   const int q = graph.input({b, h, s, d}, strides, CUDNN_DATA_BFLOAT16);
//   const int s = graph.matmul(q, kt, {b, h, s, s});     // virtual: never leaves the kernel
//   graph.build();                                       // throws Unsupported when no engine takes it
//   graph.run(stream, {{q, pointer}, ...}, workspace);
//
// The backend API is used directly because cudnn-frontend, which wraps it, is often not installed. Tensors are named by
// their number, which is cuDNN's unique id. Scalars are passed by value and kept here.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace probe {

using Extents = std::vector<std::int64_t>;  // of rank 4: batch, head, row, column

Extents packed_strides(const Extents& extents);

class CudnnGraph {
 public:
  explicit CudnnGraph(cudnnHandle_t handle) : handle_(handle) {}
  ~CudnnGraph();
  CudnnGraph(const CudnnGraph&) = delete;
  CudnnGraph& operator=(const CudnnGraph&) = delete;

  // Tensors in memory: operands, results, and buffers that an operation spills to.
  int stored(const Extents& extents, const Extents& strides, cudnnDataType_t type);
  int scalar(float value);
  int intermediate(const Extents& extents, const Extents& strides, cudnnDataType_t type = CUDNN_DATA_FLOAT);

  // Operations. `out` is a tensor from above; y = op(x, b), and binary select is t ? x : b.
  void matmul(int a, int b, int out);
  void reduce(cudnnReduceTensorOp_t kind, int x, int out);
  void reshape(int x, int out);
  void pointwise(cudnnPointwiseMode_t mode, int x, int out, cudnnDataType_t compute = CUDNN_DATA_FLOAT);
  void pointwise(cudnnPointwiseMode_t mode, int x, int b, int out, cudnnDataType_t compute = CUDNN_DATA_FLOAT);
  void select(int x, int otherwise, int condition, int out);
  void index_along(int axis, int x, int out);  // each element's index along `axis`

  // Asks the heuristics (mode A, then fallback) and takes the first engine that finalizes.
  void build();
  std::int64_t workspace_bytes() const { return workspace_bytes_; }

  using Pointers = std::vector<std::pair<int, void*>>;
  // A set of addresses to run on; made once, so that a launch costs the host little.
  int bind(const Pointers& pointers, void* workspace);
  void run(cudaStream_t stream, int bound) const;

 private:
  using Descriptor = cudnnBackendDescriptor_t;
  Descriptor make(cudnnBackendDescriptorType_t type);
  int add(const Extents& extents, const Extents& strides, cudnnDataType_t type, bool is_virtual, bool by_value);
  void add_pointwise(Descriptor kind, int x, int b, int condition, int out);
  Descriptor pointwise_kind(cudnnPointwiseMode_t mode, cudnnDataType_t compute, std::int64_t axis);
  bool try_mode(Descriptor graph, cudnnBackendHeurMode_t mode);

  cudnnHandle_t handle_;
  std::vector<Descriptor> owned_;    // destroyed in reverse
  std::vector<Descriptor> tensors_;  // by number - 1
  std::vector<Descriptor> operations_;
  std::deque<std::pair<int, float>> scalars_;  // addresses stay put
  std::vector<Descriptor> bound_;
  Descriptor plan_ = nullptr;
  std::int64_t workspace_bytes_ = 0;
};

}  // namespace probe
