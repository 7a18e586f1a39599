// Clock, power and temperature of one GPU, read through libnvidia-ml.so.1.
//
// nvml.h is often absent where CUDA is present, so the library is opened at run time with prototypes of
// our own. Without the library every reading is NaN-free zero and available() is false. Nothing here
// changes a setting of the GPU.
#pragma once

#include <string>

namespace probe {

struct Reading {
  double clock_mhz = 0;      // SM clock
  double power_w = 0;        // instantaneous where the driver offers it, else its one-second mean
  double temperature_c = 0;  // GPU core
};

class Nvml {
 public:
  explicit Nvml(const std::string& pci_bus_id);  // "0000:01:00.0"
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  bool available() const { return device_ != nullptr; }
  Reading read() const;

  std::string driver() const;
  double power_limit_w() const;          // enforced now
  double default_power_limit_w() const;  // as shipped: a lower enforced limit is worth a warning
  double max_clock_mhz() const;
  int other_processes() const;  // compute processes on this GPU besides us; -1 if unknown

 private:
  template <typename F>
  F symbol(const char* name) const;

  void* library_ = nullptr;
  void* device_ = nullptr;
};

}  // namespace probe
