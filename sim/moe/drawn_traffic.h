// One micro-batch of one layer, token by token: who sends how many copies to whom. The layer and micro-batch are the first that
// moe/expert_load.h draws, of which this is every token instead of a mean.
#pragma once

#include <cstdint>

#include "sim/moe/dispatch.h"
#include "sim/spec/model.h"
#include "sim/spec/plan.h"
#include "sim/spec/training.h"

namespace trillion {

// Throws InputError where rows are padded (what travels is then the same for all, and known beforehand), and as expert_load_measured().
// REQUIRES: model.moe.
Traffic drawn_traffic(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed);

}  // namespace trillion
