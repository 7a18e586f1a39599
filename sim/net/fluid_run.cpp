#include "sim/net/fluid_run.h"

#include <algorithm>
#include <bit>

#include "sim/base/error.h"

namespace trillion {

namespace {

// How far above a flow's rate the even part of a link must be for it to be left out of the flow's key.
constexpr double kReach = 2;

// After how many times that every bundle was rated it is worth while to bundle anew where that leaves links out. A matter of speed only:
// of 4 to 32, 8 is the fastest for tests/net/fluid_bench.cpp's different sizes and for 128 GPUs; other sizes over 64 gain nothing by it.
constexpr std::size_t kTimesRated = 8;

// In how many of a part's links flows may have ended for their order to be worth keeping.
bool few(std::uint32_t ended, std::uint32_t links) { return ended <= 4 + links / 8; }

}  // namespace

FluidRun::FluidRun(const FluidProblem& problem, std::vector<double>& ends)
    : ends_(ends), state_(problem), clocks_(state_), pairs_(state_, clocks_) {}

void FluidRun::run() {
  if (state_.empty()) return;
  for (bundle_anew(kReach);;) {
    rate_changed();
    // Links that no flow's key needs any more still cost whoever passes them.
    if (state_.keyless > 0 && stopped_since_bundling_ > kTimesRated * state_.bundles.size()) {
      bundle_anew(kReach);
      rate_changed();
    }
    if (state_.empty()) return;
    now_ = clocks_.soonest();
    CHECK(now_ < kNever, "flows are left that nothing ends");
    end_due_flows();
  }
}

void FluidRun::bundle_anew(double reach) {
  clocks_.note_left(now_);
  state_.bundle(reach);
  clocks_.reset();
  pairs_.reset();
  const std::size_t links = state_.live.size();
  stopped_since_bundling_ = 0;
  lowest_ = 0;
  seeds_.resize(links);
  for (std::uint32_t l = 0; l < links; ++l) seeds_[l] = l;
  seeds_of_part_.assign(state_.parts.size(), 0);
  change_ = 0;
  passing_.assign(links, {});
  visits_.assign(links, {});
  changed_.resize(links);
  filling_.assign(links, {});
  levels_.resize(links);
  rising_.assign(state_.bundles.size(), 0);
  touched_.assign((links + kBlock - 1) / kBlock, 0);
  found_.resize(state_.bundles.size() + 1);
}

void FluidRun::rate_changed() {
  for (double reach = kReach;; reach *= 2) {
    if (fill_pairs()) {
      collect_changed();
      if (fill() && clocks_.guarded()) return;
    }
    bundle_anew(reach);
  }
}

// Parts of pairs are filled, what has to be filled otherwise is left in seeds_.
bool FluidRun::fill_pairs() {
  const bool just_bundled = lowest_ == 0;
  parts_of_pairs_.clear();
  for (const std::uint32_t l : seeds_) {
    if (seeds_of_part_[state_.live[l].part]++ == 0) parts_of_pairs_.push_back(state_.live[l].part);
  }
  const auto by_pairs = [&](std::uint32_t p) {
    return !just_bundled && state_.parts[p].pairs && few(seeds_of_part_[p], state_.parts[p].count);
  };
  std::erase_if(seeds_, [&](std::uint32_t l) { return by_pairs(state_.live[l].part); });
  for (const std::uint32_t p : parts_of_pairs_) {
    if (by_pairs(p) && !pairs_.fill(p, lowest_, now_)) return false;
    if (!by_pairs(p)) {
      pairs_.forget(p);
      std::fill_n(passing_.begin() + state_.parts[p].first, state_.parts[p].pairs ? state_.parts[p].count : 0, Passing{});
    }
    seeds_of_part_[p] = 0;
  }
  return true;
}

// From the links of what ended, over bundles that are not slower.
void FluidRun::collect_changed() {
  ++change_;
  changed_count_ = 0;
  for (const std::uint32_t l : seeds_) visit(l);
  seeds_.clear();
  for (std::uint32_t place = 0; place < changed_count_; ++place) collect(place);
  for (std::uint32_t place = 0; place < changed_count_; ++place) state_.levels[changed_[place]] = kNever;
  const std::size_t blocks = (changed_count_ + kBlock - 1) / kBlock;
  lowest_of_block_.resize(blocks);
  for (std::size_t k = 0; k < blocks; ++k) find_lowest_of_block(k);
}

// What is left for a link's bundles that are not slower. Summed anew, so that no rounding adds up.
void FluidRun::collect(std::uint32_t place) {
  const std::uint32_t l = changed_[place];
  if (!state_.live[l].swept) state_.sweep(l);
  clocks_.advance(l, now_);
  const FluidBundles::LiveLink& link = state_.live[l];
  const Taken keys = collect_crossings(link.first, link.first_passing);
  Taken passing;
  // Whoever rises has every link visited that it passes.
  if (passing_[l].highest < lowest_) {
    passing.taken = passing_[l].taken;
  } else {
    passing = collect_crossings(link.first_passing, link.end);
    passing_[l] = {passing.taken, passing.bundles > 0 ? kNever : passing.highest};
  }
  const double left = link.capacity - keys.taken - passing.taken, used = keys.used + passing.used;
  const std::uint32_t bundles = keys.bundles + passing.bundles;
  filling_[place] = {left, used, 0, bundles, 0, passing.bundles > 0};
  levels_[place] = bundles > 0 ? left / used : kNever;
}

// Without branches, since who is slower is as good as random.
FluidRun::Taken FluidRun::collect_crossings(std::uint32_t begin, std::uint32_t end) {
  Taken sum;
  std::uint32_t* rising = rising_.data();
  std::uint32_t* found = found_.data();
  std::uint32_t first_seen = 0;
  const double lowest = lowest_;
  for (std::uint32_t c = begin; c < end; ++c) {
    const FluidBundles::Crossing crossing = state_.crossings[c];
    const double rate = state_.rate(crossing.bundle);
    const std::uint32_t rises = rate < lowest ? 0 : 1;
    sum.taken += value_if(rises == 0, crossing.weight * rate);
    sum.used += value_if(rises != 0, crossing.weight);
    sum.highest = std::max(sum.highest, rate);
    sum.bundles += rises;
    found[first_seen] = crossing.bundle;
    first_seen += rises & ~rising[crossing.bundle];
    rising[crossing.bundle] |= rises;
  }
  for (std::uint32_t i = 0; i < first_seen; ++i) {
    for (const FluidBundles::Use& use : state_.uses_of(found[i])) visit(use.link);
  }
  return sum;
}

void FluidRun::find_lowest_of_block(std::size_t block) {
  lowest_of_block_[block] = lowest_of(std::span(levels_).subspan(block * kBlock, std::min(changed_count_ - block * kBlock, kBlock)));
}

void FluidRun::visit(std::uint32_t link) {
  Visit& visit = visits_[link];
  if (visit.change == change_) return;
  visit = {change_, changed_count_};
  changed_[changed_count_++] = link;
}

// All links of one level at once, so that equal positions stay equal to the last bit. False if a link stops a bundle that has it not in
// its key.
bool FluidRun::fill() {
  for (;;) {
    const double level = lowest_of(lowest_of_block_);
    if (level == kNever) break;
    for (std::size_t block = 0; block < lowest_of_block_.size(); ++block) {
      if (lowest_of_block_[block] != level) continue;
      const std::size_t end = std::min<std::size_t>(changed_count_, (block + 1) * kBlock);
      for (std::size_t i = block * kBlock; i < end; ++i) {
        if (levels_[i] == level && !stop_bundles_of(static_cast<std::uint32_t>(i), level)) return false;
      }
    }
    settle(level);
  }
  for (std::uint32_t place = 0; place < changed_count_; ++place) clocks_.set_next(changed_[place], now_);
  return true;
}

bool FluidRun::stop_bundles_of(std::uint32_t place, double level) {
  const std::uint32_t l = changed_[place];
  const FluidBundles::LiveLink& link = state_.live[l];
  std::uint32_t* rising = rising_.data();
  std::uint32_t* found = found_.data();
  std::uint32_t stopped = 0;
  for (std::uint32_t c = link.first; c < link.first_passing; ++c) {
    found[stopped] = state_.crossings[c].bundle;
    stopped += rising[found[stopped]];
  }
  if (filling_[place].passing_rise) {
    for (std::uint32_t c = link.first_passing; c < link.end; ++c) {
      if (rising[state_.crossings[c].bundle] != 0) return false;
    }
  }
  state_.levels[l] = level;
  for (std::uint32_t i = 0; i < stopped; ++i) {
    const std::uint32_t b = found[i];
    rising[b] = 0;
    if (state_.holders[b] != l) clocks_.hold(l, b);
    for (const FluidBundles::Use& use : state_.uses_of(b)) {
      const std::uint32_t at = visits_[use.link].place;
      filling_[at].stopped += use.weight;
      ++filling_[at].stopped_bundles;
      touched_[at / kBlock] |= 1ull << at % kBlock;
    }
  }
  stopped_since_bundling_ += stopped;
  return true;
}

// Mathematically no level falls when others stop below it; rounding must not make it do so.
void FluidRun::settle(double level) {
  for (std::size_t block = 0; block < lowest_of_block_.size(); ++block) {
    if (touched_[block] == 0) continue;
    for (std::uint64_t touched = touched_[block]; touched != 0; touched &= touched - 1) {
      const std::size_t at = block * kBlock + static_cast<std::size_t>(std::countr_zero(touched));
      Filling& f = filling_[at];
      f.left -= level * f.stopped;
      f.rising -= f.stopped;
      f.stopped = 0;
      f.bundles -= f.stopped_bundles;
      f.stopped_bundles = 0;
      levels_[at] = f.bundles > 0 ? std::max(level, f.left / f.rising) : kNever;
    }
    touched_[block] = 0;
    find_lowest_of_block(block);
  }
}

void FluidRun::end_due_flows() {
  lowest_ = kNever;
  for (const std::uint32_t l : clocks_.due(now_)) {
    for (const std::uint32_t b : clocks_.due_bundles(l)) end_flows_of(b);
  }
}

void FluidRun::end_flows_of(std::uint32_t b) {
  const double bytes = state_.bundles[b].next;
  lowest_ = std::min(lowest_, state_.rate(b));
  while (!state_.bundles[b].over() && state_.bundles[b].next <= bytes) ends_[state_.take_next(b)] = now_;
  clocks_.ended(b, bytes);
  for (const FluidBundles::Use& use : state_.uses_of(b)) seeds_.push_back(use.link);
}

}  // namespace trillion
