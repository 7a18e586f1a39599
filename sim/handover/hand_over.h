// A plan in a framework's own words, ready to start, with what was predicted and what the framework cannot be asked for.
//
//   const HandedOver h = hand_over(Target::megatron, {scenario, step, {}});
//   h.text     // a shell script whose flags pretrain_gpt.py takes, comments above it
//
// Checked against the sources of today: NVIDIA/Megatron-LM@d98e8a6, NVIDIA-NeMo/Megatron-Bridge@067f987, pytorch/torchtitan@b5bcd76 and
// v0.2.2, deepspeedai/DeepSpeed@edaa722 (all August 2026).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/estimate/estimate.h"
#include "sim/handover/expressed.h"

namespace trillion {

// What is handed over.
struct HandedPlan {
  Scenario scenario;  // its plan as simulated, see resolved()
  StepResult step;    // of that plan
  // What the framework will run instead, where that is another plan (expressed()): its step, or why it cannot run.
  std::optional<StepOutcome> nearest;
};

// The scenario with its plan as it was simulated: replicas and stages filled in.
Scenario resolved(const Scenario& scenario, const StepResult& step);

struct HandedOver {
  std::string text;   // the file
  std::string notes;  // a second file beside it where the first has no room for comments (DeepSpeed's JSON); else empty
};

HandedOver hand_over(Target target, const HandedPlan& plan);

// One for each framework.
std::string in_megatron(const HandedPlan& plan);
std::string in_megatron_bridge(const HandedPlan& plan);
std::string in_torchtitan(const HandedPlan& plan);
std::string in_torchtitan_toml(const HandedPlan& plan);
HandedOver in_deepspeed(const HandedPlan& plan);

}  // namespace trillion
