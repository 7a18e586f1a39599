// Megatron-LM's flags as a plan: what the flags say, and Megatron-LM's own defaults for what they leave out.
//
//   data parallelism is implied   GPUs / (tensor x context x pipeline); experts: EP x ETP x EDP x PP is all GPUs
//   the model is the scenario's   flags of its shape are held against it, and one that differs is an error at its place
//   the batch is the file's       sequence length, batch, router balancing and the optimizer's number formats replace the scenario's
//
// Flags that cost neither time nor memory (data, logging, checkpoints, learning rate) are counted; what does and is not modelled is
// listed. Whatever the file does not settle (a variable that is not set, a flag inside `if`) is an error where a modelled flag needs it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sim/handover/given_flags.h"
#include "sim/spec/scenario.h"

namespace trillion {

struct MegatronPlan {
  Plan plan;                              // data_parallel and layers_per_stage given
  std::vector<std::string> overrides;     // "plan={...}", "training.global_batch_size=256": as --set takes them
  std::vector<std::string> notes;         // what replaces the scenario's, and what was taken for something else
  std::vector<std::string> not_modelled;  // "--moe-shared-expert-overlap"
  std::size_t without_effect = 0;
};

// `scenario`: model, cluster and training are looked at, its plan is not. Throws InputError with every mistake found.
MegatronPlan read_megatron(const GivenFlags& given, const Scenario& scenario);

}  // namespace trillion
