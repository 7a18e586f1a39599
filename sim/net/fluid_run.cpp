#include "sim/net/fluid_run.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "sim/base/error.h"

namespace trillion {

namespace {

// How far above a flow's rate the even part of a link must be for it to be left out of the flow's key.
constexpr double kReach = 2;

// Of how many of a part's bundles flows may have ended for the order of its links to be worth keeping.
bool few(std::uint32_t ended, std::uint32_t links) { return ended <= 2 + links / 16; }

}  // namespace

FluidRun::FluidRun(const FluidProblem& problem, std::vector<double>& ends)
    : ends_(ends), state_(problem), clocks_(state_), pairs_(state_, clocks_), parts_(state_) {}

void FluidRun::run() {
  if (state_.empty()) return;
  for (bundle_anew(kReach);;) {
    rate_changed();
    if (state_.empty()) return;
    now_ = clocks_.soonest();
    CHECK(now_ < kNever, "flows are left that nothing ends");
    end_due_flows();
    leave_out_keyless();
  }
}

// Links that no flow's key needs any more would still cost whoever passes them.
void FluidRun::leave_out_keyless() {
  for (const std::uint32_t l : state_.keyless) {
    clocks_.leave_out(l);
    pairs_.forget(state_.live[l].part);
  }
  state_.keyless.clear();
}

void FluidRun::bundle_anew(double reach) {
  clocks_.note_left(now_);
  state_.bundle(reach);
  clocks_.reset();
  pairs_.reset();
  parts_.reset();
  const std::size_t links = state_.live.size();
  lowest_ = 0;
  seeds_.resize(links);
  for (std::uint32_t l = 0; l < links; ++l) seeds_[l] = l;
  ended_of_part_.assign(state_.parts.size(), 0);
  filled_.assign(state_.parts.size(), 0);
  change_ = 0;
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

// Parts of pairs are filled, and those that they pass; what has to be filled otherwise is left in seeds_.
bool FluidRun::fill_pairs() {
  if (lowest_ == 0) return true;  // just bundled
  parts_of_pairs_.clear();
  for (const std::uint32_t b : ended_) {
    const std::uint32_t p = state_.part_of(b);
    if (ended_of_part_[p]++ == 0) parts_of_pairs_.push_back(p);
  }
  std::erase_if(parts_of_pairs_, [&](std::uint32_t p) {
    filled_[p] = state_.parts[p].pairs && few(ended_of_part_[p], state_.parts[p].count) ? 1 : 0;
    ended_of_part_[p] = 0;
    return filled_[p] == 0;
  });
  for (const std::uint32_t b : ended_) {
    if (filled_[state_.part_of(b)] != 0) continue;
    for (const FluidBundles::Use& use : state_.uses_of(b)) seeds_.push_back(use.link);
  }
  for (std::size_t i = 0; i < parts_of_pairs_.size(); ++i) fill_with(parts_of_pairs_[i]);
  std::sort(parts_of_pairs_.begin(), parts_of_pairs_.end(),
            [&](std::uint32_t a, std::uint32_t b) { return std::pair(parts_.depth(a), a) < std::pair(parts_.depth(b), b); });
  for (const std::uint32_t p : parts_of_pairs_) filled_[p] = 0;
  for (const std::uint32_t p : parts_of_pairs_) {
    if (!pairs_.fill(p, lowest_, now_)) return false;
    parts_.changed(p);
  }
  return true;
}

// Notes what else must be filled with a part of pairs.
void FluidRun::fill_with(std::uint32_t part) {
  for (const std::uint32_t p : parts_.passed_by(part)) {
    if (filled_[p] != 0 || state_.parts[p].open == 0) continue;
    if (state_.parts[p].pairs) {
      filled_[p] = 1;
      parts_of_pairs_.push_back(p);
      continue;
    }
    for (std::uint32_t l = state_.parts[p].first; l < state_.parts[p].first + state_.parts[p].count; ++l) {
      if (state_.levels[l] >= lowest_) seeds_.push_back(l);  // who is held back below stays there
    }
  }
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
  if (state_.live[l].worth_sweeping()) state_.sweep(l);
  clocks_.advance(l, now_);
  const FluidBundles::LiveLink& link = state_.live[l];
  const Taken keys = collect_crossings(link.first, link.first_passing);
  const Taken passing = collect_passing(link);
  const double left = link.capacity - keys.taken - passing.taken, used = keys.used + passing.used;
  const std::uint32_t bundles = keys.bundles + passing.bundles;
  filling_[place] = {left, used, 0, bundles, 0, passing.bundles > 0};
  levels_[place] = bundles > 0 ? left / used : kNever;
}

// Whoever rises has every link visited that it passes: a row that is not visited stays known.
FluidRun::Taken FluidRun::collect_passing(const FluidBundles::LiveLink& link) {
  Taken sum;
  for (std::uint32_t i = link.first_passes; i < link.end_passes; ++i) {
    FluidBundles::Passing& row = state_.passing[i];
    if (!row.known || row.highest >= lowest_) {
      const Taken taken = collect_crossings(row.first, row.end);
      row.taken = taken.taken;
      row.highest = taken.highest;
      row.known = taken.bundles == 0;
      sum.used += taken.used;
      sum.bundles += taken.bundles;
    }
    sum.taken += row.taken;
  }
  return sum;
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
  for (std::uint32_t place = 0; place < changed_count_; ++place) {
    clocks_.set_next(changed_[place], now_);
    pairs_.forget(state_.live[changed_[place]].part);
  }
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
  ended_.clear();
  for (const std::uint32_t l : clocks_.due(now_)) {
    for (const std::uint32_t b : clocks_.due_bundles(l)) end_flows_of(b);
  }
}

void FluidRun::end_flows_of(std::uint32_t b) {
  const double bytes = state_.bundles[b].next;
  lowest_ = std::min(lowest_, state_.rate(b));
  while (!state_.bundles[b].over() && state_.bundles[b].next <= bytes) ends_[state_.take_next(b)] = now_;
  clocks_.ended(b, bytes);
  ended_.push_back(b);
}

}  // namespace trillion
