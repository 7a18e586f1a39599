// Routers of published models, as the tests and benchmarks of this room ask for them.
#pragma once

#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"
#include "sim/spec/model.h"

namespace trillion {

// DeepSeek-V3: the best 8 of 256 experts on the best 4 of 8 nodes, and its expert-parallel group.
inline const GateShape kV3{256, 8, 8, 4, 2, GateScore::sigmoid};
inline const ExpertGroup kEp64{64, 8, 4096};

// The best `per_token` of `experts`, in the best `limit` of `groups`.
inline Model mixture(std::int64_t experts, std::int64_t per_token, std::int64_t groups, std::int64_t limit) {
  Model model;
  model.moe = MixtureOfExperts{};
  model.moe->n_routed_experts = experts;
  model.moe->num_experts_per_tok = per_token;
  model.moe->n_group = groups;
  model.moe->topk_group = limit;
  return model;
}

inline Model deepseek_v3() {
  Model model = mixture(256, 8, 8, 4);
  model.moe->topk_group_scores = 2;
  model.moe->score = GateScore::sigmoid;
  return model;
}

inline Model mixtral() {
  Model model;
  model.moe = MixtureOfExperts{};
  model.moe->n_routed_experts = 8;
  model.moe->num_experts_per_tok = 2;
  return model;
}

}  // namespace trillion
