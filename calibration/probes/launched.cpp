#include "launched.h"

#include <cuda.h>
#include <dlfcn.h>

#include <vector>

#include "check.h"

namespace probe {
namespace {

// The driver, which knows kernels that were launched through it; the runtime's own reading knows only the runtime's.
template <typename F>
F driver(const char* name) {
  static void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return library ? reinterpret_cast<F>(dlsym(library, name)) : nullptr;
}

std::string name_of(const CUDA_KERNEL_NODE_PARAMS& node) {
  const char* text = nullptr;
  const auto of_function = driver<CUresult (*)(const char**, CUfunction)>("cuFuncGetName");
  const auto of_kernel = driver<CUresult (*)(const char**, CUkernel)>("cuKernelGetName");
  if (node.func && of_function && of_function(&text, node.func) == CUDA_SUCCESS && text) return text;
  if (node.kern && of_kernel && of_kernel(&text, node.kern) == CUDA_SUCCESS && text) return text;
  return {};
}

Launched largest_kernel(cudaGraph_t graph) {
  std::size_t count = 0;
  PROBE_CUDA(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  PROBE_CUDA(cudaGraphGetNodes(graph, nodes.data(), &count));
  const auto read = driver<CUresult (*)(CUgraphNode, CUDA_KERNEL_NODE_PARAMS*)>("cuGraphKernelNodeGetParams_v2");
  Launched found;
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type;
    PROBE_CUDA(cudaGraphNodeGetType(node, &type));
    CUDA_KERNEL_NODE_PARAMS kernel{};
    if (type != cudaGraphNodeTypeKernel || !read || read(node, &kernel) != CUDA_SUCCESS) continue;
    const int blocks = static_cast<int>(kernel.gridDimX * kernel.gridDimY * kernel.gridDimZ);
    if (blocks <= found.blocks) continue;
    found = {blocks, static_cast<int>(kernel.blockDimX * kernel.blockDimY * kernel.blockDimZ), name_of(kernel)};
  }
  return found;
}

}  // namespace

Launched launched_by(cudaStream_t stream, const std::function<void()>& call) {
  cudaGraph_t graph = nullptr;
  PROBE_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  try {
    call();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  PROBE_CUDA(cudaStreamEndCapture(stream, &graph));
  const Launched found = largest_kernel(graph);
  PROBE_CUDA(cudaGraphDestroy(graph));
  return found;
}

}  // namespace probe
