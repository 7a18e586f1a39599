// How long one kernel or one collective takes alone. The only door to the calibration: lowering and `trillion time` ask here.
//
//   const Timing timing(scenario.calibration, scenario.cluster);
//   const KernelTime t = timing.time(Gemm{DType::bf16, 4096, 7168, 2048}, {.sms = 112, .load = Load::sustained});
//   timing.curve(t.curve).provenance.source     // who says so
//
// A kernel without a curve of its own falls back to the nearest related one: another accumulation, another layout, the other
// power state (times the stack's sustained_* factor), another precision (times the ratio of the peaks); a grouped GEMM to the
// plain one; attention to the nearest head dimensions; a memory-bound kernel to `copy`. Such a curve is listed under a name
// of its own with origin `assumed`, a source that names what it was taken from, and a wider interval. With nothing related in
// the profile, time() throws InputError.
//
// A Timing may be asked from many threads at once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/calibration.h"
#include "sim/spec/cluster.h"
#include "sim/spec/kernel.h"
#include "sim/timing/gemm_memo.h"

namespace trillion {

// Under which conditions a kernel runs.
struct Conditions {
  std::int64_t sms = 0;  // streaming multiprocessors that it may use; 0: all of the chip
  Load load = Load::burst;
  // SM clock that the whole step holds, where its mean draw decides (spec/chip_power.h); 0: the kernel alone decides, as `load` says.
  double clock_mhz = 0;
  // Clock of the step's slowest chip over the mean's, where the profile does not know what the chip draws (spec/chip_spread.h): products
  // and attention take so much longer.
  double slowest_clock = 1;
};

// A time and how much it can be trusted.
struct KernelTime {
  Seconds time;
  Seconds low, high;          // 90 % interval from the curve's residuals
  std::uint32_t curve = 0;    // index into Timing::curves(): which curve spoke
  bool extrapolated = false;  // the shape lies outside the measured range
};

enum class HostDirection { to_host, to_device };

class Timing {
 public:
  // Both must outlive the Timing.
  Timing(const Calibration& calibration, const Cluster& cluster);

  KernelTime time(const Kernel& kernel, const Conditions& conditions = {}) const;
  // What step_clock (spec/chip_power.h) asks of a kernel that runs `count` times. REQUIRES: the calibration's power is known().
  PowerLoad power_load(const Kernel& kernel, std::int64_t sms, double count) const;

  // The group alone on an idle fabric. `load` matters to expert_dispatch and expert_combine only: burst is the library alone,
  // sustained is the library overlapped with computation, as in a training step.
  KernelTime time(const Collective& collective, Load load = Load::sustained) const;
  // How the library does it (spec/collective_curve.h); empty where that is not known.
  std::string algorithm(const Collective& collective) const;

  // A copy engine's copy to a GPU of the same scale-up domain: a message's latency and the rate of NCCL's largest sends, without the
  // protocol in between.
  KernelTime peer_copy(Bytes bytes) const;

  // Pinned memory over PCIe, at the stack's measured rate, no faster than the cluster's link.
  KernelTime host_copy(Bytes bytes, HostDirection direction) const;
  // Adam on the node's processors, which its GPUs share.
  KernelTime host_update(double parameters) const;

  // Every curve that can speak: those of the calibration in the order of Calibration::curves(), then the fallbacks.
  const std::vector<CurveInfo>& curves() const { return curves_; }
  const CurveInfo& curve(std::uint32_t index) const { return curves_.at(index); }

  const Stack& stack() const { return calibration_.stack; }
  std::int64_t chip_sms() const { return cluster_.gpu.sms > 0 ? cluster_.gpu.sms : calibration_.chip.sms; }

  // SMs that a collective's kernel holds while it runs; compute gets the rest.
  std::int64_t sms_held(CollectiveKind kind) const;

 private:
  // Curves of one kind with their places in curves_; the place of a key is in one of the tables below.
  template <class Curve>
  struct Shelf {
    std::vector<Curve> curves;
    std::vector<std::uint32_t> index;
  };
  using Table = std::vector<std::int32_t>;  // position in a shelf; -1: nothing related in the profile

  template <class Curve>
  std::int32_t shelve(Shelf<Curve>& shelf, const Curve& curve);
  void fill_gemms();
  void fill_attentions();
  void fill_memory_kernels();
  void fill_collectives();
  void add_host_curves();

  KernelTime ask(const Gemm& gemm, const Conditions& conditions) const;
  KernelTime ask(const GroupedGemm& gemm, const Conditions& conditions) const;
  KernelTime ask(const Attention& attention, const Conditions& conditions) const;
  KernelTime ask(const MemoryBound& kernel, const Conditions& conditions) const;
  double sms(const Conditions& conditions) const;
  GroupLinks links(BytesPerSecond nvlink, BytesPerSecond nic) const;
  KernelTime answer(Seconds time, std::uint32_t curve, bool extrapolated) const;

  const Calibration& calibration_;
  const Cluster& cluster_;
  std::vector<CurveInfo> curves_;
  Shelf<GemmCurve> gemms_;
  Shelf<AttentionCurve> attentions_;
  Shelf<MemoryCurve> memory_kernels_;
  Shelf<CollectiveCurve> collectives_;
  Shelf<ExpertCurve> experts_;
  std::uint32_t host_curves_ = 0;  // to host, to device, update
  std::uint32_t peer_curve_ = 0;
  Table gemm_table_, memory_table_, collective_table_, expert_table_;
  mutable GemmMemo products_;
};

}  // namespace trillion
