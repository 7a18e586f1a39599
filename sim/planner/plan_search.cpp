#include "sim/planner/plan_search.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "sim/base/parallel_for.h"
#include "sim/estimate/prepare.h"
#include "sim/estimate/price.h"
#include "sim/planner/bound.h"
#include "sim/workload/feasibility.h"

namespace trillion {

namespace {

constexpr std::size_t kBatch = 16;
constexpr double kTrillion = 1e12;

Bytes peak_of(const std::vector<StageMemory>& memory) {
  Bytes peak;
  for (const StageMemory& m : memory) peak = std::max(peak, m.peak());
  return peak;
}

}  // namespace

PlanSearch::PlanSearch(const Scenario& scenario, const SearchOptions& options)
    : scenario_(scenario), options_(options), layouts_(layouts(scenario)) {
  counts_.enumerated = layouts_.size();
  order_.resize(layouts_.size());
  for (const Layout& l : layouts_) {
    if (timings_.contains(l.nodes)) continue;
    const Scenario& s = sized_.emplace(l.nodes, with_layout(scenario_, l)).first->second;
    timings_.emplace(l.nodes, Timing(s.calibration, s.cluster));
  }
  parallel_for(layouts_.size(), options_.threads, [&](std::size_t i) {
    const Scenario s = with_layout(scenario_, layouts_[i]);
    order_[i] = {i, objective(work_bound(s, timings_.at(layouts_[i].nodes)), layouts_[i].nodes)};
  });
  std::stable_sort(order_.begin(), order_.end(), [](const Bounded& a, const Bounded& b) { return a.bound < b.bound; });
}

// Per trillion tokens: tokens of a step are the same for all layouts.
double PlanSearch::objective(Seconds step_time, std::int64_t nodes) const {
  const double tokens = static_cast<double>(scenario_.training.global_batch_size) * static_cast<double>(scenario_.training.sequence_length);
  const double gpus = static_cast<double>(nodes * scenario_.cluster.gpus_per_node);
  const double hours = step_time.value() / 3600 / tokens * kTrillion;
  return scenario_.search.objective == Objective::days ? hours / 24 : hours * gpus;
}

double PlanSearch::threshold() const {
  if (ranked_.size() < options_.keep) return std::numeric_limits<double>::infinity();
  const Ranked& last = ranked_[options_.keep - 1];
  return objective(last.step.time, last.layout.nodes);
}

PlanSearch::LoadKey PlanSearch::load_key(const Scenario& s, const DeviceMesh& mesh) const {
  const std::int64_t shared = s.plan.sequence_parallel ? s.plan.tensor_parallel : 1;
  return {mesh.expert().size, mesh.expert().ranks_per_node,
          s.plan.micro_batch_size * s.training.sequence_length / s.plan.context_parallel / shared, s.plan.expert_placement};
}

void PlanSearch::draw_loads(std::size_t begin, std::size_t end) {
  if (!scenario_.model.moe) return;
  std::vector<std::pair<LoadKey, Scenario>> missing;
  for (std::size_t i = begin; i < end; ++i) {
    const Scenario s = with_layout(scenario_, layouts_[order_[i].layout]);
    const LoadKey key = load_key(s, DeviceMesh(s.plan, s.cluster));
    const bool known = loads_.contains(key) || std::any_of(missing.begin(), missing.end(), [&](const auto& m) { return m.first == key; });
    if (!known) missing.emplace_back(key, s);
  }
  std::vector<ExpertLoad> drawn(missing.size());
  parallel_for(missing.size(), options_.threads, [&](std::size_t i) {
    const Scenario& s = missing[i].second;
    drawn[i] = load_of(s, DeviceMesh(s.plan, s.cluster));
  });
  for (std::size_t i = 0; i < missing.size(); ++i) loads_.emplace(missing[i].first, std::move(drawn[i]));
}

PlanSearch::Outcome PlanSearch::look_at(const Bounded& candidate, double threshold) const {
  const Layout& layout = layouts_[candidate.layout];
  if (candidate.bound > threshold) return {Outcome::What::bounded, {}, {}};
  Scenario s = with_layout(scenario_, layout);
  const Timing& timing = timings_.at(layout.nodes);
  const auto known = s.model.moe ? std::optional(loads_.at(load_key(s, DeviceMesh(s.plan, s.cluster)))) : std::nullopt;
  auto outcome = lay_out(s, timing, known);
  if (std::holds_alternative<Infeasible>(outcome)) return {};
  const auto& step = std::get<PreparedStep>(outcome);
  if (const auto why = why_memory_short(step.memory, s.cluster.gpu)) {
    return {Outcome::What::misfit, {}, NearMiss{layout, why->reason, peak_of(step.memory) - s.cluster.gpu.usable_memory}};
  }
  if (objective(schedule_bound(s, step, timing), layout.nodes) > threshold) return {Outcome::What::bounded, {}, {}};
  Ranked r;
  r.step = simulate_prepared(s, step, timing);
  r.layout = {layout.nodes, step.plan};
  r.gpu_hours_per_trillion_tokens = gpu_hours(r.step.time, s.cluster.gpus()) / r.step.tokens * kTrillion;
  r.usd_per_trillion_tokens = rent(r.gpu_hours_per_trillion_tokens, s.cluster);
  const double tokens = s.training.tokens > 0 ? s.training.tokens : kTrillion;
  r.days = r.step.time.value() / r.step.tokens * tokens / 86400;
  r.peak_memory = peak_of(r.step.memory);
  return {Outcome::What::simulated, std::move(r), {}};
}

void PlanSearch::take(Outcome outcome) {
  switch (outcome.what) {
    case Outcome::What::misfit: ++counts_.pruned_by_memory; break;
    case Outcome::What::bounded: ++counts_.pruned_by_bound; break;
    case Outcome::What::simulated: ++counts_.simulated; break;
  }
  if (outcome.miss && (!near_miss_ || outcome.miss->excess < near_miss_->excess)) near_miss_ = std::move(outcome.miss);
  if (!outcome.ranked) return;
  const auto better = [&](const Ranked& a, const Ranked& b) {
    return objective(a.step.time, a.layout.nodes) < objective(b.step.time, b.layout.nodes);
  };
  ranked_.insert(std::upper_bound(ranked_.begin(), ranked_.end(), *outcome.ranked, better), std::move(*outcome.ranked));
}

bool PlanSearch::advance() {
  if (next_ == order_.size()) return false;
  const double limit = threshold();
  if (order_[next_].bound > limit) {  // and so is everything after it
    counts_.pruned_by_bound += order_.size() - next_;
    next_ = order_.size();
    return false;
  }
  const std::size_t begin = next_, end = std::min(order_.size(), begin + kBatch);
  draw_loads(begin, end);
  std::vector<Outcome> outcomes(end - begin);
  parallel_for(outcomes.size(), options_.threads, [&](std::size_t i) { outcomes[i] = look_at(order_[begin + i], limit); });
  for (Outcome& outcome : outcomes) take(std::move(outcome));
  next_ = end;
  return next_ < order_.size();
}

std::vector<std::size_t> pareto_front(const std::vector<Ranked>& ranked) {
  const auto beats = [](const Ranked& a, const Ranked& b) {
    const bool no_worse =
        a.gpu_hours_per_trillion_tokens <= b.gpu_hours_per_trillion_tokens && a.days <= b.days && a.peak_memory <= b.peak_memory;
    const bool better =
        a.gpu_hours_per_trillion_tokens < b.gpu_hours_per_trillion_tokens || a.days < b.days || a.peak_memory < b.peak_memory;
    return no_worse && better;
  };
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    if (std::none_of(ranked.begin(), ranked.end(), [&](const Ranked& other) { return beats(other, ranked[i]); })) front.push_back(i);
  }
  return front;
}

}  // namespace trillion
