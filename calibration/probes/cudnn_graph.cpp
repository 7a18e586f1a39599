#include "cudnn_graph.h"

#include "check.h"

namespace probe {
namespace {

void dnn(cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  const std::string text = std::string(call) + ": " + cudnnGetErrorString(status);
  // The 3000s say "not supported", the 2000s "bad parameter": both mean that this graph is declined.
  if (status >= 2000 && status < 4000) throw Unsupported(text);
  throw std::runtime_error(text);
}
#define DNN(call) dnn((call), #call)

template <typename T>
void set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
         const std::vector<T>& values) {
  DNN(cudnnBackendSetAttribute(descriptor, name, type, static_cast<std::int64_t>(values.size()), values.data()));
}

template <typename T>
void set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T value) {
  DNN(cudnnBackendSetAttribute(descriptor, name, type, 1, &value));
}

void link(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t other) {
  set(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other);
}

}  // namespace

Extents packed_strides(const Extents& extents) {
  Extents strides(extents.size(), 1);
  for (std::size_t i = extents.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * extents[i];
  return strides;
}

CudnnGraph::~CudnnGraph() {
  for (auto it = owned_.rbegin(); it != owned_.rend(); ++it) cudnnBackendDestroyDescriptor(*it);
}

CudnnGraph::Descriptor CudnnGraph::make(cudnnBackendDescriptorType_t type) {
  Descriptor descriptor = nullptr;
  DNN(cudnnBackendCreateDescriptor(type, &descriptor));
  owned_.push_back(descriptor);
  return descriptor;
}

int CudnnGraph::add(const Extents& extents, const Extents& strides, cudnnDataType_t type, bool is_virtual, bool by_value) {
  const Descriptor tensor = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  const std::int64_t id = static_cast<std::int64_t>(tensors_.size()) + 1, alignment = 16;
  set(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type);
  set(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, extents);
  set(tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides);
  set(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
  set(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment);
  set(tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual);
  set(tensor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, by_value);
  DNN(cudnnBackendFinalize(tensor));
  tensors_.push_back(tensor);
  return static_cast<int>(id);
}

int CudnnGraph::stored(const Extents& extents, const Extents& strides, cudnnDataType_t type) {
  return add(extents, strides, type, false, false);
}

int CudnnGraph::intermediate(const Extents& extents, const Extents& strides, cudnnDataType_t type) {
  return add(extents, strides, type, true, false);
}

int CudnnGraph::scalar(float value) {
  const int id = add({1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, false, true);
  scalars_.emplace_back(id, value);
  return id;
}

void CudnnGraph::matmul(int a, int b, int out) {
  const Descriptor kind = make(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  set(kind, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  DNN(cudnnBackendFinalize(kind));
  const Descriptor op = make(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  link(op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, tensors_[a - 1]);
  link(op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, tensors_[b - 1]);
  link(op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, tensors_[out - 1]);
  link(op, CUDNN_ATTR_OPERATION_MATMUL_DESC, kind);
  DNN(cudnnBackendFinalize(op));
  operations_.push_back(op);
}

void CudnnGraph::reduce(cudnnReduceTensorOp_t which, int x, int out) {
  const Descriptor kind = make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  set(kind, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  set(kind, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, which);
  DNN(cudnnBackendFinalize(kind));
  const Descriptor op = make(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  link(op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind);
  link(op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, tensors_[x - 1]);
  link(op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, tensors_[out - 1]);
  DNN(cudnnBackendFinalize(op));
  operations_.push_back(op);
}

void CudnnGraph::reshape(int x, int out) {
  const Descriptor op = make(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  link(op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, tensors_[x - 1]);
  link(op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, tensors_[out - 1]);
  DNN(cudnnBackendFinalize(op));
  operations_.push_back(op);
}

CudnnGraph::Descriptor CudnnGraph::pointwise_kind(cudnnPointwiseMode_t mode, cudnnDataType_t compute, std::int64_t axis) {
  const Descriptor kind = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  set(kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
  set(kind, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, compute);
  if (axis >= 0) set(kind, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, axis);
  DNN(cudnnBackendFinalize(kind));
  return kind;
}

void CudnnGraph::add_pointwise(Descriptor kind, int x, int b, int condition, int out) {
  const Descriptor op = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  link(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
  link(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, tensors_[x - 1]);
  if (b > 0) link(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tensors_[b - 1]);
  if (condition > 0) link(op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, tensors_[condition - 1]);
  link(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors_[out - 1]);
  DNN(cudnnBackendFinalize(op));
  operations_.push_back(op);
}

void CudnnGraph::pointwise(cudnnPointwiseMode_t mode, int x, int out, cudnnDataType_t compute) {
  add_pointwise(pointwise_kind(mode, compute, -1), x, 0, 0, out);
}

void CudnnGraph::pointwise(cudnnPointwiseMode_t mode, int x, int b, int out, cudnnDataType_t compute) {
  add_pointwise(pointwise_kind(mode, compute, -1), x, b, 0, out);
}

void CudnnGraph::select(int x, int otherwise, int condition, int out) {
  add_pointwise(pointwise_kind(CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, -1), x, otherwise, condition, out);
}

void CudnnGraph::index_along(int axis, int x, int out) {
  add_pointwise(pointwise_kind(CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, axis), x, 0, 0, out);
}

bool CudnnGraph::try_mode(Descriptor graph, cudnnBackendHeurMode_t mode) {
  const Descriptor heuristics = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  link(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  if (cudnnBackendFinalize(heuristics) != CUDNN_STATUS_SUCCESS) return false;
  std::int64_t count = 0;
  DNN(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
  std::vector<Descriptor> configurations;
  for (std::int64_t i = 0; i < count; ++i) configurations.push_back(make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
  DNN(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count,
                               configurations.data()));
  for (std::int64_t i = 0; i < count; ++i) {
    const Descriptor plan = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle_);
    link(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configurations[i]);
    if (cudnnBackendFinalize(plan) != CUDNN_STATUS_SUCCESS) continue;
    std::int64_t one = 0;
    DNN(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &one, &workspace_bytes_));
    plan_ = plan;
    return true;
  }
  return false;
}

void CudnnGraph::build() {
  const Descriptor graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  set(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, operations_);
  set(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle_);
  DNN(cudnnBackendFinalize(graph));
  if (try_mode(graph, CUDNN_HEUR_MODE_A) || try_mode(graph, CUDNN_HEUR_MODE_FALLBACK)) return;
  throw Unsupported("cuDNN has no engine for this graph");
}

int CudnnGraph::bind(const Pointers& pointers, void* workspace) {
  std::vector<std::int64_t> ids;
  std::vector<void*> addresses;
  for (const auto& [id, pointer] : pointers) ids.push_back(id), addresses.push_back(pointer);
  for (auto& [id, value] : scalars_) ids.push_back(id), addresses.push_back(&value);
  const Descriptor pack = make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids);
  set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, addresses);
  set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace);
  DNN(cudnnBackendFinalize(pack));
  bound_.push_back(pack);
  return static_cast<int>(bound_.size()) - 1;
}

void CudnnGraph::run(cudaStream_t stream, int bound) const {
  DNN(cudnnSetStream(handle_, stream));
  DNN(cudnnBackendExecute(handle_, plan_, bound_[bound]));
}

}  // namespace probe
