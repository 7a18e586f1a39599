// What one simulated step came out at. Field names are those of the report (../shared/INTERFACE.md), units in the type.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/estimate/group_placement.h"
#include "sim/moe/expert_load.h"
#include "sim/spec/infeasible.h"
#include "sim/spec/origin.h"
#include "sim/spec/plan.h"
#include "sim/spec/training.h"
#include "sim/workload/memory.h"

namespace trillion {

// Wall time of the slowest pipeline rank; adds up to the step's time.
struct PhaseSeconds {
  Seconds forward, backward, weight, forward_backward, bubble, optimizer, other;
  Seconds total() const { return forward + backward + weight + forward_backward + bubble + optimizer + other; }
};

// Communication that no computation hides, on the slowest pipeline rank. `straggler`: what its kernels take beyond even expert load,
// and its waiting for other members of an exchange or another collective that nothing hides.
struct ExposedSeconds {
  Seconds expert_all_to_all, pipeline_p2p, tensor_parallel, context_parallel, gradient_reduce, parameter_gather, host_offload, straggler;
};

// Busy time per GPU, mean over ranks.
struct ComputeSeconds {
  Seconds attention, dense_ffn, experts, gate, embedding_and_head, norm_and_elementwise, cast_and_quantize, recompute, optimizer;
  Seconds total() const {
    return attention + dense_ffn + experts + gate + embedding_and_head + norm_and_elementwise + cast_and_quantize + recompute + optimizer;
  }
};

struct LinkTraffic {
  std::string name;        // "nic", "nvlink", ...
  std::string kind;        // nvlink | nic | leaf | spine
  Bytes bytes_per_step;    // over all links of the kind
  double utilization = 0;  // mean over links and the step
};

// How tokens met experts; means over the drawn layers and micro-batches (moe/expert_load.h).
struct RoutingResult {
  Balance balance = Balance::forced;
  double tokens_per_expert_max_over_mean = 1, tokens_per_expert_variation = 0;  // the latter: standard deviation over mean
  double rank_load_max_over_mean = 1, scale_out_max_over_mean = 1;
  double dropped_share = 0, served_rows = 1;  // of the (token, expert) pairs chosen
  double nodes_per_token_mean = 0;
  Bytes bytes_per_token_scale_out, bytes_per_token_scale_up;  // one layer, dispatch + combine, forward
  bool limited = false;                                       // the gate has a node limit; without it:
  double free_nodes_per_token = 0;
  Bytes free_bytes_per_token_scale_out;
  Bytes dispatch_copy, combine_copy;  // one token on the wire, metadata included
  std::vector<LayerLoad> layers;
};

// One evidence line: which curve or figure, where it comes from, how much of the step's kernel time rests on it.
struct OriginShare {
  std::string parameter;
  Provenance provenance;
  double share_of_time = 0;
  bool extrapolated = false;
};

struct StepResult {
  Seconds time;
  double tokens = 0;
  Flops model_flops_causal, model_flops_noncausal, hardware_flops;  // of the whole step, all GPUs
  PhaseSeconds phases;
  ExposedSeconds exposed;
  ComputeSeconds compute;
  std::vector<StageMemory> memory;  // per pipeline rank
  std::vector<LinkTraffic> traffic;
  std::vector<GroupPlacement> groups;
  RoutingResult routing;             // meaningful for mixture-of-experts models only
  std::vector<OriginShare> origins;  // descending share
  std::vector<std::int64_t> layers_per_stage;
  std::int64_t data_parallel = 1;
  std::int64_t micro_batches = 1;                  // per replica and step
  std::int64_t slowest_rank = 0;                   // the pipeline rank whose phases and exposed seconds these are
  double time_low_ratio = 1, time_high_ratio = 1;  // 90 % interval of `time`, relative
  std::uint64_t events = 0, tasks = 0;
  Seconds host_issue;         // what a GPU's host spends on issuing the step's kernels, mean; 0: the stack never waits for its host
  double clock_mhz = 0;       // SM clock that the power limit leaves; 0: not known, kernels ran on their sustained curves
  std::uint64_t kernels = 0;  // and communications: several kernels can be one task
};

}  // namespace trillion
