// The header of a raw file: which GPU, which software, under which limits.
#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "check.h"
#include "nvml.h"
#include "session.h"

namespace probe {
namespace {

// Only variables that change what a kernel does; nothing else of the environment is copied.
constexpr const char* kEnvironment[] = {"CUDA_VISIBLE_DEVICES",
                                        "CUDA_DEVICE_MAX_CONNECTIONS",
                                        "CUDA_LAUNCH_BLOCKING",
                                        "CUDA_MODULE_LOADING",
                                        "CUBLAS_WORKSPACE_CONFIG",
                                        "CUBLASLT_WORKSPACE_SIZE",
                                        "NVIDIA_TF32_OVERRIDE",
                                        "NCCL_ALGO",
                                        "NCCL_PROTO",
                                        "NCCL_MIN_NCHANNELS",
                                        "NCCL_MAX_NCHANNELS",
                                        "NCCL_MIN_CTAS",
                                        "NCCL_MAX_CTAS",
                                        "NCCL_NVLS_ENABLE",
                                        "NCCL_P2P_DISABLE",
                                        "NCCL_P2P_LEVEL",
                                        "NCCL_SHM_DISABLE",
                                        "NCCL_IB_DISABLE",
                                        "NCCL_NET",
                                        "NCCL_NET_GDR_LEVEL",
                                        "NCCL_CROSS_NIC",
                                        "NCCL_PXN_DISABLE",
                                        "NCCL_BUFFSIZE",
                                        "NCCL_NTHREADS",
                                        "PYTORCH_CUDA_ALLOC_CONF",
                                        "TORCH_SYMM_MEM_DISABLE_MULTICAST",
                                        "SLURM_NNODES",
                                        "SLURM_NTASKS"};

// "NVIDIA H100 80GB HBM3" -> "H100"
std::string short_name(const std::string& full) {
  for (std::size_t i = 0; i < full.size();) {
    std::size_t end = full.find_first_of(" -", i);
    if (end == std::string::npos) end = full.size();
    const std::string word = full.substr(i, end - i);
    const bool digit = std::any_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c); });
    const bool letter_first = !word.empty() && std::isalpha(static_cast<unsigned char>(word[0]));
    if (digit && letter_first) return word;
    i = end + 1;
  }
  return full;
}

// A library's function without linking it: not every probe needs every library. Null where it is not installed.
template <typename F>
F function_of(const char* library, const char* function) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  return handle ? reinterpret_cast<F>(dlsym(handle, function)) : nullptr;
}

std::string dotted(std::size_t major, std::size_t minor) { return std::to_string(major) + "." + std::to_string(minor); }

std::string software() {
  const std::size_t lt = cublasLtGetVersion();
  std::string text = "cublasLt " + dotted(lt / 10000, lt / 100 % 100);
  if (const auto ask = function_of<std::size_t (*)()>("libcudnn.so.9", "cudnnGetVersion")) {
    const std::size_t v = ask();
    text += ", cudnn " + dotted(v / 10000, v / 100 % 100);
  }
  int runtime = 0;
  PROBE_CUDA(cudaRuntimeGetVersion(&runtime));
  return text + ", CUDA " + dotted(runtime / 1000, runtime / 10 % 100);
}

}  // namespace

Row describe_machine(int gpus) {
  int device = 0;
  PROBE_CUDA(cudaGetDevice(&device));
  cudaDeviceProp properties{};
  PROBE_CUDA(cudaGetDeviceProperties(&properties, device));
  char bus[32] = "";
  PROBE_CUDA(cudaDeviceGetPCIBusId(bus, sizeof bus, device));
  const Nvml nvml(bus);

  const std::time_t now = std::time(nullptr);
  char date[16];
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));

  Row environment;
  for (const char* variable : kEnvironment) {
    if (const char* value = std::getenv(variable)) environment.text(variable, value);
  }

  int nccl = 0;
  if (const auto ask = function_of<int (*)(int*)>("libnccl.so.2", "ncclGetVersion")) ask(&nccl);

  Row row;
  row.text("schema", "trillion.raw/1").text("gpu", short_name(properties.name)).text("software", software());
  row.text("origin", "measured");
  row.text("source", std::string("calibration/probes on ") + (gpus > 1 ? "several " : "one ") + properties.name);
  row.text("date", date).text("gpu_name", properties.name).text("driver", nvml.driver());
  row.number("sms", properties.multiProcessorCount).number("l2_bytes", properties.l2CacheSize);
  row.number("memory_bytes", static_cast<std::int64_t>(properties.totalGlobalMem));
  row.number("clock_max_mhz", nvml.max_clock_mhz()).number("power_limit_w", nvml.power_limit_w());
  row.number("power_limit_default_w", nvml.default_power_limit_w());
  row.number("other_processes", nvml.other_processes());
  if (nccl > 0) row.text("nccl", std::to_string(nccl / 10000) + "." + std::to_string(nccl / 100 % 100) + "." + std::to_string(nccl % 100));
  return row.object("environment", environment);
}

}  // namespace probe
