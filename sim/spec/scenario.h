// A question: model x cluster x calibration x training x plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/spec/calibration.h"
#include "sim/spec/cluster.h"
#include "sim/spec/model.h"
#include "sim/spec/perturbations.h"
#include "sim/spec/plan.h"
#include "sim/spec/search.h"
#include "sim/spec/training.h"

namespace trillion {

// What is simulated: a whole training step, or one overlapped forward-and-backward pair of chunks alone.
enum class Extent { step, overlapped_pair };

enum class Fidelity {
  folded,  // replicas that behave alike are simulated once
  full,    // every GPU
};

// A part of the run after its main one: longer sequences, another batch, a layout of its own. Model and cluster stay.
struct LaterPhase {
  std::string name;
  Training training;  // its tokens are the phase's
  Plan plan;
};

struct Scenario {
  std::string name;                                        // folder name
  std::string question;                                    // one sentence
  std::string model_file, cluster_file, calibration_file;  // as the report names them
  Model model;
  Cluster cluster;
  Calibration calibration;
  Training training;
  Plan plan;
  std::vector<LaterPhase> later;  // training.phases, in the order of the run
  Perturbations perturbations;
  Search search;  // of `trillion plan`; the other verbs do not look at it
  Extent extent = Extent::step;
  std::int64_t pair_layers = 0;  // layers of each chunk, for Extent::overlapped_pair
  std::uint64_t seed = 0;
  std::uint64_t content = 0;  // checksum of what all the files say: what a search's journal is kept for
  Fidelity fidelity = Fidelity::folded;
  std::vector<std::string> defaults;   // "plan.micro_batch_size: 1": keys that were left out, and what was taken instead
  std::vector<std::string> overrides;  // "plan.schedule=1f1b": what the command line changed

  // Contradictions between parts (the parts validate themselves).
  std::vector<std::string> validate() const;
};

}  // namespace trillion
