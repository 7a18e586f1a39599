#include "sim/planner/plan_search.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "sim/base/error.h"
#include "sim/estimate/price.h"
#include "sim/planner/best_by_value.h"

namespace trillion {

namespace {

constexpr double kTrillion = 1e12;
constexpr std::size_t kFamiliesAtOnce = 512, kLeastGroups = 16, kMostGroups = 256, kLeastBatch = 16, kMostBatch = 256;
constexpr std::size_t kMostOfAValue = 64, kDrawn = 16, kOfACutSearch = 4, kRoundsOfACut = 2;

bool beats(const Ranked& a, const Ranked& b) {
  const bool no_worse =
      a.gpu_hours_per_trillion_tokens <= b.gpu_hours_per_trillion_tokens && a.days <= b.days && a.peak_memory <= b.peak_memory;
  const bool better = a.gpu_hours_per_trillion_tokens < b.gpu_hours_per_trillion_tokens || a.days < b.days || a.peak_memory < b.peak_memory;
  return no_worse && better;
}

}  // namespace

PlanSearch::PlanSearch(const Scenario& scenario, const SearchOptions& options)
    : scenario_(scenario),
      options_(options),
      clusters_(search_clusters(scenario)),
      layouts_(trillion::layouts(clusters_, options.threads)),
      screening_(std::make_unique<Screening>(clusters_, layouts_, nullptr, options.threads)) {
  scenario_.search.clusters.clear();
  const auto own = std::find_if(layouts_.begin(), layouts_.end(), [&](const Layout& l) {
    return l.cluster == 0 && l.nodes == scenario_.cluster.nodes && l.plan == scenario_.plan;
  });
  if (own != layouts_.end()) own_ = static_cast<std::size_t>(own - layouts_.begin());
}

double PlanSearch::allowance(const Layout& layout) const {
  return std::max(kLeastAllowance, 1.5 * largest_over_[static_cast<std::size_t>(layout.plan.schedule)]);
}

Seconds PlanSearch::at_best(const Candidate& c) const {
  const Seconds expected = this->expected(c);
  if (!c.screened.time || !options_.screen) return expected;
  return std::max(c.screened.bound, expected * (1 / (1 + allowance(layouts_[c.layout]))));
}

Corner PlanSearch::corner(Seconds step_time, Bytes peak, const Layout& layout) const {
  return {step_time.value() * gpus(layout), step_time.value(), peak};
}

// Of the most promising's expected score.
bool PlanSearch::within_reach(const Candidate& c) const {
  const auto of = [&](const Candidate& other) { return score(expected(other), layouts_[other.layout]); };
  return trillion::within_reach(of(c), of(candidates_[order_.front()]), kReach);
}

bool PlanSearch::may_be_on_front(const Candidate& c) const {
  if (!within_reach(c)) return false;
  return !simulated_front_.beats(corner(expected(c), c.screened.peak, layouts_[c.layout]));
}

PlanSearch::Why PlanSearch::why_it_matters(const Candidate& c) const {
  if (ranked_.size() < options_.keep) return Why::best;
  const Layout& layout = layouts_[c.layout];
  const Score best = score(at_best(c), layout);
  if (best <= score(ranked_[options_.keep - 1])) return Why::best;
  const auto of_size = best_of_size_.find({layout.cluster, layout.nodes});
  if (of_size == best_of_size_.end() || best <= of_size->second) return Why::best;
  return options_.screen && may_be_on_front(c) ? Why::front : Why::not_at_all;
}

double PlanSearch::gpus(const Layout& layout) const {
  return static_cast<double>(layout.nodes * clusters_[layout.cluster].cluster.gpus_per_node);
}

std::vector<SearchTask> PlanSearch::next_families() {
  std::vector<SearchTask> tasks;
  if (const auto own = std::exchange(own_, std::nullopt)) tasks.push_back({SearchTask::What::simulate, *own});
  const std::size_t end = std::min(screening_->families().size(), next_family_ + kFamiliesAtOnce);
  for (; next_family_ < end; ++next_family_) tasks.push_back({SearchTask::What::look, next_family_});
  ahead_ = screening_->families().size() - next_family_;
  return tasks;
}

// What a chance is weighed by.
void PlanSearch::sort_by_bound() {
  sorted_ = true;
  std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
    const Score x = score(a.screened.bound, layouts_[a.layout]), y = score(b.screened.bound, layouts_[b.layout]);
    return x < y || (!(y < x) && a.layout < b.layout);
  });
  std::map<std::string, std::uint32_t> numbers;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    const Candidate& c = candidates_[i];
    const Layout& l = layouts_[c.layout];
    candidate_of_[c.layout] = i;
    Chance chance{score(c.screened.bound, l), corner(c.screened.bound, c.screened.peak, l), {}, {}};
    for (const std::string& value : axis_values(l)) {
      chance.values.push_back(numbers.try_emplace(value, static_cast<std::uint32_t>(numbers.size())).first->second);
    }
    chances_.push_back(std::move(chance));
  }
  axis_values_ = numbers.size();
  for (const Ranked& r : ranked_) {
    const auto own = candidate_of_.find(r.index);
    if (own == candidate_of_.end()) continue;  // cut before it was looked at
    candidates_[own->second].simulated = true;
    know(own->second, r.step.time);
  }
}

// Few at first: what they turn out to be takes others' chances away. Not so few, later, that threads wait for each other.
std::vector<SearchTask> PlanSearch::next_groups() {
  if (!sorted_) sort_by_bound();
  if (!options_.screen) return {};
  ChanceLimits limits{options_.keep, kReach};
  if (ranked_.size() >= options_.keep) limits.last_kept = score(ranked_[options_.keep - 1]);
  std::vector<SearchTask> own;  // at first that of the own plan, so that what screening is good for is known there too
  for (const Ranked& r : ranked_) {
    if (groups_at_once_ == 0 && candidate_of_.contains(r.index)) own.push_back({SearchTask::What::screen, screening_->group_of(r.index)});
  }
  groups_at_once_ = std::clamp(2 * groups_at_once_, kLeastGroups, kMostGroups);
  std::vector<SearchTask> tasks;
  for (;; limits.few *= 2) {
    std::set<std::size_t> asked;
    tasks = own;
    for (const SearchTask& task : own) asked.insert(task.index);
    for (const std::size_t i : open_chances(chances_, axis_values_, limits)) {
      const std::size_t group = screening_->group_of(candidates_[i].layout);
      if (asked.insert(group).second && tasks.size() < groups_at_once_) tasks.push_back({SearchTask::What::screen, group});
    }
    ahead_ = asked.size() - tasks.size();
    if (tasks.empty() || tasks.size() >= kLeastGroups || limits.few >= kMostOfAValue) break;
  }
  // Those without a pipeline take the longest: they are simulated.
  std::stable_partition(tasks.begin(), tasks.end(),
                        [&](const SearchTask& t) { return layouts_[screening_->groups()[t.index].front()].plan.pipeline_parallel == 1; });
  if (!tasks.empty() && tasks.size() < kLeastGroups) add_most_promising(tasks, kLeastGroups);
  return tasks;
}

// The first of what was screened are simulated in any case.
void PlanSearch::add_most_promising(std::vector<SearchTask>& tasks, std::size_t up_to) {
  order_candidates();
  for (std::size_t i = 0; i < std::min(options_.keep, order_.size()) && tasks.size() < up_to; ++i) {
    Candidate& c = candidates_[order_[i]];
    if (!std::exchange(c.simulated, true)) tasks.push_back({SearchTask::What::simulate, c.layout});
  }
}

void PlanSearch::order_candidates() {
  order_.clear();
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (!candidates_[i].looked_at_only || !options_.screen) order_.push_back(i);
  }
  std::vector<Score> scores(candidates_.size());
  for (const std::size_t i : order_) scores[i] = score(expected(candidates_[i]), layouts_[candidates_[i].layout]);
  std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
    return scores[a] < scores[b] || (!(scores[b] < scores[a]) && candidates_[a].layout < candidates_[b].layout);
  });
}

void PlanSearch::draw_some() {
  drawn_ = true;
  std::vector<std::size_t> near;
  for (const std::size_t i : order_) {
    if (options_.screen && candidates_[i].screened.time && within_reach(candidates_[i])) near.push_back(i);
  }
  for (std::size_t i = 0; i < near.size(); i += near.size() / kDrawn + 1) wanted_.push_back(near[i]);
}

std::vector<SearchTask> PlanSearch::next_candidates() {
  order_candidates();
  if (!drawn_) draw_some();
  const std::size_t batch = std::clamp(ranked_.size() / 2, kLeastBatch, kMostBatch);
  std::vector<SearchTask> tasks;
  ahead_ = 0;
  Front asked;  // this batch's candidates for the front
  for (const std::size_t i : order_) {
    Candidate& c = candidates_[i];
    if (c.simulated) continue;
    const Why why = why_it_matters(c);
    if (why == Why::not_at_all) continue;
    if (tasks.size() >= batch) {
      ++ahead_;
      continue;
    }
    if (why == Why::front) {
      const Corner mine = corner(expected(c), c.screened.peak, layouts_[c.layout]);
      if (asked.beats(mine)) continue;
      asked.add(mine);
    }
    c.simulated = true;
    tasks.push_back({SearchTask::What::simulate, c.layout});
  }
  for (const std::size_t i : std::exchange(wanted_, {})) {
    if (std::exchange(candidates_[i].simulated, true)) continue;
    tasks.push_back({SearchTask::What::simulate, candidates_[i].layout});
  }
  return tasks;
}

std::vector<SearchTask> PlanSearch::next_of_a_cut() {
  if (drawn_) return {};  // the most promising are known
  if (groups_at_once_ == 0 || rounds_of_a_cut_ > 0) {
    if (rounds_of_a_cut_++ < kRoundsOfACut) {
      std::vector<SearchTask> tasks = next_groups();
      if (!tasks.empty()) return tasks;
    }
  }
  drawn_ = true;
  std::vector<SearchTask> tasks;
  if (!sorted_) sort_by_bound();
  add_most_promising(tasks, kOfACutSearch);
  return tasks;
}

std::vector<SearchTask> PlanSearch::next() {
  std::vector<SearchTask> tasks = next_families();
  if (tasks.empty()) tasks = next_groups();
  if (tasks.empty()) tasks = next_candidates();
  complete_ = tasks.empty();
  if (complete_) settled_ = layouts_.size();
  return tasks;
}

std::string PlanSearch::perform(const SearchTask& task) const {
  switch (task.what) {
    case SearchTask::What::look: return to_text(screening_->look(task.index));
    case SearchTask::What::screen: return to_text(screening_->screen(task.index));
    case SearchTask::What::simulate: break;
  }
  const auto whole = screening_->simulate(layouts_[task.index]);
  return to_text(whole ? Simulated{SimulatedLayout{whole->step, whole->peak}} : Simulated{});
}

void PlanSearch::take(const SearchTask& task, std::string_view result) {
  switch (task.what) {
    case SearchTask::What::look: return take_looked(task.index, screened_of_text(result));
    case SearchTask::What::screen: return take_screened(task.index, screened_of_text(result));
    case SearchTask::What::simulate: return take_simulated(task.index, simulated_of_text(result));
  }
}

void PlanSearch::take_looked(std::size_t family, const std::vector<Screened>& looked) {
  const std::vector<std::size_t>& members = screening_->families()[family];
  CHECK(looked.size() == members.size(), "a result of another search");
  for (std::size_t i = 0; i < members.size(); ++i) {
    const Layout& layout = layouts_[members[i]];
    if (looked[i].fits) {
      candidates_.push_back({members[i], looked[i]});
      continue;
    }
    ++misfits_, ++settled_;
    const Bytes excess = looked[i].peak - clusters_[layout.cluster].cluster.gpu.usable_memory;
    if (!near_miss_ || excess < near_miss_->excess) near_miss_ = NearMiss{layout, looked[i].peak, excess};
  }
}

void PlanSearch::take_screened(std::size_t group, const std::vector<Screened>& screened) {
  const std::vector<std::size_t>& members = screening_->groups()[group];
  CHECK(screened.size() == members.size(), "a result of another search");
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!screened[i].fits) continue;
    const std::size_t at = candidate_of_.at(members[i]);
    candidates_[at].screened.time = screened[i].time;
    candidates_[at].looked_at_only = false;
    if (!candidates_[at].simulated) {
      know(at, expected(candidates_[at]));
      continue;
    }
    const auto own = std::find_if(ranked_.begin(), ranked_.end(), [&](const Ranked& r) { return r.index == members[i]; });
    if (own == ranked_.end()) continue;
    own->screened = screened[i].time;
    learn_from(*own);
  }
}

void PlanSearch::know(std::size_t candidate, Seconds time) {
  const Layout& layout = layouts_[candidates_[candidate].layout];
  chances_[candidate].known = {score(time, layout), corner(time, candidates_[candidate].screened.peak, layout)};
}

// What screening was good for.
void PlanSearch::learn_from(const Ranked& r) {
  if (!r.screened) return;
  const double error = *r.screened / r.step.time - 1;
  errors_.push_back(error);
  double& over = largest_over_[static_cast<std::size_t>(r.layout.plan.schedule)];
  over = std::max(over, error);
}

void PlanSearch::take_simulated(std::size_t index, const Simulated& simulated) {
  if (!sorted_ && !simulated) return;  // the own plan: so will look() say
  ++settled_;
  if (!simulated) {
    ++misfits_;
    return;
  }
  Ranked r;
  r.index = index;
  r.layout = r.asked = layouts_[index];
  r.layout.plan.data_parallel = simulated->step.data_parallel;
  r.layout.plan.layers_per_stage = simulated->step.layers_per_stage;
  r.step = simulated->step;
  r.peak_memory = simulated->peak_memory;
  const Cluster& cluster = clusters_[r.layout.cluster].cluster;
  r.gpu_hours_per_trillion_tokens = gpu_hours(r.step.time, r.layout.nodes * cluster.gpus_per_node) / r.step.tokens * kTrillion;
  r.usd_per_trillion_tokens = rent(r.gpu_hours_per_trillion_tokens, cluster);
  const double tokens = scenario_.training.tokens > 0 ? scenario_.training.tokens : kTrillion;
  r.days = r.step.time.value() / r.step.tokens * tokens / 86400;
  if (r.usd_per_trillion_tokens) r.usd = *r.usd_per_trillion_tokens * (tokens / kTrillion);
  if (sorted_) {
    const std::size_t at = candidate_of_.at(index);
    r.screened = candidates_[at].screened.time;
    know(at, r.step.time);
  }
  learn_from(r);
  const Score mine = score(r);
  const auto [of_size, fresh] = best_of_size_.try_emplace({r.layout.cluster, r.layout.nodes}, mine);
  if (!fresh) of_size->second = std::min(of_size->second, mine, [](const Score& a, const Score& b) { return a < b; });
  const auto better = [&](const Ranked& a, const Ranked& b) {
    const Score x = score(a), y = score(b);
    return x < y || (!(y < x) && a.index < b.index);
  };
  simulated_front_.add(corner(r.screened.value_or(r.step.time), r.peak_memory, r.layout));
  ranked_.insert(std::upper_bound(ranked_.begin(), ranked_.end(), r, better), std::move(r));
}

SearchCounts PlanSearch::counts() const {
  SearchCounts c;
  c.enumerated = layouts_.size();
  c.pruned_by_memory = misfits_;
  c.simulated = ranked_.size();
  c.screened = static_cast<std::size_t>(
      std::count_if(candidates_.begin(), candidates_.end(), [](const Candidate& candidate) { return !candidate.looked_at_only; }));
  if (!complete_) return c;
  const Score last = ranked_.size() < options_.keep ? Score{} : score(ranked_[options_.keep - 1]);
  for (const Candidate& candidate : candidates_) {
    if (candidate.simulated) continue;
    const bool by_bound =
        !candidate.screened.time || !options_.screen || score(candidate.screened.bound, layouts_[candidate.layout]) > last;
    ++(by_bound ? c.pruned_by_bound : c.pruned_by_screening);
  }
  return c;
}

std::vector<LookedAt> PlanSearch::looked_at() const {
  std::vector<LookedAt> out;
  for (const Ranked& r : ranked_) out.push_back({LookedAt::How::simulated, r.index, r.step.time, score(r)});
  for (const Candidate& c : candidates_) {
    if (c.simulated) continue;
    const bool screened = c.screened.time && options_.screen;
    out.push_back(
        {screened ? LookedAt::How::screened : LookedAt::How::bounded, c.layout, expected(c), score(expected(c), layouts_[c.layout])});
  }
  return out;
}

ScreeningError PlanSearch::screening_error() const {
  ScreeningError e;
  e.layouts = errors_.size();
  if (errors_.empty()) return e;
  std::vector<double> magnitudes;
  for (const double error : errors_) {
    magnitudes.push_back(std::abs(error));
    e.largest_over = std::max(e.largest_over, error);
    e.largest_under = std::max(e.largest_under, -error);
  }
  std::nth_element(magnitudes.begin(), magnitudes.begin() + static_cast<std::ptrdiff_t>(magnitudes.size() / 2), magnitudes.end());
  e.median = magnitudes[magnitudes.size() / 2];
  e.allowance = std::max(kLeastAllowance, 1.5 * e.largest_over);
  return e;
}

std::vector<std::size_t> pareto_front(const std::vector<Ranked>& ranked) {
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    if (std::none_of(ranked.begin(), ranked.end(), [&](const Ranked& other) { return beats(other, ranked[i]); })) front.push_back(i);
  }
  return front;
}

}  // namespace trillion
