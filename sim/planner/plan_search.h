// The best layouts of a scenario: exact memory first, optimistic bounds second, simulation last, the most promising first.
//
//   PlanSearch search(scenario, {.keep = 10, .threads = 0});
//   while (search.advance()) progress.update(search.done(), search.total(), ...);   // may be left at any time: best so far
//   for (const Ranked& r : search.ranked()) ...
//
// Never drops the best: a layout is left out only if it does not fit, or if a bound that its step cannot undercut
// (planner/bound.h) is above the keep-th best found. So the first `keep` of ranked() are those of an exhaustive search.
// The order of work is fixed and in batches of a fixed size: thread count changes nothing in the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "sim/estimate/estimate.h"
#include "sim/planner/search_space.h"

namespace trillion {

// One simulated layout.
struct Ranked {
  Layout layout;  // data_parallel and layers_per_stage resolved
  StepResult step;
  double gpu_hours_per_trillion_tokens = 0;
  std::optional<Usd> usd_per_trillion_tokens;
  double days = 0;  // of the run; per trillion tokens where training.tokens is 0
  Bytes peak_memory;
};

struct SearchCounts {
  std::size_t enumerated = 0, pruned_by_memory = 0, pruned_by_bound = 0, simulated = 0;
};

struct SearchOptions {
  std::size_t keep = 10;
  unsigned threads = 0;  // as in estimate()
};

class PlanSearch {
 public:
  // Enumerates and bounds every layout. `scenario` is copied.
  PlanSearch(const Scenario& scenario, const SearchOptions& options);
  PlanSearch(const PlanSearch&) = delete;
  PlanSearch& operator=(const PlanSearch&) = delete;

  // Looks at the next batch. False when nothing is left to look at.
  bool advance();

  std::size_t total() const { return order_.size(); }
  std::size_t done() const { return next_; }
  const SearchCounts& counts() const { return counts_; }
  // What was simulated, best first; equals in the order of enumeration.
  const std::vector<Ranked>& ranked() const { return ranked_; }
  // Why layouts that do not fit do not, by how much at least: the smallest excess seen, and the layout's plan.
  struct NearMiss {
    Layout layout;
    std::string reason;
    Bytes excess;
  };
  const std::optional<NearMiss>& near_miss() const { return near_miss_; }

 private:
  struct Bounded {
    std::size_t layout;  // index into layouts_
    double bound;        // of the objective
  };
  struct Outcome {
    enum class What { misfit, bounded, simulated } what = What::misfit;
    std::optional<Ranked> ranked;
    std::optional<NearMiss> miss;
  };
  // What routing depends on, besides the scenario.
  using LoadKey = std::tuple<std::int64_t, std::int64_t, std::int64_t, ExpertPlacement>;

  double objective(Seconds step_time, std::int64_t nodes) const;
  double threshold() const;
  LoadKey load_key(const Scenario& s, const DeviceMesh& mesh) const;
  Outcome look_at(const Bounded& candidate, double threshold) const;
  void draw_loads(std::size_t begin, std::size_t end);
  void take(Outcome outcome);

  Scenario scenario_;
  SearchOptions options_;
  std::map<std::int64_t, Scenario> sized_;  // one for each number of nodes: links and curves depend on the cluster
  std::map<std::int64_t, Timing> timings_;  // of sized_
  std::vector<Layout> layouts_;
  std::vector<Bounded> order_;
  std::size_t next_ = 0;
  std::map<LoadKey, ExpertLoad> loads_;
  std::vector<Ranked> ranked_;
  SearchCounts counts_;
  std::optional<NearMiss> near_miss_;
};

// Those that no other beats in GPU-hours, days and peak memory at once; in the order of `ranked`. Indices into it.
std::vector<std::size_t> pareto_front(const std::vector<Ranked>& ranked);

}  // namespace trillion
