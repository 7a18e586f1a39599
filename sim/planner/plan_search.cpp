#include "sim/planner/plan_search.h"

#include <algorithm>
#include <cmath>

#include "sim/base/error.h"
#include "sim/estimate/price.h"

namespace trillion {

namespace {

constexpr double kTrillion = 1e12;
constexpr std::size_t kGroupsAtOnce = 64, kLeastBatch = 16, kMostBatch = 256;
constexpr std::size_t kDrawn = 16, kOfACutSearch = 4;

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
      layouts_(trillion::layouts(clusters_)),
      screening_(std::make_unique<Screening>(clusters_, layouts_)) {
  scenario_.search.clusters.clear();
}

double PlanSearch::allowance(const Layout& layout) const {
  return std::max(kLeastAllowance, 1.5 * largest_over_[static_cast<std::size_t>(layout.plan.schedule)]);
}

Seconds PlanSearch::at_best(const Candidate& c) const {
  const Seconds expected = this->expected(c);
  if (!c.screened.time || !options_.screen) return expected;
  return std::max(c.screened.bound, expected * (1 / (1 + allowance(layouts_[c.layout]))));
}

PlanSearch::Corner PlanSearch::corner(Seconds step_time, Bytes peak, const Layout& layout) const {
  return {step_time.value() * gpus(layout), step_time.value(), peak};
}

// Of the most promising's expected score.
bool PlanSearch::within_reach(const Candidate& c) const {
  const auto of = [&](const Candidate& other) { return score(expected(other), layouts_[other.layout]); };
  const Score mine = of(c), best = of(candidates_.front());
  return mine.beyond <= best.beyond && mine.value <= kReach * best.value;
}

bool PlanSearch::may_be_on_front(const Candidate& c) const {
  if (!within_reach(c)) return false;
  const Corner mine = corner(expected(c), c.screened.peak, layouts_[c.layout]);
  return std::none_of(corners_.begin(), corners_.end(), [&](const Corner& other) { return other.no_worse_than(mine); });
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

std::vector<SearchTask> PlanSearch::next_groups() {
  std::vector<SearchTask> tasks;
  const std::size_t end = std::min(screening_->groups().size(), next_group_ + kGroupsAtOnce);
  for (; next_group_ < end; ++next_group_) tasks.push_back({SearchTask::What::screen, next_group_});
  ahead_ = screening_->groups().size() - next_group_;
  return tasks;
}

void PlanSearch::order_candidates() {
  std::vector<Score> scores(layouts_.size());
  for (const Candidate& c : candidates_) scores[c.layout] = score(expected(c), layouts_[c.layout]);
  std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
    const Score &x = scores[a.layout], &y = scores[b.layout];
    return x < y || (!(y < x) && a.layout < b.layout);
  });
  const auto near =
      static_cast<std::size_t>(std::count_if(candidates_.begin(), candidates_.end(), [&](const Candidate& c) { return within_reach(c); }));
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    candidate_of_[candidates_[i].layout] = i;
    const Layout& l = layouts_[candidates_[i].layout];
    const bool own = l.plan == scenario_.plan && l.nodes == scenario_.cluster.nodes && l.cluster == 0;
    const bool drawn = options_.screen && candidates_[i].screened.time && i < near && i % (near / kDrawn + 1) == 0;
    if (own || drawn) wanted_.push_back(i);
  }
  ordered_ = true;
}

std::vector<SearchTask> PlanSearch::next_candidates() {
  if (!ordered_) order_candidates();
  const std::size_t batch = std::clamp(ranked_.size() / 2, kLeastBatch, kMostBatch);
  std::vector<SearchTask> tasks;
  ahead_ = 0;
  std::vector<Corner> asked;  // this batch's candidates for the front
  for (Candidate& c : candidates_) {
    if (c.simulated) continue;
    const Why why = why_it_matters(c);
    if (why == Why::not_at_all) continue;
    if (tasks.size() >= batch) {
      ++ahead_;
      continue;
    }
    if (why == Why::front) {
      const Corner mine = corner(expected(c), c.screened.peak, layouts_[c.layout]);
      if (std::any_of(asked.begin(), asked.end(), [&](const Corner& other) { return other.no_worse_than(mine); })) continue;
      asked.push_back(mine);
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

std::vector<SearchTask> PlanSearch::best_screened() {
  if (!ranked_.empty()) return {};
  order_candidates();
  std::vector<SearchTask> tasks;
  for (std::size_t i = 0; i < std::min(kOfACutSearch, candidates_.size()); ++i) {
    candidates_[i].simulated = true;
    tasks.push_back({SearchTask::What::simulate, candidates_[i].layout});
  }
  return tasks;
}

std::vector<SearchTask> PlanSearch::next() {
  std::vector<SearchTask> tasks = next_groups();
  if (tasks.empty()) tasks = next_candidates();
  complete_ = tasks.empty();
  if (complete_) settled_ = layouts_.size();
  return tasks;
}

std::string PlanSearch::perform(const SearchTask& task) const {
  if (task.what == SearchTask::What::screen) return to_text(screening_->screen(task.index));
  const auto whole = screening_->simulate(layouts_[task.index]);
  return to_text(whole ? Simulated{SimulatedLayout{whole->step, whole->peak}} : Simulated{});
}

void PlanSearch::take(const SearchTask& task, std::string_view result) {
  if (task.what == SearchTask::What::screen) return take_screened(task.index, screened_of_text(result));
  take_simulated(task.index, simulated_of_text(result));
}

void PlanSearch::take_screened(std::size_t group, const std::vector<Screened>& screened) {
  const std::vector<std::size_t>& members = screening_->groups()[group];
  CHECK(screened.size() == members.size(), "a result of another search");
  for (std::size_t i = 0; i < members.size(); ++i) {
    const Layout& layout = layouts_[members[i]];
    if (screened[i].fits) {
      candidates_.push_back({members[i], screened[i]});
      continue;
    }
    ++misfits_, ++settled_;
    const Bytes excess = screened[i].peak - clusters_[layout.cluster].cluster.gpu.usable_memory;
    if (!near_miss_ || excess < near_miss_->excess) near_miss_ = NearMiss{layout, screened[i].peak, excess};
  }
}

void PlanSearch::take_simulated(std::size_t index, const Simulated& simulated) {
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
  r.screened = candidates_[candidate_of_.at(index)].screened.time;
  if (r.screened) {
    const double error = *r.screened / r.step.time - 1;
    errors_.push_back(error);
    double& over = largest_over_[static_cast<std::size_t>(r.layout.plan.schedule)];
    over = std::max(over, error);
  }
  const Score mine = score(r);
  const auto [of_size, fresh] = best_of_size_.try_emplace({r.layout.cluster, r.layout.nodes}, mine);
  if (!fresh) of_size->second = std::min(of_size->second, mine, [](const Score& a, const Score& b) { return a < b; });
  const auto better = [&](const Ranked& a, const Ranked& b) {
    const Score x = score(a), y = score(b);
    return x < y || (!(y < x) && a.index < b.index);
  };
  corners_.push_back(corner(r.screened.value_or(r.step.time), r.peak_memory, r.layout));
  ranked_.insert(std::upper_bound(ranked_.begin(), ranked_.end(), r, better), std::move(r));
}

SearchCounts PlanSearch::counts() const {
  SearchCounts c;
  c.enumerated = layouts_.size();
  c.pruned_by_memory = misfits_;
  c.simulated = ranked_.size();
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
