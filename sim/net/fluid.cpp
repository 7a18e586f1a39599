#include "sim/net/fluid.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "sim/base/error.h"
#include "sim/base/random.h"

namespace trillion {

namespace {

// Links joined by the paths that use them.
class Components {
 public:
  explicit Components(std::size_t links) : parent_(links) { std::iota(parent_.begin(), parent_.end(), 0u); }
  std::uint32_t of(std::uint32_t link) {
    while (parent_[link] != link) link = parent_[link] = parent_[parent_[link]];
    return link;
  }
  void join(std::uint32_t a, std::uint32_t b) { parent_[of(a)] = of(b); }

 private:
  std::vector<std::uint32_t> parent_;
};

// The paths of one component from the start to the last end.
class FluidRun {
 public:
  FluidRun(const FluidProblem& problem, std::vector<double>& ends) : problem_(problem), ends_(ends) { prepare(); }

  void run() {
    for (const std::vector<std::uint32_t>& paths : components()) run_component(paths);
  }

 private:
  struct Path {
    std::vector<std::uint32_t> flows;  // by bytes
    std::size_t ended = 0;
    double cap = 0;
    double moved = 0;  // bytes of each of its flows
    std::size_t left() const { return flows.size() - ended; }
  };

  std::span<const MaxMinUse> uses(std::uint32_t path) const {
    return {problem_.uses.data() + problem_.uses_begin[path], problem_.uses_begin[path + 1] - problem_.uses_begin[path]};
  }

  void prepare();
  std::vector<std::vector<std::uint32_t>> components();
  void run_component(std::vector<std::uint32_t> paths);
  void number_links(const std::vector<std::uint32_t>& paths);
  std::span<const double> rates(const std::vector<std::uint32_t>& paths);
  void end_flows(Path& path, double time);

  const FluidProblem& problem_;
  std::vector<double>& ends_;
  std::vector<Path> paths_;
  std::vector<bool> contended_;
  std::vector<std::uint32_t> local_;  // number of a contended link in the component
  std::vector<double> local_capacities_;
  MaxMinProblem max_min_;
  MaxMinSolver solver_;
  std::vector<MaxMinUse> path_uses_;
};

void FluidRun::prepare() {
  paths_.resize(problem_.path_count());
  for (std::uint32_t i = 0; i < problem_.flows.size(); ++i) {
    CHECK(problem_.flows[i].bytes > 0, "a flow moves bytes");
    paths_[problem_.flows[i].path].flows.push_back(i);
  }
  std::vector<double> load(problem_.capacities.size());
  for (std::uint32_t p = 0; p < paths_.size(); ++p) {
    Path& path = paths_[p];
    std::sort(path.flows.begin(), path.flows.end(),
              [&](std::uint32_t a, std::uint32_t b) { return problem_.flows[a].bytes < problem_.flows[b].bytes; });
    path.cap = std::numeric_limits<double>::infinity();
    for (const MaxMinUse& use : uses(p)) path.cap = std::min(path.cap, problem_.capacities[use.link] / use.share.value());
    for (const MaxMinUse& use : uses(p)) load[use.link] += path.cap * use.share.value() * static_cast<double>(path.flows.size());
  }
  // Well below the capacity, so that the order of the sum cannot decide; what lies between is solved.
  constexpr double kSurely = 1 - 1e-9;
  contended_.resize(load.size());
  for (std::size_t l = 0; l < load.size(); ++l) contended_[l] = load[l] > problem_.capacities[l] * kSurely;
  local_.resize(load.size());
}

std::vector<std::vector<std::uint32_t>> FluidRun::components() {
  constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  Components joined(problem_.capacities.size());
  std::vector<std::uint32_t> some_link(paths_.size(), kNone);
  for (std::uint32_t p = 0; p < paths_.size(); ++p) {
    for (const MaxMinUse& use : uses(p)) {
      if (!contended_[use.link]) continue;
      if (some_link[p] != kNone) joined.join(some_link[p], use.link);
      some_link[p] = use.link;
    }
  }
  std::vector<std::vector<std::uint32_t>> components;
  std::vector<std::uint32_t> number(problem_.capacities.size(), kNone);
  for (std::uint32_t p = 0; p < paths_.size(); ++p) {
    if (paths_[p].flows.empty()) continue;
    if (some_link[p] == kNone) {  // nothing ever holds it back
      for (const std::uint32_t flow : paths_[p].flows) ends_[flow] = problem_.flows[flow].bytes / paths_[p].cap;
      continue;
    }
    std::uint32_t& component = number[joined.of(some_link[p])];
    if (component == kNone) {
      component = static_cast<std::uint32_t>(components.size());
      components.emplace_back();
    }
    components[component].push_back(p);
  }
  return components;
}

void FluidRun::run_component(std::vector<std::uint32_t> paths) {
  number_links(paths);
  std::vector<double> until_next(paths.size());
  for (double time = 0; !paths.empty();) {
    const std::span<const double> rate = rates(paths);
    double step = std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < paths.size(); ++k) {
      const Path& path = paths_[paths[k]];
      until_next[k] = (problem_.flows[path.flows[path.ended]].bytes - path.moved) / rate[k];
      step = std::min(step, until_next[k]);
    }
    time += step;
    std::size_t kept = 0;
    for (std::size_t k = 0; k < paths.size(); ++k) {
      Path& path = paths_[paths[k]];
      if (until_next[k] == step) {
        end_flows(path, time);
      } else {
        path.moved += rate[k] * step;
      }
      if (path.left() > 0) paths[kept++] = paths[k];
    }
    paths.resize(kept);
  }
}

void FluidRun::end_flows(Path& path, double time) {
  path.moved = problem_.flows[path.flows[path.ended]].bytes;
  for (; path.left() > 0 && problem_.flows[path.flows[path.ended]].bytes <= path.moved; ++path.ended) ends_[path.flows[path.ended]] = time;
}

void FluidRun::number_links(const std::vector<std::uint32_t>& paths) {
  constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  local_capacities_.clear();
  for (const std::uint32_t p : paths) {
    for (const MaxMinUse& use : uses(p)) local_[use.link] = kNone;
  }
  for (const std::uint32_t p : paths) {
    for (const MaxMinUse& use : uses(p)) {
      if (!contended_[use.link] || local_[use.link] != kNone) continue;
      local_[use.link] = static_cast<std::uint32_t>(local_capacities_.size());
      local_capacities_.push_back(problem_.capacities[use.link]);
    }
  }
}

// Of one flow of each path. All flows of a path are one demand, as many times as large; demands and capacities are divided by the
// largest number of flows, for a demand is at most 1.
std::span<const double> FluidRun::rates(const std::vector<std::uint32_t>& paths) {
  std::size_t most = 1;
  for (const std::uint32_t p : paths) most = std::max(most, paths_[p].left());
  max_min_.clear();
  for (const double capacity : local_capacities_) max_min_.add_link(capacity / static_cast<double>(most));
  for (const std::uint32_t p : paths) {
    const double weight = static_cast<double>(paths_[p].left()) / static_cast<double>(most);
    path_uses_.clear();
    for (const MaxMinUse& use : uses(p)) {
      if (contended_[use.link]) path_uses_.push_back({local_[use.link], Share::of(use.share.value() * weight)});
    }
    max_min_.add_flow(paths_[p].cap, path_uses_);
  }
  return solver_.solve(max_min_);
}

// Finds the path of a transfer, by what it uses.
class Paths {
 public:
  Paths(const Fabric& fabric, FluidProblem& problem) : fabric_(fabric), problem_(problem), link_of_run_(fabric.link_count(), 0) {}

  std::uint32_t of(std::int64_t from, std::int64_t to) {
    const std::vector<LinkShare> shares = fabric_.shares(from, to);
    std::uint64_t hash = shares.size();
    for (const LinkShare& share : shares) hash = mix64(hash ^ (static_cast<std::uint64_t>(share.first) << 20 ^ share.count));
    for (auto [it, end] = known_.equal_range(hash); it != end; ++it) {
      if (shares_[it->second] == shares) return it->second;
    }
    std::vector<MaxMinUse> uses;
    for (const LinkShare& share : shares) uses.push_back({link(share), Share::of(share.share)});
    const std::uint32_t path = problem_.add_path(uses);
    known_.emplace(hash, path);
    shares_.push_back(shares);
    return path;
  }

 private:
  // A run of links that is filled evenly is one link of their joint capacity.
  std::uint32_t link(const LinkShare& share) {
    std::uint32_t& known = link_of_run_[share.first];
    if (known == 0) {
      problem_.capacities.push_back(fabric_.link(share.first).capacity.value() * share.count);
      known = static_cast<std::uint32_t>(problem_.capacities.size());
    }
    return known - 1;
  }

  const Fabric& fabric_;
  FluidProblem& problem_;
  std::vector<std::uint32_t> link_of_run_;  // number in the problem + 1, by first link
  std::unordered_multimap<std::uint64_t, std::uint32_t> known_;
  std::vector<std::vector<LinkShare>> shares_;
};

}  // namespace

std::uint32_t FluidProblem::add_path(std::span<const MaxMinUse> path_uses) {
  CHECK(!path_uses.empty(), "a path uses a link");
  uses.insert(uses.end(), path_uses.begin(), path_uses.end());
  uses_begin.push_back(static_cast<std::uint32_t>(uses.size()));
  return static_cast<std::uint32_t>(path_count() - 1);
}

std::vector<double> flow_ends(const FluidProblem& problem) {
  std::vector<double> ends(problem.flows.size());
  FluidRun(problem, ends).run();
  return ends;
}

std::vector<Seconds> transfer_ends(const Fabric& fabric, std::span<const Transfer> transfers) {
  FluidProblem problem;
  Paths paths(fabric, problem);
  std::vector<std::size_t> of_flow;
  std::vector<Seconds> ends(transfers.size());
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    const Transfer& t = transfers[i];
    if (t.from == t.to || t.bytes.value() <= 0) continue;
    problem.flows.push_back({paths.of(t.from, t.to), t.bytes.value()});
    of_flow.push_back(i);
  }
  const std::vector<double> flows = flow_ends(problem);
  for (std::size_t f = 0; f < flows.size(); ++f) ends[of_flow[f]] = Seconds{flows[f]};
  return ends;
}

}  // namespace trillion
