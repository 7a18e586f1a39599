#include "nvml.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>

namespace probe {
namespace {

constexpr int kSmClock = 1;              // NVML_CLOCK_SM
constexpr int kGpuSensor = 0;            // NVML_TEMPERATURE_GPU
constexpr unsigned kPowerInstant = 186;  // NVML_FI_DEV_POWER_INSTANT, milliwatts

// nvmlFieldValue_t, whose layout has been stable since NVML 9.
struct FieldValue {
  unsigned field_id;
  unsigned scope_id;
  std::int64_t timestamp_us;
  std::int64_t latency_us;
  int value_type;
  int status;
  union {
    double as_double;
    unsigned as_unsigned;
    std::uint64_t as_u64;
  } value;
};

// nvmlProcessInfo_t of nvmlDeviceGetComputeRunningProcesses_v3.
struct ProcessInfo {
  unsigned pid;
  std::uint64_t memory_bytes;
  unsigned gpu_instance;
  unsigned compute_instance;
};

}  // namespace

template <typename F>
F Nvml::symbol(const char* name) const {
  return library_ ? reinterpret_cast<F>(dlsym(library_, name)) : nullptr;
}

Nvml::Nvml(const std::string& pci_bus_id) {
  library_ = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library_) return;
  const auto init = symbol<int (*)()>("nvmlInit_v2");
  const auto find = symbol<int (*)(const char*, void**)>("nvmlDeviceGetHandleByPciBusId_v2");
  if (!init || !find || init() != 0) return;
  void* device = nullptr;
  if (find(pci_bus_id.c_str(), &device) == 0) device_ = device;
}

Nvml::~Nvml() {
  if (const auto shutdown = symbol<int (*)()>("nvmlShutdown")) shutdown();
  if (library_) dlclose(library_);
}

Reading Nvml::read() const {
  Reading reading;
  if (!available()) return reading;
  unsigned value = 0;
  if (const auto clock = symbol<int (*)(void*, int, unsigned*)>("nvmlDeviceGetClockInfo"); clock && clock(device_, kSmClock, &value) == 0) {
    reading.clock_mhz = value;
  }
  if (const auto temperature = symbol<int (*)(void*, int, unsigned*)>("nvmlDeviceGetTemperature");
      temperature && temperature(device_, kGpuSensor, &value) == 0) {
    reading.temperature_c = value;
  }
  FieldValue field{};
  field.field_id = kPowerInstant;
  const auto fields = symbol<int (*)(void*, int, FieldValue*)>("nvmlDeviceGetFieldValues");
  if (fields && fields(device_, 1, &field) == 0 && field.status == 0) {
    reading.power_w = field.value.as_unsigned / 1e3;
  } else if (const auto power = symbol<int (*)(void*, unsigned*)>("nvmlDeviceGetPowerUsage"); power && power(device_, &value) == 0) {
    reading.power_w = value / 1e3;
  }
  return reading;
}

std::string Nvml::driver() const {
  char text[96] = "unknown";
  if (const auto version = symbol<int (*)(char*, unsigned)>("nvmlSystemGetDriverVersion")) {
    version(text, sizeof text);
  }
  return text;
}

double Nvml::power_limit_w() const {
  unsigned value = 0;
  const auto limit = symbol<int (*)(void*, unsigned*)>("nvmlDeviceGetEnforcedPowerLimit");
  return available() && limit && limit(device_, &value) == 0 ? value / 1e3 : 0;
}

double Nvml::default_power_limit_w() const {
  unsigned value = 0;
  const auto limit = symbol<int (*)(void*, unsigned*)>("nvmlDeviceGetPowerManagementDefaultLimit");
  return available() && limit && limit(device_, &value) == 0 ? value / 1e3 : 0;
}

double Nvml::max_clock_mhz() const {
  unsigned value = 0;
  const auto clock = symbol<int (*)(void*, int, unsigned*)>("nvmlDeviceGetMaxClockInfo");
  return available() && clock && clock(device_, kSmClock, &value) == 0 ? value : 0;
}

int Nvml::other_processes() const {
  const auto list = symbol<int (*)(void*, unsigned*, ProcessInfo*)>("nvmlDeviceGetComputeRunningProcesses_v3");
  if (!available() || !list) return -1;
  ProcessInfo processes[64];
  unsigned count = 64;
  if (list(device_, &count, processes) != 0) return -1;
  int others = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (processes[i].pid != static_cast<unsigned>(getpid())) ++others;
  }
  return others;
}

}  // namespace probe
