#include "sim/handover/hand_over.h"

#include "sim/base/error.h"

namespace trillion {

Scenario resolved(const Scenario& scenario, const StepResult& step) {
  Scenario s = scenario;
  s.plan.data_parallel = step.data_parallel;
  s.plan.layers_per_stage = step.layers_per_stage;
  return s;
}

HandedOver hand_over(Target target, const HandedPlan& plan) {
  switch (target) {
    case Target::megatron: return {in_megatron(plan), {}};
    case Target::megatron_bridge: return {in_megatron_bridge(plan), {}};
    case Target::torchtitan: return {in_torchtitan(plan), {}};
    case Target::torchtitan_toml: return {in_torchtitan_toml(plan), {}};
    case Target::deepspeed: return in_deepspeed(plan);
  }
  throw InternalError("a framework without a file");
}

}  // namespace trillion
