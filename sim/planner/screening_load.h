// What screening takes for the load of a step's experts, in place of every micro-batch's own.
#pragma once

#include "sim/spec/scenario.h"
#include "sim/workload/block.h"

namespace trillion {

// Even load on every rank, of as few rows as a capacity could leave: all tokens of a rank choosing the same experts. No routing is drawn.
LayerRouting least_load(const Scenario& scenario);

// Every micro-batch with the mean routing.
ExpertLoad flat(const ExpertLoad& load);

// The load of the least busy micro-batch, at the mean's traffic: what a bound may count on.
LayerRouting least_of(const ExpertLoad& load);

}  // namespace trillion
