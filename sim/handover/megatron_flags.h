// A scenario as Megatron-LM's flags: what is trained, how long its sequences are, and how it is laid out.
#pragma once

#include <string>
#include <vector>

#include "sim/handover/expressed.h"
#include "sim/spec/scenario.h"

namespace trillion {

struct Flag {
  std::string name;                 // "--recompute-modules"
  std::vector<std::string> values;  // none: a switch
  friend bool operator==(const Flag&, const Flag&) = default;
};

struct FlagGroup {
  std::string name;  // of the shell array: MODEL, MOE, TRAINING, PARALLEL, ...
  std::vector<Flag> flags;
};

// The model alone; empty groups are left out. `notes` gains a line for whatever the flags cannot say.
std::vector<FlagGroup> megatron_model_flags(const Model& model, std::vector<std::string>& notes);
// Batch, precision and the optimizer's state.
std::vector<FlagGroup> megatron_training_flags(const Scenario& scenario, std::vector<std::string>& notes);
// REQUIRES: plan == expressed_in_megatron(scenario with it).plan, nothing is lost.
std::vector<FlagGroup> megatron_plan_flags(const Scenario& scenario, const Plan& plan);

// All of it, for a plan as simulated.
struct MegatronFlags {
  std::vector<FlagGroup> groups;
  std::vector<std::string> notes;
};
MegatronFlags megatron_flags(const Scenario& scenario, const Plan& nearest);

// "--a 1 --b 'x|y'", quoted for a shell where that is needed.
std::string flag_text(const Flag& flag);

// What `to` asks for and `from` does not, and what it no longer does: "--micro-batch-size 2, without --bf16". Empty: the same.
std::string flag_difference(const std::vector<FlagGroup>& from, const std::vector<FlagGroup>& to);

}  // namespace trillion
