#include "sim/workload/stage.h"

#include <numeric>

#include "sim/base/error.h"
#include "sim/workload/schedule.h"

namespace trillion {

std::vector<Stage> make_stages(const Model& model, const std::vector<std::int64_t>& layers_per_stage, const RecomputedLayers& recomputed) {
  CHECK(std::accumulate(layers_per_stage.begin(), layers_per_stage.end(), std::int64_t{0}) == model.num_hidden_layers);
  std::vector<Stage> stages(layers_per_stage.size());
  stages.front().push_back(BlockKind::embedding);
  std::int64_t layer = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    for (std::int64_t i = 0; i < layers_per_stage[s]; ++i, ++layer) {
      const BlockKind kind = model.is_moe_layer(layer) ? BlockKind::moe_layer : BlockKind::dense_layer;
      const bool spared = recomputed.method == RecomputeMethod::block && i >= recomputed.count;
      stages[s].push_back(spared ? kept(kind) : kind);
    }
  }
  stages.back().push_back(BlockKind::head);
  for (std::int64_t i = 0; i < model.num_nextn_predict_layers; ++i) {
    stages.back().push_back(BlockKind::mtp_layer);
    stages.back().push_back(BlockKind::mtp_head);
  }
  return stages;
}

std::int64_t stage_count(const Plan& plan) {
  if (plan.schedule_file) return parse_schedule(plan.schedule_file->text, plan.schedule_file->path).stages;
  switch (plan.schedule) {
    case ScheduleKind::zb_v:
    case ScheduleKind::dualpipe_v: return 2 * plan.pipeline_parallel;
    case ScheduleKind::interleaved_1f1b: return plan.virtual_pipeline_stages * plan.pipeline_parallel;
    case ScheduleKind::gpipe:
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::zb_h1:
    case ScheduleKind::zb_h2:
    case ScheduleKind::dualpipe: return plan.pipeline_parallel;
  }
  return plan.pipeline_parallel;
}

std::vector<std::int64_t> first_layers(const std::vector<std::int64_t>& layers_per_stage) {
  std::vector<std::int64_t> first(layers_per_stage.size());
  std::exclusive_scan(layers_per_stage.begin(), layers_per_stage.end(), first.begin(), std::int64_t{0});
  return first;
}

}  // namespace trillion
