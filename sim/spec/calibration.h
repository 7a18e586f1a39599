// How fast the parts are: one GPU model *and* one software stack. A profile file (calibration/profiles/*.yaml) is this struct;
// the fit (calibration/fit) writes it, spec/load_calibration.h reads it, timing/ answers from it.
//
// A calibration says nothing about a cluster: curves hold achieved rates, and `chip` holds the vendor's rates of the machine
// they were achieved on, so that timing/ can scale NVLink and NIC rates to another cluster's links.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/chip_power.h"
#include "sim/spec/curve.h"
#include "sim/spec/origin.h"
#include "sim/spec/stack_words.h"

namespace trillion {

// One number that is not a curve, with where it comes from.
template <class T>
struct Figure {
  T value{};
  Provenance provenance;
};

// Vendor figures of the calibrated machine.
struct Chip {
  std::int64_t sms = 132;
  FlopsPerSecond peak_bf16, peak_fp8;  // dense; peak_fp8 = 0: none
  BytesPerSecond memory_bandwidth;
  BytesPerSecond nvlink;  // one GPU, one way
  BytesPerSecond nic;     // one GPU's share of its node's NICs, one way
  Provenance provenance;
};

// What the software stack does around the kernels.
struct Stack {
  Figure<Framework> framework{Framework::fused, {}};
  Figure<AttentionLibrary> attention{AttentionLibrary::fastest, {}};

  // Attention computes whole multiples of so many channels of a head: one of 96 takes as long as one of 128. FlashAttention
  // (AttentionLibrary::flash) has kernels for every 32.
  Figure<std::int64_t> head_multiple{64, {Origin::assumed, "as cuDNN 9.19 on an H100 and an H200: 96 channels take what 128 take"}};

  // Time.
  Figure<Seconds> kernel_gap;   // of the device between two kernels of a full queue
  Figure<Seconds> host_launch;  // of the host to issue one kernel: shorter kernels leave the device waiting
  // Of the host to issue an operation from Python: a product or attention, and anything else (torch-eager).
  Figure<Seconds> host_product, host_elementwise;
  Figure<Seconds> host_wait;      // from the end of a kernel until the host has its result
  Figure<double> sustained_gemm;  // time in a long step over time in a burst, where only one of the two is measured
  Figure<double> sustained_attention;
  Figure<double> sustained_memory;
  Figure<double> chip_spread;  // standard deviation of the clocks that chips of this kind hold under one limit (spec/chip_spread.h)

  // Time of a kernel beside communication over time alone *on the SMs that it keeps*: what shared HBM, L2 and power cost.
  Figure<double> beside_communication_gemm, beside_communication_attention, beside_communication_memory;
  Figure<double> beside_compute_communication;  // the same for the communication
  Figure<std::int64_t> collective_sms;          // that a collective of the library holds
  // Whether all-reduces may be left to the switch, where it can add (spec/nccl.h).
  Figure<Nvls> nvls{Nvls::enabled, {Origin::vendor, "NCCL's default since 2.17 (NCCL_NVLS_ENABLE)"}};

  // Memory of a process beyond its tensors.
  Figure<Bytes> context;             // CUDA context and kernels' code
  Figure<Bytes> collective_buffers;  // NCCL: channels of all communicators of a rank
  Figure<Bytes> expert_buffers;      // expert-parallel library
  Figure<Bytes> workspace;           // GEMM and attention
  Figure<double> fragmentation;      // reserved but unused, as a fraction of the allocator's tensors (framework: fused)
  // Left out: as PyTorch does by itself.
  Figure<std::vector<TorchMemorySetting>> torch_memory{{}, {Origin::assumed, "PyTorch's own settings"}};
  bool sets(TorchMemorySetting s) const {
    return std::find(torch_memory.value.begin(), torch_memory.value.end(), s) != torch_memory.value.end();
  }

  // Host.
  Figure<BytesPerSecond> host_to_device, device_to_host;  // pinned

  // Which FP8 recipe a plan's `precision: fp8` means: fp8 (tensor-wide scales) or fp8_block.
  Figure<DType> fp8{DType::fp8, {}};

  // Chains of elementwise kernels that the stack runs as one: "swiglu+cast_fp8", "add+rms_norm".
  Figure<std::vector<std::string>> fused;
  // What the stack runs as kernels of its own though others fuse it.
  Figure<std::vector<UnfusedPart>> unfused;
  bool runs_apart(UnfusedPart part) const { return std::find(unfused.value.begin(), unfused.value.end(), part) != unfused.value.end(); }
};

// Calls visit(name, figure) for each figure of a (const) Stack, in the order of the profile file.
template <class StackType, class Visitor>
void for_each_figure(StackType& stack, Visitor&& visit) {
  visit("framework", stack.framework);
  visit("attention", stack.attention);
  visit("head_multiple", stack.head_multiple);
  visit("kernel_gap", stack.kernel_gap);
  visit("host_launch", stack.host_launch);
  visit("host_product", stack.host_product);
  visit("host_elementwise", stack.host_elementwise);
  visit("host_wait", stack.host_wait);
  visit("sustained_gemm", stack.sustained_gemm);
  visit("sustained_attention", stack.sustained_attention);
  visit("sustained_memory", stack.sustained_memory);
  visit("chip_spread", stack.chip_spread);
  visit("beside_communication_gemm", stack.beside_communication_gemm);
  visit("beside_communication_attention", stack.beside_communication_attention);
  visit("beside_communication_memory", stack.beside_communication_memory);
  visit("beside_compute_communication", stack.beside_compute_communication);
  visit("collective_sms", stack.collective_sms);
  visit("nvls", stack.nvls);
  visit("context", stack.context);
  visit("collective_buffers", stack.collective_buffers);
  visit("expert_buffers", stack.expert_buffers);
  visit("workspace", stack.workspace);
  visit("fragmentation", stack.fragmentation);
  visit("torch_memory", stack.torch_memory);
  visit("host_to_device", stack.host_to_device);
  visit("device_to_host", stack.device_to_host);
  visit("fp8", stack.fp8);
  visit("fused", stack.fused);
  visit("unfused", stack.unfused);
}

struct Calibration {
  std::string gpu;       // "NVIDIA H800"
  std::string software;  // "DeepSeek-V3 training stack (DeepGEMM, DeepEP), traced 2025-02"
  Chip chip;
  ChipPower power;
  Stack stack;
  std::vector<GemmCurve> gemms;  // plain and grouped
  std::vector<AttentionCurve> attentions;
  std::vector<MemoryCurve> memory_kernels;
  std::vector<CollectiveCurve> collectives;
  std::vector<ExpertCurve> experts;

  // Every curve, in the order of the five vectors above.
  std::vector<CurveInfo> curves() const;

  // What cannot be: rates that are not positive, two curves for one key, unordered knots ... Empty: all is well.
  std::vector<std::string> validate() const;
};

// The curve's name from its key: "gemm bf16 weight_gradient accumulate burst", "attention bf16 192/128 backward sustained".
std::string curve_name(const GemmCurve& curve);
std::string curve_name(const AttentionCurve& curve);
std::string curve_name(const MemoryCurve& curve);
std::string curve_name(const CollectiveCurve& curve);
std::string curve_name(const ExpertCurve& curve);

// The calibration as another measurement might have come out: each curve's times multiplied by exp(sigma z), z standard
// normal, with sigma = ln(1 + p90) / 1.645 from the curve's residuals. A curve's error is taken as common to all its shapes,
// which is the cautious reading: independent errors would average out over a step's kernels. Same seed, same calibration.
Calibration redraw(const Calibration& calibration, std::uint64_t seed);

// Calls visit(curve) for every curve in the order of Calibration::curves().
template <class CalibrationType, class Visitor>
void for_each_curve(CalibrationType& calibration, Visitor&& visit) {
  for (auto& curve : calibration.gemms) visit(curve);
  for (auto& curve : calibration.attentions) visit(curve);
  for (auto& curve : calibration.memory_kernels) visit(curve);
  for (auto& curve : calibration.collectives) visit(curve);
  for (auto& curve : calibration.experts) visit(curve);
}

}  // namespace trillion
