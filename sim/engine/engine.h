// Runs any TaskGraph: a discrete-event simulation with in-order streams and max-min-fair links.
//
// Events are ordered by (time, sequence number); all events of one instant are applied before rates are solved, once, and only
// the touched component of links is re-rated. Same graph, same bytes out.
//
// A transfer waits for the kernels that have begun on its device before it came (task_graph.h, Side); at one instant transfers come
// first, as they are issued first.
#pragma once

#include <stdexcept>
#include <vector>

#include "sim/engine/task_graph.h"

namespace trillion {

// When everything happened; one entry per task.
struct Trace {
  // A transfer that had to wait for a kernel of its device; of several, the last to end.
  struct HeldUp {
    TaskId transfer, kernel;
  };

  std::vector<SimTime> start, end;
  std::vector<HeldUp> held_up;    // in no particular order
  std::vector<Bytes> link_bytes;  // per link, carried over the whole run
  SimTime makespan;
  std::uint64_t events = 0;
};

// A graph that cannot finish. what() names the head of every blocked stream and what it waits for.
class StuckGraph : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws StuckGraph.
Trace run(const TaskGraph& graph);

}  // namespace trillion
