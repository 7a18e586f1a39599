// A plan as torchtitan's options, for today's Python configurations and for the TOML of v0.2.2. Internal to the room.
#pragma once

#include <string>
#include <vector>

#include "sim/handover/hand_over.h"
#include "sim/handover/python_text.h"

namespace trillion {

// Configuration functions that torchtitan ships, by the names of our models; empty: none.
struct TitanModel {
  std::string module;    // "deepseek_v3"
  std::string function;  // "deepseek_v3_671b", of today's config_registry.py
  std::string flavor;    // "671B"
  bool fp8 = false;      // the function converts products to FP8 by itself
};
TitanModel titan_model(const Model& model);

// The modules of every stage: "tok_embeddings", "layers.0", ..., "norm" and the output's name.
std::vector<std::vector<std::string>> titan_stages(const Plan& plan, const std::string& output);

std::string titan_schedule(const Plan& plan);  // PyTorch's name

// parallelism.*: degrees and pipeline, which are the same in both.
Settings titan_parallelism(const Scenario& scenario, const Plan& plan);

std::int64_t titan_micro_batches(const Scenario& scenario, const Plan& plan);  // per replica and step

}  // namespace trillion
