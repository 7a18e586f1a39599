// The best layouts of a scenario: exact memory and a bound of the step first, then about how long a step takes, simulation last, the most
// promising first; before all that the scenario's own plan, so that there is an answer from the start.
//
//   PlanSearch search(scenario, {.keep = 10});
//   for (auto tasks = search.next(); !tasks.empty(); tasks = search.next())       // may be left at any time: best so far
//     for (const SearchTask& task : tasks) search.take(task, search.perform(task));
//   for (const Ranked& r : search.ranked()) ...
//
// A layout is left out only if
//   memory     it does not fit
//   bound      a time that its step cannot undercut (workload/chunk_run.h) is above the keep-th best found; where it leaves the layout no
//              chance either to be the best of a value of an axis, or on the front, it is not screened (planner/chance.h)
//   screening  its screened time (planner/screening.h), less what screening has been found to overestimate, is
// The last is measured in every search: all that is simulated is screened too, the own plan, the most promising, the front, and some drawn
// from what is within reach, kReach times the best. The allowance is kLeastAllowance, or half again the largest overestimate seen with the
// same schedule where that is more. Kept besides the first `keep`: the best of each cluster and size and, by its screened time and
// within reach, the front of GPU-hours, days and memory.
//
// perform() depends on the task alone, so whoever performs tasks in whatever order (threads, MPI ranks, a journal that remembers), the
// result is the same bytes. tasks and results are taken in the order of next().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/planner/chance.h"
#include "sim/planner/score.h"
#include "sim/planner/screening.h"
#include "sim/planner/search_result.h"

namespace trillion {

// One simulated layout.
struct Ranked {
  std::size_t index = 0;  // of the layout, in the order of enumeration
  Layout asked;           // as it was enumerated
  Layout layout;          // data_parallel and layers_per_stage resolved
  StepResult step;        // as far as SimulatedLayout keeps it
  double gpu_hours_per_trillion_tokens = 0;
  std::optional<Usd> usd_per_trillion_tokens;
  double days = 0;  // of the run; per trillion tokens where training.tokens is 0
  std::optional<Usd> usd;
  Bytes peak_memory;
  std::optional<Seconds> screened;  // what screening had said
};

struct SearchCounts {
  std::size_t enumerated = 0, pruned_by_memory = 0, pruned_by_bound = 0, pruned_by_screening = 0, simulated = 0;
  std::size_t screened = 0;  // of those that fit, whatever came of it
};

// How far screened times were from simulated ones.
struct ScreeningError {
  std::size_t layouts = 0;
  double median = 0, largest_over = 0, largest_under = 0;  // relative; the median of magnitudes
  double allowance = 0;                                    // the largest that was made
};

// A layout that fits: what is known of its step.
struct LookedAt {
  enum class How { simulated, screened, bounded } how = How::simulated;  // bounded: at least so long
  std::size_t index = 0;                                                 // of the layout
  Seconds step_time;
  Score score;
};

struct SearchOptions {
  std::size_t keep = 10;
  bool screen = true;    // false: layouts are left out by memory and bound alone
  unsigned threads = 0;  // that enumerate; 0: every core
};

class PlanSearch {
 public:
  static constexpr double kLeastAllowance = 0.01, kReach = 1.5;

  // Enumerates every layout. `scenario` is copied.
  PlanSearch(const Scenario& scenario, const SearchOptions& options);
  PlanSearch(const PlanSearch&) = delete;
  PlanSearch& operator=(const PlanSearch&) = delete;

  // What to do next, in batches of a size that depends on what was found alone. Empty: all is done.
  std::vector<SearchTask> next();
  // For a search that is cut: what is still worth doing, in place of next() until it is empty. Where nothing was screened yet, a few groups
  // that may be the best of something; then the most promising of what was screened, unless they have been simulated. A second or two.
  std::vector<SearchTask> next_of_a_cut();
  std::string perform(const SearchTask& task) const;  // from many threads at once
  void take(const SearchTask& task, std::string_view result);

  // Layouts whose fate is settled.
  std::size_t total() const { return layouts_.size(); }
  std::size_t done() const { return settled_; }
  bool complete() const { return complete_; }
  // Tasks like the last ones that are still to come, as far as can be told: what is found may take some away.
  std::size_t ahead() const { return ahead_; }
  SearchCounts counts() const;
  ScreeningError screening_error() const;
  // What was simulated, best first; equals in the order of enumeration.
  const std::vector<Ranked>& ranked() const { return ranked_; }
  Score score(const Ranked& ranked) const { return score(ranked.step.time, ranked.layout); }
  // Every layout that fits, in no particular order.
  std::vector<LookedAt> looked_at() const;
  // The scenario with this layout, ready for estimate().
  Scenario scenario(const Layout& layout) const { return screening_->scenario(layout); }
  const std::vector<Scenario>& clusters() const { return clusters_; }
  const std::vector<Layout>& layouts() const { return layouts_; }
  const Screening& screening() const { return *screening_; }
  // Of what does not fit: the smallest excess seen, at least.
  struct NearMiss {
    Layout layout;
    Bytes peak, excess;
  };
  const std::optional<NearMiss>& near_miss() const { return near_miss_; }

 private:
  struct Candidate {
    std::size_t layout = 0;
    Screened screened;
    bool looked_at_only = true;  // its group was not screened
    bool simulated = false;
  };

  Corner corner(Seconds step_time, Bytes peak, const Layout& layout) const;

  Score score(Seconds step_time, const Layout& layout) const { return score_of(clusters_[layout.cluster], layout.nodes, step_time); }
  double allowance(const Layout& layout) const;
  Seconds expected(const Candidate& c) const { return c.screened.time && options_.screen ? *c.screened.time : c.screened.bound; }
  Seconds at_best(const Candidate& c) const;
  enum class Why { not_at_all, best, front };
  Why why_it_matters(const Candidate& c) const;
  double gpus(const Layout& layout) const;
  bool may_be_on_front(const Candidate& c) const;
  bool within_reach(const Candidate& c) const;
  std::vector<SearchTask> next_families();
  std::vector<SearchTask> next_groups();
  std::vector<SearchTask> next_candidates();
  void sort_by_bound();
  void order_candidates();
  void draw_some();
  void add_most_promising(std::vector<SearchTask>& tasks, std::size_t up_to);
  void take_looked(std::size_t family, const std::vector<Screened>& looked);
  void take_screened(std::size_t group, const std::vector<Screened>& screened);
  void take_simulated(std::size_t layout, const Simulated& simulated);
  void know(std::size_t candidate, Seconds time);
  void learn_from(const Ranked& ranked);

  Scenario scenario_;
  SearchOptions options_;
  std::vector<Scenario> clusters_;
  std::vector<Layout> layouts_;
  std::unique_ptr<Screening> screening_;
  std::optional<std::size_t> own_;  // layout: the scenario's plan, until it was asked for
  std::size_t next_family_ = 0, groups_at_once_ = 0, settled_ = 0, ahead_ = 0, rounds_of_a_cut_ = 0;
  std::vector<Candidate> candidates_;                // that fit, by their bound once all were looked at
  std::map<std::size_t, std::size_t> candidate_of_;  // by layout
  std::vector<Chance> chances_;                      // of candidates_
  std::size_t axis_values_ = 0;
  std::vector<std::size_t> order_;   // candidates that may be simulated, the most promising first
  std::vector<std::size_t> wanted_;  // that are simulated whatever comes: some from all within reach
  bool sorted_ = false, drawn_ = false, complete_ = false;
  std::vector<Ranked> ranked_;
  std::map<std::pair<std::size_t, std::int64_t>, Score> best_of_size_;  // cluster, nodes
  Front simulated_front_;  // by screened times, held against screened ones, lest each one's error bring its neighbours in
  std::array<double, kScheduleNames.size()> largest_over_{};
  std::vector<double> errors_;
  std::size_t misfits_ = 0;
  std::optional<NearMiss> near_miss_;
};

// Those that no other beats in GPU-hours, days and peak memory at once; in the order of `ranked`. Indices into it.
std::vector<std::size_t> pareto_front(const std::vector<Ranked>& ranked);

}  // namespace trillion
