// A machine on which everything is linear: kernels take FLOPs / rate or bytes / rate, communication bytes / bandwidth, nothing has
// a latency. On it the published formulas hold exactly, so the simulator can be held against them.
#pragma once

#include <algorithm>
#include <string>

#include "sim/spec/scenario.h"

namespace trillion::testing_support {

inline CurveInfo exact(std::string name) { return {std::move(name), {Origin::assumed, "linear machine of the tests"}, {0, 0, 0}, 1}; }

inline Calibration linear_calibration() {
  Calibration c;
  c.gpu = "linear";
  c.software = "linear";
  c.chip = {100, FlopsPerSecond{1e15}, FlopsPerSecond{2e15}, BytesPerSecond{3e12}, BytesPerSecond{200e9}, BytesPerSecond{50e9}, {}};
  c.stack.sustained_gemm.value = c.stack.sustained_attention.value = c.stack.sustained_memory.value = 1;
  c.stack.beside_communication_gemm.value = c.stack.beside_communication_attention.value = 1;
  c.stack.beside_communication_memory.value = c.stack.beside_compute_communication.value = 1;
  for (const DType dtype : {DType::bf16, DType::fp8_block}) {
    for (const GemmLayout layout : {GemmLayout::forward, GemmLayout::input_gradient, GemmLayout::weight_gradient}) {
      for (const bool grouped : {false, true}) {
        GemmCurve g;
        g.grouped = grouped;
        g.dtype = dtype;
        g.layout = layout;
        g.accumulate_fp32 = layout == GemmLayout::weight_gradient;
        g.load = Load::sustained;
        g.sm_rate = FlopsPerSecond{1e13};
        g.tiles = {{1, 1, 1.0}};
        g.wave_smoothing = 1;
        g.memory_rate = BytesPerSecond{1e18};
        g.m = g.n = g.k = {1, 1e9};
        g.info = exact(curve_name(g));
        c.gemms.push_back(g);
      }
    }
  }
  for (const Direction direction : {Direction::forward, Direction::backward}) {
    AttentionCurve a;
    a.direction = direction;
    a.load = Load::sustained;
    a.sm_rate = FlopsPerSecond{1e13};
    a.tile_queries = a.tile_keys = 1;
    a.wave_smoothing = 1;
    a.memory_rate = BytesPerSecond{1e18};
    a.queries = a.keys = {1, 1e9};
    a.info = exact(curve_name(a));
    c.attentions.push_back(a);
  }
  MemoryCurve m;
  m.load = Load::sustained;
  m.rate = BytesPerSecond{3e12};
  m.measured = {1, 1e15};
  m.info = exact(curve_name(m));
  c.memory_kernels.push_back(m);
  for (const CollectiveKind kind : {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter,
                                    CollectiveKind::all_to_all, CollectiveKind::send_recv, CollectiveKind::broadcast}) {
    CollectiveCurve k;
    k.kind = kind;
    k.nvlink = BytesPerSecond{200e9};
    k.nic = BytesPerSecond{50e9};
    k.bytes = k.ranks = k.nodes = {1, 1e15};
    k.info = exact(curve_name(k));
    c.collectives.push_back(k);
  }
  for (const CollectiveKind kind : {CollectiveKind::expert_dispatch, CollectiveKind::expert_combine}) {
    ExpertCurve e;
    e.kind = kind;
    e.nvlink = BytesPerSecond{200e9};
    e.nic = BytesPerSecond{50e9};
    e.bytes = e.ranks = {1, 1e15};
    e.info = exact(curve_name(e));
    c.experts.push_back(e);
  }
  return c;
}

inline Cluster linear_cluster(std::int64_t nodes, std::int64_t gpus_per_node = 8) {
  Cluster c;
  c.name = "linear cluster";
  c.nodes = nodes;
  c.gpus_per_node = gpus_per_node;
  c.gpu.name = "linear GPU";
  c.gpu.sms = 100;
  c.gpu.peak_bf16 = FlopsPerSecond{1e15};
  c.gpu.peak_fp8 = FlopsPerSecond{2e15};
  c.gpu.memory = c.gpu.usable_memory = Bytes{1e12};
  c.gpu.memory_bandwidth = BytesPerSecond{3e12};
  c.gpu.power_limit = Watts{700};
  c.scale_up = {gpus_per_node, BytesPerSecond{200e9}, Seconds{}, {}};
  c.scale_out.nics_per_node = gpus_per_node;
  c.scale_out.nic_bandwidth = BytesPerSecond{50e9};
  return c;
}

// A dense Llama-like model; with a small vocabulary its layers are all that counts.
inline Model dense_model(std::int64_t layers) {
  Model m;
  m.name = "dense";
  m.model_type = "llama";
  m.hidden_size = 4096;
  m.num_hidden_layers = layers;
  m.num_attention_heads = 32;
  m.num_key_value_heads = 8;
  m.head_dim = 128;
  m.intermediate_size = 14336;
  m.vocab_size = 32;
  m.moe_layers.assign(static_cast<std::size_t>(layers), false);
  return m;
}

inline Model moe_model(std::int64_t layers) {
  Model m = dense_model(layers);
  m.name = "moe";
  m.moe = MixtureOfExperts{.n_routed_experts = 64,
                           .num_experts_per_tok = 8,
                           .moe_intermediate_size = 1536,
                           .shared_intermediate_size = 1536,
                           .n_group = 1,
                           .topk_group = 1};
  m.moe_layers.assign(static_cast<std::size_t>(layers), true);
  return m;
}

inline Scenario linear_scenario(Model model, Plan plan, std::int64_t nodes, std::int64_t global_batch_size) {
  Scenario s;
  s.name = "linear";
  s.model = std::move(model);
  s.cluster = linear_cluster(nodes);
  s.calibration = linear_calibration();
  s.training.sequence_length = 4096;
  s.training.global_batch_size = global_batch_size;
  s.training.routing.balance = Balance::forced;
  s.plan = std::move(plan);
  return s;
}

}  // namespace trillion::testing_support
