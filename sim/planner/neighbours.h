// Plans one step away from a plan: what a training lead would try next, each as the flags that ask for it.
//
//   for (const TriedChange& tried : try_changes(base, neighbours(scenario), threads)) ...   // the largest gain first
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "sim/estimate/estimate.h"
#include "sim/spec/infeasible.h"
#include "sim/spec/scenario.h"

namespace trillion {

struct Change {
  std::string what;   // "--set plan.micro_batch_size=2", or a sentence
  Scenario scenario;  // the whole of it, changed
};

// Every key of the plan by itself (with those that must follow it), doubled, halved or switched; and what takes memory together with
// what frees it: other micro-batches or fewer ranks with other recomputation. Only changes that leave the training what it is: same
// model, tokens and batch. In a fixed order, none twice.
std::vector<Change> neighbours(const Scenario& scenario);

// What the network or the router would have to do better: not for the user to set, but it tells what binds.
std::vector<Change> relieved(const Scenario& scenario);

struct TriedChange {
  std::string what;
  StepOutcome outcome;
  double gain = 0;  // share of the base's time per token that is saved; negative: slower; 0 where it cannot run
  Plan plan;        // what was tried
};

// Simulates each. The largest gain first, what cannot run last. `threads` as in estimate().
std::vector<TriedChange> try_changes(const StepResult& base, const std::vector<Change>& changes, unsigned threads = 0);

}  // namespace trillion
