#include "sim/net/fluid_run.h"

#include <algorithm>

#include "sim/base/error.h"

namespace trillion {

namespace {

// How far above a flow's rate the even part of a link must be for it to be left out of the flow's key.
constexpr double kReach = 2;

// After how many times that every bundle was rated it is worth while to bundle anew where that leaves links out.
constexpr std::size_t kPatience = 16;

constexpr std::uint32_t kEnded = std::numeric_limits<std::uint32_t>::max();  // in visit_of_bundle_

}  // namespace

FluidRun::FluidRun(const FluidProblem& problem, std::vector<double>& ends)
    : problem_(problem), ends_(ends), state_(problem), next_(problem.capacities.size(), kNever), filling_(problem.capacities.size()) {}

void FluidRun::run() {
  if (state_.empty()) return;
  for (bundle_anew(kReach);;) {
    rate_changed();
    // Links that no flow's key needs any more still cost whoever passes them.
    if (keyless_ > 0 && stopped_since_bundling_ > kPatience * state_.bundles.size()) {
      bundle_anew(kReach);
      rate_changed();
    }
    if (state_.empty()) return;
    now_ = soonest();
    CHECK(now_ < kNever, "flows are left that nothing ends");
    end_due_flows();
  }
}

void FluidRun::bundle_anew(double reach) {
  for (const std::uint32_t l : state_.live) next_[l] = kNever;
  state_.bundle(now_, reach);
  visit_of_bundle_.assign(state_.bundles.size(), 0);
  for (Filling& f : filling_) f.visit = 0;
  visit_ = 0;
  keyless_ = 0;
  stopped_since_bundling_ = 0;
  lowest_ = 0;
  seeds_ = state_.live;
}

void FluidRun::rate_changed() {
  for (double reach = kReach;; reach *= 2) {
    stopped_in_passing_ = false;
    unguarded_.clear();
    collect_changed();
    fill();
    if (guesses_held()) return;
    bundle_anew(reach);
  }
}

// From the links of what ended, over bundles that are not slower, with what is left for these. Summed anew, so that no rounding adds
// up.
void FluidRun::collect_changed() {
  ++visit_;
  changed_links_.clear();
  levels_.clear();
  for (const std::uint32_t l : seeds_) visit(l);
  seeds_.clear();
  for (std::size_t i = 0; i < changed_links_.size(); ++i) {
    const std::uint32_t link = changed_links_[i];
    double taken = 0, rising = 0;
    std::uint32_t bundles = 0;
    const std::span<FluidBundles::Crossing> crossings = state_.crossings(link);
    std::size_t kept = 0;
    for (const FluidBundles::Crossing crossing : crossings) {
      std::uint32_t& visited = visit_of_bundle_[crossing.bundle];
      if (visited == kEnded) continue;
      crossings[kept++] = crossing;
      // Whether it is slower is as good as random: no branch for the sums.
      const double weight = state_.uses[crossing.use].weight, rate = state_.rates[crossing.bundle];
      const bool slower = rate < lowest_;
      taken += slower ? weight * rate : 0.0;
      rising += slower ? 0.0 : weight;
      bundles += slower ? 0 : 1;
      if (slower || visited == visit_) continue;
      visited = visit_;
      for (const FluidBundles::Use& use : state_.uses_of(crossing.bundle)) visit(use.link);
    }
    state_.shorten_crossings(link, kept);
    filling_[link].left = problem_.capacities[link] - taken;
    filling_[link].rising = rising;
    filling_[link].bundles = bundles;
    next_[link] = kNever;
    levels_.push_back(bundles > 0 ? filling_[link].left / rising : kNever);
  }
  const std::size_t blocks = (levels_.size() + kBlock - 1) / kBlock;
  lowest_of_block_.resize(blocks);
  for (std::size_t k = 0; k < blocks; ++k) find_lowest_of_block(k);
}

void FluidRun::find_lowest_of_block(std::size_t block) {
  double lowest = kNever;
  const std::size_t end = std::min(levels_.size(), (block + 1) * kBlock);
  for (std::size_t i = block * kBlock; i < end; ++i) lowest = std::min(lowest, levels_[i]);
  lowest_of_block_[block] = lowest;
}

void FluidRun::visit(std::uint32_t link) {
  if (filling_[link].visit == visit_) return;
  filling_[link].visit = visit_;
  filling_[link].place = static_cast<std::uint32_t>(changed_links_.size());
  changed_links_.push_back(link);
}

// All links of one level at once, so that equal positions stay equal to the last bit.
void FluidRun::fill() {
  for (;;) {
    const double level = *std::min_element(lowest_of_block_.begin(), lowest_of_block_.end());
    if (level == kNever) return;
    for (std::size_t block = 0; block < lowest_of_block_.size(); ++block) {
      if (lowest_of_block_[block] != level) continue;
      const std::size_t end = std::min(levels_.size(), (block + 1) * kBlock);
      for (std::size_t i = block * kBlock; i < end; ++i) {
        if (levels_[i] == level) stop_bundles_of(changed_links_[i], level);
      }
    }
    settle(level);
  }
}

void FluidRun::stop_bundles_of(std::uint32_t link, double level) {
  for (const FluidBundles::Crossing& crossing : state_.crossings(link)) {
    if (visit_of_bundle_[crossing.bundle] != visit_) continue;
    if (!state_.uses[crossing.use].in_key) stopped_in_passing_ = true;
    stop(crossing.bundle, link, level);
  }
}

void FluidRun::stop(std::uint32_t b, std::uint32_t link, double level) {
  ++stopped_since_bundling_;
  visit_of_bundle_[b] = visit_ - 1;
  FluidBundles::Bundle& bundle = state_.bundles[b];
  double& rate = state_.rates[b];
  if (rate != level || bundle.since == now_) {
    bundle.moved += rate * (now_ - bundle.since);
    bundle.since = now_;
    bundle.end = now_ + std::max(0.0, bundle.next - bundle.moved) / level;
    rate = level;
    if (level > bundle.guard) unguarded_.push_back(b);
  }
  next_[link] = std::min(next_[link], bundle.end);
  for (const FluidBundles::Use& use : state_.uses_of(b)) {
    Filling& f = filling_[use.link];
    if (f.stopped_bundles++ == 0) touched_.push_back(use.link);
    f.stopped += use.weight;
  }
}

// Mathematically no level falls when others stop below it; rounding must not make it do so.
void FluidRun::settle(double level) {
  for (const std::uint32_t link : touched_) {
    Filling& f = filling_[link];
    f.left -= level * f.stopped;
    f.rising -= f.stopped;
    f.stopped = 0;
    f.bundles -= f.stopped_bundles;
    f.stopped_bundles = 0;
    double& own = levels_[f.place];
    double& lowest = lowest_of_block_[f.place / kBlock];
    if (own == lowest) {
      stale_blocks_.push_back(f.place / kBlock);
      lowest = -1;
    }
    own = f.bundles > 0 ? std::max(level, f.left / f.rising) : kNever;
  }
  touched_.clear();
  for (const std::size_t block : stale_blocks_) find_lowest_of_block(block);
  stale_blocks_.clear();
}

bool FluidRun::guesses_held() {
  if (stopped_in_passing_) return false;
  return std::all_of(unguarded_.begin(), unguarded_.end(),
                     [&](std::uint32_t b) { return state_.rates[b] <= state_.bundles[b].guard || state_.guarded(b); });
}

double FluidRun::soonest() const {
  double soonest = kNever;
  for (const std::uint32_t l : state_.live) soonest = std::min(soonest, next_[l]);
  return soonest;
}

void FluidRun::end_due_flows() {
  lowest_ = kNever;
  for (const std::uint32_t l : state_.live) {
    if (next_[l] != now_) continue;
    for (const FluidBundles::Crossing& crossing : state_.crossings(l)) {
      if (visit_of_bundle_[crossing.bundle] != kEnded && state_.bundles[crossing.bundle].end == now_) end_flows_of(crossing.bundle);
    }
  }
}

void FluidRun::end_flows_of(std::uint32_t b) {
  FluidBundles::Bundle& bundle = state_.bundles[b];
  const double bytes = bundle.next;
  lowest_ = std::min(lowest_, state_.rates[b]);
  bundle.moved = bytes;
  bundle.since = now_;
  bundle.end = kNever;
  while (bundle.next_flow < bundle.end_flow && bundle.next <= bytes) ends_[state_.take_next(b)] = now_;
  const bool over = bundle.next_flow == bundle.end_flow;
  if (over) {
    visit_of_bundle_[b] = kEnded;
    state_.rates[b] = 0;
  }
  for (const FluidBundles::Use& use : state_.uses_of(b)) {
    seeds_.push_back(use.link);
    if (use.in_key && state_.key_flows[use.link] == 0) ++keyless_;
  }
}

}  // namespace trillion
