#include "sim/net/fluid_pairs.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace trillion {

namespace {

// Levels nearer than this are computed twice, to see whether they are one.
constexpr double kNear = 1 + 1e-9;

// After how many steps a link to give up: the order has little to do with the one before, or rounding makes it go round.
constexpr std::uint32_t kPatience = 64;

// What of a link's capacity may be missing by rounding.
constexpr double kRounding = 1e-12;

}  // namespace

void FluidPairs::reset() {
  order_.resize(state_.live.size());
  std::iota(order_.begin(), order_.end(), 0u);
  places_.assign(state_.live.size(), kPending);
  takes_.assign(state_.live.size(), 0);
  room_.resize(state_.live.size());
  floors_.resize(state_.live.size());
  ordered_.assign(state_.parts.size(), 0);
}

void FluidPairs::order(std::uint32_t p) {
  const FluidBundles::Part& part = state_.parts[p];
  if (ordered_[p] != 0) return;
  ordered_[p] = 1;
  const auto begin = order_.begin() + part.first, end = begin + part.count;
  const auto rank = [&](std::uint32_t l) { return std::tuple(state_.live[l].key_flows == 0, state_.levels[l], l); };
  std::sort(begin, end, [&](std::uint32_t a, std::uint32_t b) { return rank(a) < rank(b); });
  for (std::uint32_t i = part.first; i < part.first + part.count; ++i) places_[order_[i]] = i;
}

bool FluidPairs::fill(std::uint32_t p, double lowest, double now) {
  order(p);
  begin_ = state_.parts[p].first;
  end_ = begin_ + state_.parts[p].open;
  while (begin_ < end_ && state_.levels[order_[begin_]] < lowest) ++begin_;
  for (std::uint32_t i = begin_; i < end_; ++i) {
    const std::uint32_t l = order_[i];
    if (state_.live[l].over > 0) state_.sweep(l);
    clocks_.advance(l, now);
    room_[l] = state_.live[l].capacity;
    floors_[l] = 0;
    if (state_.live[l].first_foreign < state_.live[l].end) find_room(l);
    places_[l] = kPending;
  }
  group_ = at_ = begin_;
  level_ = lowest_ = lowest;
  for (std::uint32_t steps = 0; at_ < end_; ++steps) {
    if (steps > kPatience * state_.parts[p].count) return false;
    place_next();
  }
  for (std::uint32_t i = begin_; i < end_; ++i) {
    if (state_.levels[order_[i]] < floors_[order_[i]] || (takes_[order_[i]] != 0 && !hold(order_[i]))) return false;
  }
  for (std::uint32_t i = begin_; i < end_; ++i) clocks_.set_next(order_[i], now);
  return true;
}

void FluidPairs::find_room(std::uint32_t l) {
  const FluidBundles::LiveLink& link = state_.live[l];
  double taken = 0, highest = 0;
  for (std::uint32_t row = link.first_passes; row < link.end_passes; ++row) {
    if (state_.passing[row].first < link.first_foreign) continue;
    const FluidBundles::Passing& by = state_.taken_by(row);
    taken += by.taken;
    highest = std::max(highest, by.highest);
  }
  room_[l] = link.capacity - taken;
  floors_[l] = highest;
}

// Who comes where is as good as random: no branches.
FluidPairs::Sums FluidPairs::sums(std::uint32_t l) const {
  const FluidBundles::LiveLink& link = state_.live[l];
  const double* levels = state_.levels.data();
  const std::uint32_t *places = places_.data(), *holders = state_.holders.data();
  const std::uint32_t at = at_;
  double taken = 0, rising = 0;
  bool takes = false;
  for (std::uint32_t c = link.first; c < link.first_foreign; ++c) {
    const FluidBundles::Crossing crossing = state_.crossings[c];
    const bool rises = places[crossing.other] >= at;
    taken += value_if(!rises, crossing.weight * levels[crossing.other]);
    rising += value_if(rises, crossing.weight);
    takes |= rises & (holders[crossing.bundle] != l);
  }
  return {taken, rising, takes};
}

FluidPairs::GroupSums FluidPairs::group_sums(std::uint32_t l) const {
  GroupSums s;
  for (std::uint32_t c = state_.live[l].first; c < state_.live[l].first_foreign; ++c) {
    const FluidBundles::Crossing crossing = state_.crossings[c];
    const std::uint32_t place = places_[crossing.other];
    if (place >= at_) continue;
    if (place < group_) {
      s.before += crossing.weight * state_.levels[crossing.other];
    } else {
      s.grouped += crossing.weight;
    }
  }
  return s;
}

void FluidPairs::place_next() {
  constexpr double kNever = FluidBundles::kNever;
  const std::uint32_t l = order_[at_];
  const Sums s = sums(l);
  const double room = room_[l], left = room - s.taken, missing = -kRounding * state_.live[l].capacity;
  // Clearly below the group: what mostly is found here, without a division and a second sum.
  if (group_ < at_ && left - level_ * s.rising < 2 * missing) return put_before_group();
  double level = s.rising > 0 ? left / s.rising : left < missing ? 0 : kNever;
  if (group_ < at_ && level <= level_ * kNear) {
    if (level_ == kNever && level < kNever) return put_before_group();
    if (level == kNever) return place(l, kNever, s.takes);
    // As if the group's links had not been filled.
    const GroupSums g = group_sums(l);
    const double weight = g.grouped + s.rising, alone = room - g.before;
    if (alone - level_ * weight < missing) return put_before_group();
    if (level <= level_ || alone / weight <= level_) return place(l, level_, s.takes);
  }
  level = std::max(level, level_);  // rounding must not make it fall
  if (at_ + 1 < end_ && level > state_.levels[order_[at_ + 1]]) return keep_for_later(level);
  group_ = at_;
  level_ = level;
  place(l, level, s.takes);
}

void FluidPairs::place(std::uint32_t l, double level, bool takes) {
  state_.levels[l] = level;
  takes_[l] = takes;
  places_[l] = at_++;
}

void FluidPairs::put_before_group() {
  const std::uint32_t l = order_[at_];
  for (std::uint32_t i = at_; i > group_; --i) {
    order_[i] = order_[i - 1];
    places_[order_[i]] = kPending;
  }
  order_[group_] = l;
  at_ = group_;
  if (at_ == begin_) {
    level_ = lowest_;
    return;
  }
  level_ = state_.levels[order_[at_ - 1]];
  for (group_ = at_ - 1; group_ > begin_ && state_.levels[order_[group_ - 1]] == level_;) --group_;
}

void FluidPairs::keep_for_later(double level) {
  const std::uint32_t l = order_[at_];
  state_.levels[l] = level;
  std::uint32_t i = at_;
  for (; i + 1 < end_ && state_.levels[order_[i + 1]] < level; ++i) order_[i] = order_[i + 1];
  order_[i] = l;
}

// Of two links of one level, a bundle stays with the one that it has.
bool FluidPairs::hold(std::uint32_t l) {
  const FluidBundles::LiveLink& link = state_.live[l];
  const double level = state_.levels[l];
  for (std::uint32_t c = link.first; c < link.first_foreign; ++c) {
    const FluidBundles::Crossing crossing = state_.crossings[c];
    const std::uint32_t holder = state_.holders[crossing.bundle];
    const double other = state_.levels[crossing.other];
    if (holder == l || other < level || (other == level && holder == crossing.other && crossing.other != l)) continue;
    if (c >= link.first_passing) return false;
    clocks_.hold(l, crossing.bundle);
  }
  return true;
}

}  // namespace trillion
