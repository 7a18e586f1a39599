// What is under way at a point of a lowering (workload/lowering.h): chains of tasks, chunks, gradients, parameters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/workload/lower.h"

namespace trillion {

// Where a chain of dependent tasks stands: a micro-batch's activations, or its gradients, on their way through the blocks.
struct Chain {
  TaskId last;
  StreamId stream;
  TaskId parameters = {};  // the gather that the next kernel waits for as well
  TaskId restored = {};    // and the copy from the host, or to it
};

// Operations of one part of a block that run beside its chain; the first `met` of them have been waited for.
struct Beside {
  std::vector<TaskId> tasks;
  std::size_t met = 0;
};

// One chunk on its way: which pass, on which simulated GPU, at which point of its chain.
struct Chunk {
  Pass pass;
  std::int32_t gpu = 0;
  Chain chain;
  bool weights_ran = false;  // those of the part under way, beside its communication
  TaskId last_weight;
  Company company = Company::alone;
};

// Gradients of one bucket on their way.
struct Reduction {
  std::vector<Operation> steps;
  RendezvousId meeting;  // of the first step
};

// Parameters of the blocks of a stage up to `end`, on their way.
struct Bucket {
  std::size_t end = 0;
  TaskId gather;  // not valid(): there is nobody to gather from
};

}  // namespace trillion
