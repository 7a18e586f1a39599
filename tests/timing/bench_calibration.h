// A small calibration and cluster with round numbers.
#pragma once

#include "sim/spec/calibration.h"
#include "sim/spec/cluster.h"

namespace trillion {

inline constexpr std::uint64_t kSeed = 20250301;

inline CurveInfo measured(double p90) { return {"", {Origin::measured, "a test's bench"}, {p90 / 2, p90, 20}, 1}; }

inline Calibration bench_calibration() {
  Calibration c;
  c.gpu = "bench GPU";
  c.software = "bench software";
  c.chip = {132, FlopsPerSecond{989e12}, FlopsPerSecond{1979e12}, BytesPerSecond{3.35e12}, BytesPerSecond{450e9}, BytesPerSecond{50e9}, {}};
  c.stack.sustained_gemm = {1.15, {Origin::measured, "bench"}};
  c.stack.sustained_attention = {1.1, {Origin::measured, "bench"}};
  c.stack.sustained_memory = {1.0, {Origin::measured, "bench"}};
  c.stack.beside_communication_gemm = {1.05, {Origin::measured, "bench"}};
  c.stack.fp8 = {DType::fp8, {Origin::assumed, "bench"}};
  c.stack.collective_sms = {16, {Origin::measured, "bench"}};

  GemmCurve gemm;
  gemm.info = measured(0.08);
  gemm.sm_rate = FlopsPerSecond{5.5e12};
  gemm.tiles = {{128, 256, 1.0}, {128, 128, 0.85}, {64, 64, 0.5}};
  gemm.tile_overhead = Seconds{2e-6};
  gemm.max_split = 8;
  gemm.wave_smoothing = 0.3;
  gemm.launch = Seconds{3e-6};
  gemm.memory_rate = BytesPerSecond{2.5e12};
  gemm.m = gemm.n = gemm.k = {64, 32768};
  gemm.info.name = curve_name(gemm);
  c.gemms.push_back(gemm);

  AttentionCurve attention;
  attention.info = measured(0.05);
  attention.sm_rate = FlopsPerSecond{4.5e12};
  attention.tile_overhead = Seconds{1e-6};
  attention.tail = 0.3;
  attention.launch = Seconds{4e-6};
  attention.memory_rate = BytesPerSecond{2.5e12};
  attention.queries = attention.keys = {1024, 131072};
  attention.info.name = curve_name(attention);
  c.attentions.push_back(attention);

  MemoryCurve copy;
  copy.info = measured(0.03);
  copy.launch = Seconds{2e-6};
  copy.rate = BytesPerSecond{2.8e12};
  copy.sm_rate = BytesPerSecond{40e9};
  copy.chip_sms = 132;
  copy.measured = {1024, 4e9};
  copy.info.name = curve_name(copy);
  c.memory_kernels.push_back(copy);

  CollectiveCurve gather;
  gather.info = measured(0.05);
  gather.kind = CollectiveKind::all_gather;
  gather.base = Seconds{8e-6};
  gather.nvlink_step = Seconds{1e-6};
  gather.nic_step = Seconds{5e-6};
  gather.pipeline = Seconds{1.6e-6};
  gather.nvlink = BytesPerSecond{360e9};
  gather.nic = BytesPerSecond{46e9};
  gather.bytes = {1024, 1e10};
  gather.ranks = {2, 64};
  gather.nodes = {1, 8};
  gather.info.name = curve_name(gather);
  c.collectives.push_back(gather);

  ExpertCurve dispatch;
  dispatch.info = measured(0.1);
  dispatch.latency = Seconds{50e-6};
  dispatch.nic = BytesPerSecond{30e9};
  dispatch.nvlink = BytesPerSecond{130e9};
  dispatch.sms = 20;
  dispatch.bytes = {1e6, 1e9};
  dispatch.ranks = {64, 64};
  dispatch.info.name = curve_name(dispatch);
  c.experts.push_back(dispatch);
  return c;
}

inline Cluster bench_cluster() {
  Cluster c;
  c.nodes = 8;
  c.gpus_per_node = 8;
  c.gpu.sms = 132;
  c.scale_up.domain_gpus = 8;
  c.scale_up.bandwidth = BytesPerSecond{450e9};
  c.scale_out.nics_per_node = 8;
  c.scale_out.nic_bandwidth = BytesPerSecond{50e9};
  return c;
}

}  // namespace trillion
