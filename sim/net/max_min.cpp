#include "sim/net/max_min.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sim/base/error.h"

namespace trillion {

namespace {

constexpr int kFractionBits = 80;
constexpr double kUnit = 0x1p-80;
constexpr double kRising = -1;

constexpr auto kLater = [](const auto& a, const auto& b) { return a.level > b.level; };

}  // namespace

Share Share::of(double coefficient) {
  CHECK(coefficient > 0 && coefficient <= 1, "a demand coefficient lies in (0, 1]");
  Share share;
  share.units_ = std::max<Units>(1, static_cast<Units>(std::ldexp(coefficient, kFractionBits)));
  return share;
}

double Share::value() const { return static_cast<double>(units_) * kUnit; }

void MaxMinProblem::clear() {
  capacities.clear();
  caps.clear();
  uses_begin.clear();
  uses.clear();
}

void MaxMinProblem::add_flow(double cap, std::span<const MaxMinUse> flow_uses) {
  if (uses_begin.empty()) uses_begin.push_back(0);
  caps.push_back(cap);
  uses.insert(uses.end(), flow_uses.begin(), flow_uses.end());
  uses_begin.push_back(static_cast<std::uint32_t>(uses.size()));
}

std::span<const double> MaxMinSolver::solve(const MaxMinProblem& problem) {
  prepare(problem);
  for (std::size_t next_cap = 0; rising_count_ > 0;) {
    while (next_cap < by_cap_.size() && rates_[by_cap_[next_cap]] >= 0) ++next_cap;
    const double cap = problem.caps[by_cap_[next_cap]];
    const double link_level = lowest_link_level();
    const double level = std::min(cap, link_level);
    CHECK(std::isfinite(level), "a flow without a cap needs a link");
    if (cap <= link_level) {
      for (; next_cap < by_cap_.size() && problem.caps[by_cap_[next_cap]] == cap; ++next_cap) {
        if (rates_[by_cap_[next_cap]] < 0) stop_flow(problem, by_cap_[next_cap], cap);
      }
    } else {
      stop_flows_of_saturated_links(problem, level);
    }
    settle_links(level);
  }
  return rates_;
}

void MaxMinSolver::prepare(const MaxMinProblem& problem) {
  const std::size_t flows = problem.caps.size(), links = problem.capacities.size();
  rising_count_ = flows;
  rates_.assign(flows, kRising);
  bottlenecks_.assign(flows, kAtCap);
  links_.assign(links, {});
  for (const MaxMinUse& use : problem.uses) links_[use.link].rising += use.share;
  index_flows_by_link(problem);
  candidates_.clear();
  for (std::uint32_t l = 0; l < links; ++l) {
    links_[l].left = problem.capacities[l];
    if (links_[l].rising.zero()) continue;
    links_[l].level = links_[l].left / links_[l].rising.value();
    candidates_.push_back({links_[l].level, l});
  }
  std::make_heap(candidates_.begin(), candidates_.end(), kLater);
  by_cap_.resize(flows);
  std::iota(by_cap_.begin(), by_cap_.end(), 0u);
  std::sort(by_cap_.begin(), by_cap_.end(), [&](std::uint32_t a, std::uint32_t b) { return problem.caps[a] < problem.caps[b]; });
}

void MaxMinSolver::index_flows_by_link(const MaxMinProblem& problem) {
  link_flows_begin_.assign(problem.capacities.size() + 1, 0);
  for (const MaxMinUse& use : problem.uses) ++link_flows_begin_[use.link];
  std::exclusive_scan(link_flows_begin_.begin(), link_flows_begin_.end(), link_flows_begin_.begin(), 0u);
  link_flows_.resize(problem.uses.size());
  for (std::uint32_t flow = 0; flow < problem.caps.size(); ++flow) {
    for (std::uint32_t u = problem.uses_begin[flow]; u < problem.uses_begin[flow + 1]; ++u) {
      link_flows_[link_flows_begin_[problem.uses[u].link]++] = flow;
    }
  }
  // Filling moved every begin to its end, which is the next one's begin.
  std::copy_backward(link_flows_begin_.begin(), link_flows_begin_.end() - 1, link_flows_begin_.end());
  link_flows_begin_[0] = 0;
}

double MaxMinSolver::lowest_link_level() {
  while (!candidates_.empty()) {
    const Candidate top = candidates_.front();
    const Link& link = links_[top.link];
    if (!link.rising.zero() && link.level == top.level) return top.level;
    std::pop_heap(candidates_.begin(), candidates_.end(), kLater);
    candidates_.pop_back();
    if (link.rising.zero()) continue;
    candidates_.push_back({link.level, top.link});
    std::push_heap(candidates_.begin(), candidates_.end(), kLater);
  }
  return std::numeric_limits<double>::infinity();
}

void MaxMinSolver::stop_flow(const MaxMinProblem& problem, std::uint32_t flow, double level) {
  rates_[flow] = level;
  --rising_count_;
  for (std::uint32_t u = problem.uses_begin[flow]; u < problem.uses_begin[flow + 1]; ++u) {
    Link& link = links_[problem.uses[u].link];
    if (link.stopped_now.zero()) touched_.push_back(problem.uses[u].link);
    link.rising -= problem.uses[u].share;
    link.stopped_now += problem.uses[u].share;
  }
}

void MaxMinSolver::stop_flows_of_saturated_links(const MaxMinProblem& problem, double level) {
  while (!candidates_.empty() && candidates_.front().level <= level) {
    const Candidate top = candidates_.front();
    std::pop_heap(candidates_.begin(), candidates_.end(), kLater);
    candidates_.pop_back();
    if (links_[top.link].level > level) {  // out of date
      candidates_.push_back({links_[top.link].level, top.link});
      std::push_heap(candidates_.begin(), candidates_.end(), kLater);
      continue;
    }
    for (std::uint32_t f = link_flows_begin_[top.link]; f < link_flows_begin_[top.link + 1]; ++f) {
      if (rates_[link_flows_[f]] >= 0) continue;
      stop_flow(problem, link_flows_[f], level);
      bottlenecks_[link_flows_[f]] = top.link;
    }
  }
}

void MaxMinSolver::settle_links(double level) {
  for (const std::uint32_t l : touched_) {
    Link& link = links_[l];
    link.left -= level * link.stopped_now.value();
    link.stopped_now = {};
    // Mathematically the level never falls when a flow stops below it; rounding must not make it do so.
    if (!link.rising.zero()) link.level = std::max(link.level, link.left / link.rising.value());
  }
  touched_.clear();
}

std::vector<double> max_min_rates(const MaxMinProblem& problem) {
  MaxMinSolver solver;
  const std::span<const double> rates = solver.solve(problem);
  return {rates.begin(), rates.end()};
}

}  // namespace trillion
