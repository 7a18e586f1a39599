// Layouts before they are simulated: does one fit (exactly), how long can its step not be shorter, how long does it take about.
//
// Layouts that run the same kernels (they differ in schedule, pipeline, sharding, overlap of data parallelism) form a family, whose
// kernels are looked up once: look() says what fits, and a bound. Those of a family with as many pipeline ranks form a group: screen()
// simulates its chunks kernel by kernel once (workload/chunk_profile.h) and runs each layout's schedule chunk by chunk
// (workload/chunk_run.h). A stage's first and last chunks, beside which parameters and gradients move, have profiles of their own.
// Long steps are run for two numbers of micro-batches and continued in a straight line. Every micro-batch has the mean routing. How far
// that is from the whole simulation is measured by the search (planner/plan_search.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sim/base/once_map.h"
#include "sim/estimate/prepare.h"
#include "sim/estimate/shared_routing.h"
#include "sim/planner/search_space.h"
#include "sim/workload/chunk_run.h"

namespace trillion {

struct Screened {
  bool fits = false;
  Bytes peak;                   // of the fullest rank; where it does not fit: at least so much
  Seconds bound;                // of the step, never undercut
  std::optional<Seconds> time;  // of the step, about; empty: only looked at, or what this layout does cannot be told chunk by chunk
};

class Screening {
 public:
  // All must outlive it. `clusters`: search_clusters(scenario); `layouts`: of these. `loads_of`: whose routing is taken, where clusters
  // differ from that one's in nothing that routing depends on. `threads`: 0 uses every core.
  Screening(const std::vector<Scenario>& clusters, const std::vector<Layout>& layouts, const Screening* loads_of = nullptr,
            unsigned threads = 1);
  Screening(const Screening&) = delete;
  Screening& operator=(const Screening&) = delete;

  // Layouts of one family or group, by their index; every layout is in one of each.
  const std::vector<std::vector<std::size_t>>& families() const { return families_; }
  const std::vector<std::vector<std::size_t>>& groups() const { return groups_; }
  std::size_t group_of(std::size_t layout) const { return group_of_[layout]; }
  // One for each layout of the family: memory and bound. From many threads at once.
  std::vector<Screened> look(std::size_t family) const;
  // One for each layout of the group: times too. From many threads at once.
  std::vector<Screened> screen(std::size_t group) const;

  // The scenario with this layout, and the timing of its cluster at that size.
  Scenario scenario(const Layout& layout) const;
  const Timing& timing(const Layout& layout) const { return sized_.at({layout.cluster, layout.nodes})->timing; }
  // Routing, drawn once for all layouts that share it.
  const ExpertLoad& load(const Scenario& with_layout, std::size_t cluster) const;

  // The whole simulation. Empty: it does not fit.
  struct Whole {
    StepResult step;
    Bytes peak;
  };
  std::optional<Whole> simulate(const Layout& layout) const;

 private:
  struct Sized {
    explicit Sized(Scenario s) : scenario(std::move(s)), timing(scenario.calibration, scenario.cluster) {}
    Scenario scenario;
    Timing timing;
  };
  struct Scheduled {
    PipelineSchedule schedule;
    ChunkProgram program;
  };
  using ScheduleKey = std::tuple<ScheduleKind, std::int64_t, std::int64_t, std::int64_t>;              // ranks, micro-batches, chunks
  using LoadKey = std::tuple<std::size_t, std::int64_t, std::int64_t, std::int64_t, ExpertPlacement>;  // cluster, ranks, a node's, tokens
  class Group;

  const Screened* looked_at(std::size_t layout) const;  // by this object's look(); null: not

  static LoadKey load_key(const Scenario& with_layout, std::size_t cluster);
  void spread_loads();
  const Scheduled& scheduled(const Plan& plan, std::int64_t micro_batches) const;
  const std::vector<std::int64_t>& split(const StageShape& shape, const LayerCosts& costs) const;

  const std::vector<Scenario>& clusters_;
  const std::vector<Layout>& layouts_;
  const Screening* loads_of_;
  std::map<std::pair<std::size_t, std::int64_t>, std::unique_ptr<Sized>> sized_;  // by cluster and nodes
  std::vector<std::vector<std::size_t>> families_, groups_;
  std::vector<std::size_t> family_of_, group_of_;  // [layout]
  mutable OnceMap<std::size_t, std::vector<Screened>> looked_;
  mutable OnceMap<ScheduleKey, Scheduled> schedules_;
  mutable OnceMap<std::pair<StageShape, LayerCosts>, std::vector<std::int64_t>> splits_;  // of many families, which share costs
  mutable OnceMap<LoadKey, ExpertLoad> loads_;
  mutable SharedRouting routing_;
};

}  // namespace trillion
