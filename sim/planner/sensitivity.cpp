#include "sim/planner/sensitivity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "sim/base/error.h"
#include "sim/base/parallel_for.h"
#include "sim/planner/best_by_value.h"

namespace trillion {

namespace {

constexpr int kGridSteps = 200, kHalvings = 40, kCorrections = 4;
constexpr double kMet = 1e-4, kUnfelt = 1e-6;

bool concerns(const Lever& lever, const Layout& layout) { return !lever.cluster || *lever.cluster == layout.cluster; }

// What times are linear in.
double pull(const Lever& lever, double change) { return lever.is_rate() ? 1 / (1 + change) - 1 : change; }

std::vector<Scenario> changed(const std::vector<Scenario>& clusters, const Lever& lever, double change) {
  std::vector<Scenario> out;
  for (std::size_t c = 0; c < clusters.size(); ++c) {
    out.push_back(!lever.cluster || *lever.cluster == c ? with_lever(clusters[c], lever, 1 + change) : clusters[c]);
  }
  return out;
}

// Screened times of layouts; the whole simulation's of one that cannot be screened.
std::vector<double> times(const Screening& screening, const std::vector<Layout>& layouts, unsigned threads) {
  std::vector<double> out(layouts.size(), std::numeric_limits<double>::infinity());
  parallel_for(screening.groups().size(), threads, [&](std::size_t g) {
    const std::vector<Screened> group = screening.screen(g);
    for (std::size_t i = 0; i < group.size(); ++i) {
      const std::size_t layout = screening.groups()[g][i];
      if (group[i].time) {
        out[layout] = group[i].time->value();
      } else if (const auto whole = group[i].fits ? screening.simulate(layouts[layout]) : std::nullopt) {
        out[layout] = whole->step.time.value();
      }
    }
  });
  return out;
}

}  // namespace

const Tipping* Sensitivity::nearest() const {
  if (!up) return down ? &*down : nullptr;
  return down && std::abs(down->change) < up->change ? &*down : &*up;
}

double Sensitivity::distance() const {
  const Tipping* t = nearest();
  const double width = lever.interval.value_or(SensitivityAnalysis::kUnknownInterval);
  return t == nullptr ? std::numeric_limits<double>::infinity() : std::abs(t->change) / std::max(width, 1e-12);
}

SensitivityAnalysis::SensitivityAnalysis(const PlanSearch& search) : search_(search) {
  CHECK(!search.ranked().empty(), "nothing was ranked");
  contenders_ = best_simulated_by_value(search);
  if (contenders_.size() > kContenders) contenders_.resize(kContenders);
  for (const std::size_t i : contenders_) layouts_.push_back(search.ranked()[i].layout);
}

void SensitivityAnalysis::advance(unsigned threads) {
  switch (next_) {
    case Next::base:
      look_at_base(threads);
      next_ = Next::levers;
      return;
    case Next::levers:
      look_at_some(threads);
      if (looked_at_ == levers_.size()) next_ = Next::settle;
      return;
    case Next::settle:
      parallel_for(std::min(kSimulatedWhole, found_.size()), threads, [&](std::size_t i) { settle(found_[i]); });
      next_ = Next::nothing;
      return;
    case Next::nothing: return;
  }
}

// The most telling first once all were.
void SensitivityAnalysis::look_at_some(unsigned threads) {
  std::vector<std::optional<Sensitivity>> looked(std::min(kLeversAtOnce, levers_.size() - looked_at_));
  parallel_for(looked.size(), threads, [&](std::size_t i) { looked[i] = look_at(levers_[looked_at_ + i]); });
  looked_at_ += looked.size();
  for (std::optional<Sensitivity>& s : looked) {
    if (s) found_.push_back(std::move(*s));
  }
  std::stable_sort(found_.begin(), found_.end(), [](const Sensitivity& a, const Sensitivity& b) {
    return a.could_cost != b.could_cost ? a.could_cost > b.could_cost : a.distance() < b.distance();
  });
}

// Which curves the contenders lean on is known of whole simulations: of the best of each cluster, and of the second best layout.
void SensitivityAnalysis::look_at_base(unsigned threads) {
  const Screening& screening = search_.screening();
  screened_ = times(Screening(search_.clusters(), layouts_, &screening), layouts_, threads);
  std::vector<std::size_t> asked;
  for (std::size_t i = 0; i < layouts_.size(); ++i) {
    const auto same = [&](std::size_t j) { return layouts_[j].cluster == layouts_[i].cluster; };
    if (i < 2 || std::none_of(asked.begin(), asked.end(), same)) asked.push_back(i);
  }
  std::vector<std::vector<OriginShare>> origins(asked.size());
  parallel_for(asked.size(), threads, [&](std::size_t i) {
    if (auto whole = screening.simulate(layouts_[asked[i]])) origins[i] = std::move(whole->step.origins);
  });
  for (std::size_t c = 0; c < search_.clusters().size(); ++c) {
    std::map<std::string, double> shares;
    const Layout* on = nullptr;
    for (std::size_t i = 0; i < asked.size(); ++i) {
      if (layouts_[asked[i]].cluster != c) continue;
      on = &layouts_[asked[i]];
      for (const OriginShare& o : origins[i]) shares[o.parameter] += o.share_of_time;
    }
    if (on == nullptr) continue;
    std::vector<CurveShare> curves;
    for (const CurveInfo& info : screening.timing(*on).curves()) {
      if (const auto share = shares.find(info.name); share != shares.end()) curves.push_back({info, share->second});
    }
    const bool several = search_.clusters().size() > 1;
    for (Lever& lever : levers(search_.clusters()[c], several ? std::optional(c) : std::nullopt, curves))
      levers_.push_back(std::move(lever));
  }
  for (Lever& lever : common_levers(search_.clusters().front())) levers_.push_back(std::move(lever));
}

std::vector<double> SensitivityAnalysis::ratios(const Lever& lever, double change) const {
  std::vector<double> out(layouts_.size(), 1.0);
  if (lever.leaves_time()) return out;
  const std::vector<Scenario> clusters = changed(search_.clusters(), lever, change);
  std::vector<Layout> concerned;
  for (const Layout& l : layouts_) {
    if (concerns(lever, l)) concerned.push_back(l);
  }
  const Screening screening(clusters, concerned, lever.draws_routing() ? nullptr : &search_.screening());
  const std::vector<double> now = times(screening, concerned, 1);
  for (std::size_t i = 0, at = 0; i < layouts_.size(); ++i) {
    if (concerns(lever, layouts_[i])) out[i] = now[at++] / screened_[i];
  }
  return out;
}

double SensitivityAnalysis::time(const Lever& lever, const Response& r, std::size_t i, double change) const {
  const double step = change < 0 ? r.step_down : r.step_up, ratio = change < 0 ? r.ratio_down[i] : r.ratio_up[i];
  const double factor = 1 + (ratio - 1) * pull(lever, change) / pull(lever, step);
  return ranked(i).step.time.value() * std::max(factor, 0.0);
}

Score SensitivityAnalysis::score(const Lever& lever, std::size_t i, double change, double step_time) const {
  const Layout& layout = layouts_[i];
  const Scenario& on = search_.clusters()[layout.cluster];
  if (lever.kind == LeverKind::memory && concerns(lever, layout) && ranked(i).peak_memory * (1 + change) > on.cluster.gpu.usable_memory) {
    return {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  }
  const bool dearer = lever.kind == LeverKind::price && concerns(lever, layout);
  return score_of(on, layout.nodes, Seconds{step_time}, dearer ? 1 + change : 1);
}

std::size_t SensitivityAnalysis::best_at(const Lever& lever, const Response& r, double change) const {
  std::size_t best = 0;
  Score least = score(lever, 0, change, time(lever, r, 0, change));
  for (std::size_t i = 1; i < layouts_.size(); ++i) {
    const Score s = score(lever, i, change, time(lever, r, i, change));
    if (s < least) best = i, least = s;
  }
  return best;
}

std::optional<Tipping> SensitivityAnalysis::tipping(const Lever& lever, const Response& r, double most) const {
  double holds = 0, beyond = 0;
  for (int step = 1; step <= kGridSteps && beyond == 0; ++step) {
    const double change = most * step / kGridSteps;
    (best_at(lever, r, change) == 0 ? holds : beyond) = change;
  }
  if (beyond == 0) return std::nullopt;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = 0.5 * (holds + beyond);
    (best_at(lever, r, middle) == 0 ? holds : beyond) = middle;
  }
  return Tipping{beyond, best_at(lever, r, beyond), lever.leaves_time()};
}

std::optional<Sensitivity> SensitivityAnalysis::look_at(const Lever& lever) const {
  Response r;
  const double half = lever.interval.value_or(kUnknownInterval);
  r.step_up = std::clamp(half, 0.01, kMostUp);
  r.step_down = -std::min(r.step_up, -kMostDown);
  r.ratio_up = ratios(lever, r.step_up);
  const bool felt = std::any_of(r.ratio_up.begin(), r.ratio_up.end(), [](double ratio) { return std::abs(ratio - 1) > kUnfelt; });
  if (!felt && !lever.leaves_time()) return std::nullopt;
  r.ratio_down = ratios(lever, r.step_down);
  Sensitivity s{lever, tipping(lever, r, kMostUp), {}, 0, 0};
  if (lever.kind != LeverKind::memory) s.down = tipping(lever, r, kMostDown);  // what fits then was never simulated
  for (const double end : {r.step_down, r.step_up}) {
    const std::size_t best = best_at(lever, r, end);
    const Score stays = score(lever, 0, end, time(lever, r, 0, end)), instead = score(lever, best, end, time(lever, r, best, end));
    const double cost = std::isfinite(stays.beyond) ? stays.value / instead.value - 1 : 0;
    if (best != 0 && cost > s.could_cost) s.could_cost = cost, s.instead = best;
  }
  return s.up || s.down ? std::optional(std::move(s)) : std::nullopt;
}

// The winner's score over the rival's, less 1, both simulated whole; empty: one of them does not fit, or limits decide.
std::optional<double> SensitivityAnalysis::margin(const Lever& lever, std::size_t rival, double change) const {
  const std::vector<Scenario> clusters = changed(search_.clusters(), lever, change);
  const std::vector<Layout> two = {layouts_[0], layouts_[rival]};
  const Screening screening(clusters, two, lever.draws_routing() ? nullptr : &search_.screening());
  const std::array<std::optional<Screening::Whole>, 2> whole = {screening.simulate(two[0]), screening.simulate(two[1])};
  if (!whole[0] || !whole[1]) return std::nullopt;
  const Score mine = score(lever, 0, change, whole[0]->step.time.value()), other = score(lever, rival, change, whole[1]->step.time.value());
  if (mine.beyond > 0 || other.beyond > 0) return std::nullopt;
  return mine.value / other.value - 1;
}

void SensitivityAnalysis::correct(const Lever& lever, Tipping& t) const {
  const double most = t.change < 0 ? kMostDown : kMostUp;
  double before = 0, behind = search_.score(ranked(0)).value / search_.score(ranked(t.wins)).value - 1;
  for (int i = 0; i < kCorrections; ++i) {
    const auto ahead = margin(lever, t.wins, t.change);
    if (!ahead) return;
    if (std::abs(*ahead) <= kMet) {
      t.simulated_whole = true;
      return;
    }
    const double slope = (*ahead - behind) / (t.change - before);
    if (slope == 0) return;
    before = std::exchange(t.change, t.change - *ahead / slope);
    behind = *ahead;
    if (t.change * most <= 0 || std::abs(t.change) > std::abs(most)) return;
  }
}

void SensitivityAnalysis::settle(Sensitivity& s) const {
  for (std::optional<Tipping>* side : {&s.up, &s.down}) {
    if (!*side) continue;
    Tipping& t = **side;
    if (!t.simulated_whole && &t == s.nearest()) {
      const Tipping guess = t;
      correct(s.lever, t);
      if (!t.simulated_whole) t = guess;
    }
  }
}

}  // namespace trillion
