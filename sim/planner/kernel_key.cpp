#include "sim/planner/kernel_key.h"

#include <cstdint>

#include "sim/workload/device_mesh.h"
#include "sim/workload/lower.h"

namespace trillion {

std::string kernel_key(const Layout& l, const Scenario& s) {
  const Plan& p = l.plan;
  std::string key;
  const auto add = [&](auto number) { key += std::to_string(static_cast<std::int64_t>(number)) + ' '; };
  add(l.cluster), add(l.nodes), add(p.tensor_parallel), add(p.sequence_parallel), add(p.tensor_parallel_overlap);
  add(p.context_parallel), add(p.context_parallel_method), add(p.pipeline_parallel == 1), add(p.expert_parallel);
  add(p.expert_tensor_parallel), add(p.micro_batch_size), add(p.precision), add(p.expert_placement), add(alternates_chunks(p));
  add(p.recomputed_layers.method), add(p.recomputed_layers.count);
  for (const RankAxis axis : p.rank_order) add(axis);
  for (const RecomputeModule m : p.recompute) add(m);
  key += '|';
  for (const Offload o : p.offload) add(o);
  // Elsewhere neighbours of a group lie as far apart whatever the pipeline.
  const bool fused = s.calibration.stack.framework.value == Framework::fused;
  if (p.rank_order.back() != RankAxis::pipeline || !fused) add(p.pipeline_parallel);
  add(DeviceMesh(p, s.cluster).pipeline().ranks_per_node > 1);  // sends within a node hold SMs
  return key;
}

}  // namespace trillion
