// The processes that share a search's work: those that mpirun or srun started, or this one alone.
//
//   Processes processes(threads);                         // first thing in a run
//   PlanSearch search(...);                               // the same in each
//   if (!processes.first()) return processes.serve(search);
//   results = processes.perform_all(search, tasks);       // in the first, as often as it likes
//
// Work is shared out dynamically: whoever is free gets as many tasks as it has threads, the first process works too. What a task comes out
// at does not depend on who did it. MPI stops a job when one of its processes dies; what the journal holds stays.
//
// Built without MPI, or started without mpirun, it is this process alone and never touches MPI.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sim/planner/plan_search.h"

namespace trillion {

class Processes {
 public:
  // `threads` of each process; 0: every core of one process, and one each of several.
  explicit Processes(unsigned threads);
  // Lets the others go.
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  bool first() const { return rank_ == 0; }
  int count() const { return count_; }
  std::vector<std::string> perform_all(const PlanSearch& search, const std::vector<SearchTask>& tasks);
  // Works until the first process is done. REQUIRES: !first().
  void serve(const PlanSearch& search);

 private:
  int rank_ = 0, count_ = 1;
  unsigned threads_;
  std::vector<int> idle_;   // of the first: ranks that wait for work
  bool dismissed_ = false;  // of the others
};

}  // namespace trillion
