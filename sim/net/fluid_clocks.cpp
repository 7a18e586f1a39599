#include "sim/net/fluid_clocks.h"

namespace trillion {

// Four at a time: one chain of minima waits for itself.
double lowest_of(std::span<const double> values) {
  double a = FluidBundles::kNever, b = a, c = a, d = a;
  std::size_t i = 0;
  for (; i + 4 <= values.size(); i += 4) {
    a = std::min(a, values[i]);
    b = std::min(b, values[i + 1]);
    c = std::min(c, values[i + 2]);
    d = std::min(d, values[i + 3]);
  }
  for (; i < values.size(); ++i) a = std::min(a, values[i]);
  return std::min(std::min(a, b), std::min(c, d));
}

void FluidClocks::reset() {
  const std::size_t links = state_.live.size(), blocks = (links + kBlock - 1) / kBlock;
  clocks_.assign(links + 1, {});
  targets_ = state_.left;
  next_.assign(links, kNever);
  next_of_block_.assign(blocks, kNever);
  block_changed_.assign(blocks, 0);
  due_.resize(links + 1);
  unguarded_.clear();
}

void FluidClocks::note_left(double now) {
  for (std::uint32_t b = 0; b < state_.bundles.size(); ++b) {
    state_.left[b] = std::max(0.0, targets_[b] - moved_by(state_.holders[b], now));
  }
}

void FluidClocks::find_lowest(std::uint32_t l) {
  Clock& clock = clocks_[l];
  const FluidBundles::LiveLink& link = state_.live[l];
  clock.target = clock.guard = kNever;
  clock.stale = false;
  for (std::uint32_t c = link.first; c < link.first_passing; ++c) {
    const std::uint32_t b = state_.crossings[c].bundle;
    const bool held = state_.holders[b] == l;
    clock.target = std::min(clock.target, held ? targets_[b] : kNever);
    clock.guard = std::min(clock.guard, held ? state_.guards[b] : kNever);
  }
}

void FluidClocks::note_unguarded(std::uint32_t l) {
  const double level = state_.levels[l];
  const FluidBundles::LiveLink& link = state_.live[l];
  for (std::uint32_t c = link.first; c < link.first_passing; ++c) {
    const std::uint32_t b = state_.crossings[c].bundle;
    if (state_.holders[b] == l && level > state_.guards[b]) unguarded_.push_back(b);
  }
}

void FluidClocks::leave_out(std::uint32_t l) {
  const auto known = static_cast<std::ptrdiff_t>(state_.fallen.size());
  state_.leave_out(l);
  unguarded_.insert(unguarded_.end(), state_.fallen.begin() + known, state_.fallen.end());
  next_[l] = kNever;
  block_changed_[l / kBlock] = 1;
}

bool FluidClocks::guarded() {
  bool held = true;
  for (std::size_t i = 0; i < unguarded_.size() && held; ++i) {
    const std::uint32_t b = unguarded_[i];
    if (state_.rate(b) <= state_.guards[b]) continue;
    held = state_.guarded(b);
    clocks_[state_.holders[b]].stale = true;
  }
  for (const std::uint32_t b : state_.fallen) {
    double& guard = clocks_[state_.holders[b]].guard;
    guard = std::min(guard, state_.guards[b]);
  }
  state_.fallen.clear();
  unguarded_.clear();
  return held;
}

double FluidClocks::soonest() {
  for (std::size_t block = 0; block < next_of_block_.size(); ++block) {
    if (block_changed_[block] == 0) continue;
    block_changed_[block] = 0;
    next_of_block_[block] = lowest_of(std::span(next_).subspan(block * kBlock, std::min(next_.size() - block * kBlock, kBlock)));
  }
  return lowest_of(next_of_block_);
}

std::span<const std::uint32_t> FluidClocks::due(double now) {
  std::size_t count = 0;
  for (std::size_t block = 0; block < next_of_block_.size(); ++block) {
    if (next_of_block_[block] != now) continue;
    const std::size_t end = std::min(next_.size(), (block + 1) * kBlock);
    for (std::size_t l = block * kBlock; l < end; ++l) {
      due_[count] = static_cast<std::uint32_t>(l);  // which one it is, is as good as random
      count += next_[l] == now ? 1 : 0;
    }
  }
  return {due_.data(), count};
}

std::span<const std::uint32_t> FluidClocks::due_bundles(std::uint32_t l) {
  if (clocks_[l].stale) find_lowest(l);
  found_.clear();
  const FluidBundles::LiveLink& link = state_.live[l];
  for (std::uint32_t c = link.first; c < link.first_passing; ++c) {
    const std::uint32_t b = state_.crossings[c].bundle;
    if (state_.holders[b] == l && targets_[b] == clocks_[l].target) found_.push_back(b);
  }
  return found_;
}

void FluidClocks::ended(std::uint32_t b, double bytes) {
  clocks_[state_.holders[b]].stale = true;
  if (state_.bundles[b].over()) {
    state_.holders[b] = state_.nobody();
  } else {
    targets_[b] += state_.bundles[b].next - bytes;
  }
}

}  // namespace trillion
