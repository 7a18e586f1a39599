// Which blocks a pipeline stage executes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/spec/infeasible.h"
#include "sim/spec/model.h"
#include "sim/spec/plan.h"
#include "sim/workload/block.h"

namespace trillion {

// Blocks of one stage in forward order.
using Stage = std::vector<BlockKind>;

// The model cut into stages: decoder layers as layers_per_stage says; the embedding opens the first stage; head, then each
// multi-token-prediction module with its head, close the last one.
// REQUIRES: layers_per_stage adds up to the model's layers.
// `recomputed`: under the method `block`, layers of a stage beyond the first so many keep their activations.
std::vector<Stage> make_stages(const Model& model, const std::vector<std::int64_t>& layers_per_stage,
                               const RecomputedLayers& recomputed = {});

// Stages that the plan's schedule cuts the model into: pipeline ranks times the model chunks of a rank. DualPipe holds every stage
// twice, which makes two chunks a rank but no more stages.
std::int64_t stage_count(const Plan& plan);

// Index of the first decoder layer of a stage: layers are numbered through the model, so that routing can tell them apart.
std::vector<std::int64_t> first_layers(const std::vector<std::int64_t>& layers_per_stage);

}  // namespace trillion
