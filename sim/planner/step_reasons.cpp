#include "sim/planner/step_reasons.h"

#include <algorithm>
#include <map>
#include <utility>

namespace trillion {

StepReasons step_reasons(const Scenario& on, const Ranked& r) {
  const StepResult& step = r.step;
  const ExposedSeconds& e = step.exposed;
  const ComputeSeconds& c = step.compute;
  const double gpus = static_cast<double>(r.layout.nodes * on.cluster.gpus_per_node);
  const Seconds ideal{step.model_flops_causal.value() / gpus / on.cluster.gpu.peak_bf16.value()};
  const Seconds matrix = c.attention + c.dense_ffn + c.experts + c.embedding_and_head;
  const Seconds exposed = e.expert_all_to_all + e.pipeline_p2p + e.tensor_parallel + e.context_parallel + e.gradient_reduce +
                          e.parameter_gather + e.host_offload;
  return {step.phases.bubble / step.time, exposed / step.time, c.recompute / step.time, (matrix - ideal) / step.time,
          step.phases.optimizer / step.time};
}

std::vector<std::size_t> best_by_size(const std::vector<Ranked>& ranked) {
  std::map<std::pair<std::size_t, std::int64_t>, std::size_t> best;
  for (std::size_t i = 0; i < ranked.size(); ++i) best.try_emplace({ranked[i].layout.cluster, ranked[i].layout.nodes}, i);
  std::vector<std::size_t> out;
  for (const auto& [size, i] : best) out.push_back(i);
  return out;
}

}  // namespace trillion
