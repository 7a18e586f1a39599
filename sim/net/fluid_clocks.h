// Who has come how far. A link moves all bundles that it holds at one rate, its level, so it keeps one clock for them: the bytes that each
// flow of theirs would have moved if it had always been held there. A bundle's next flow ends when that clock stands at its target,
//
//   target = clock of its holder + bytes left
//
// and only a bundle that changes hands costs anything while levels change.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/net/fluid_bundles.h"

namespace trillion {

class FluidClocks {
 public:
  static constexpr double kNever = FluidBundles::kNever;

  // The bundles must outlive it.
  explicit FluidClocks(FluidBundles& state) : state_(state) {}

  // Everything was bundled anew: nobody holds anything.
  void reset();
  // Sets what bundles have left.
  void note_left(double now);

  // For each link whose level may change: first advance it, then change its level and what it holds, then set_next.
  void advance(std::uint32_t link, double now) {
    clocks_[link].moved = moved_by(link, now);
    clocks_[link].since = now;
  }
  // REQUIRES: the link and the bundle's holder were advanced to the same instant.
  void hold(std::uint32_t link, std::uint32_t bundle) {
    std::uint32_t& holder = state_.holders[bundle];
    Clock &before = clocks_[holder], &after = clocks_[link];
    if (targets_[bundle] == before.target) before.stale = true;
    // Clocks that stand alike must not even round.
    if (before.moved != after.moved) targets_[bundle] = after.moved + (targets_[bundle] - before.moved);
    after.target = std::min(after.target, targets_[bundle]);
    after.guard = std::min(after.guard, state_.guards[bundle]);
    holder = link;
  }
  void set_next(std::uint32_t l, double now) {
    if (clocks_[l].stale) find_lowest(l);
    const Clock& clock = clocks_[l];
    const double level = state_.levels[l];
    next_[l] = clock.target < kNever ? now + std::max(0.0, clock.target - clock.moved) / level : kNever;
    block_changed_[l / kBlock] = 1;
    if (clock.target < kNever && level > clock.guard) note_unguarded(l);
  }
  // Leaves out a link that is in no key any more.
  void leave_out(std::uint32_t link);
  // Whether no link that was left out is overfilled by bundles above their guards, as far as set_next has seen any.
  bool guarded();

  // When the next flow ends, and the links that hold such flows, after soonest().
  double soonest();
  std::span<const std::uint32_t> due(double now);
  // Of a due link: its bundles whose next flow ends.
  std::span<const std::uint32_t> due_bundles(std::uint32_t link);
  // The bundle's next flow ended with `bytes` since it was bundled.
  void ended(std::uint32_t bundle, double bytes);

 private:
  struct Clock {
    double moved = 0, since = 0;
    double target = kNever, guard = kNever;  // lowest of the bundles that it holds
    bool stale = false;                      // these are
  };
  double moved_by(std::uint32_t link, double now) const {
    const double level = state_.levels[link];
    return level < kNever ? clocks_[link].moved + level * (now - clocks_[link].since) : clocks_[link].moved;
  }
  void find_lowest(std::uint32_t link);
  void note_unguarded(std::uint32_t link);

  FluidBundles& state_;
  std::vector<Clock> clocks_;    // by live link, and nobody's
  std::vector<double> targets_;  // by bundle
  // By live link: when the next flow ends that it holds. And the soonest of every kBlock in a row.
  static constexpr std::size_t kBlock = 16;
  std::vector<double> next_, next_of_block_;
  std::vector<std::uint8_t> block_changed_;
  std::vector<std::uint32_t> due_, found_, unguarded_;
};

// The lowest of them, or kNever.
double lowest_of(std::span<const double> values);

// `value` or 0, without a branch: for what is as good as random.
inline double value_if(bool condition, double value) {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) & (0 - static_cast<std::uint64_t>(condition)));
}

}  // namespace trillion
