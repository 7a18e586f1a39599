#include "sim/planner/chance.h"

#include <algorithm>

namespace trillion {

bool Front::beats(const Corner& corner) const {
  return std::any_of(corners_.begin(), corners_.end(), [&](const Corner& c) { return c.no_worse_than(corner); });
}

void Front::add(const Corner& corner) {
  if (beats(corner)) return;
  std::erase_if(corners_, [&](const Corner& c) { return corner.no_worse_than(c); });
  corners_.push_back(corner);
}

std::vector<std::size_t> open_chances(const std::vector<Chance>& chances, std::size_t values, const ChanceLimits& limits) {
  std::vector<Score> known;
  std::vector<std::optional<Score>> best_of_value(values);
  Front front;
  for (const Chance& c : chances) {
    if (!c.known) continue;
    known.push_back(c.known->score);
    front.add(c.known->corner);
    for (const std::uint32_t v : c.values) {
      std::optional<Score>& best = best_of_value[v];
      if (!best || c.known->score < *best) best = c.known->score;
    }
  }
  const auto less = [](const Score& a, const Score& b) { return a < b; };
  std::optional<Score> last = limits.last_kept;
  if (!last && limits.keep > 0 && known.size() >= limits.keep) {
    const auto at = known.begin() + static_cast<std::ptrdiff_t>(limits.keep - 1);
    std::nth_element(known.begin(), at, known.end(), less);
    last = *at;
  }
  const auto best = std::min_element(known.begin(), known.end(), less);
  std::vector<std::size_t> asked_of_value(values);
  const auto may_be_kept = [&](const Chance& c) { return !last || c.least <= *last; };
  const auto may_be_best_of_a_value = [&](const Chance& c) {
    bool may = false;
    for (const std::uint32_t v : c.values) {
      const bool first = !best_of_value[v] || c.least < *best_of_value[v];
      may = may || (first && asked_of_value[v]++ < limits.few);
    }
    return may;
  };
  const auto may_be_on_front = [&](const Chance& c) {
    if (!within_reach(c.least, *best, limits.reach) || front.beats(c.corner)) return false;
    front.add(c.corner);
    return true;
  };
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < chances.size(); ++i) {
    const Chance& c = chances[i];
    if (!c.known && (may_be_kept(c) || may_be_best_of_a_value(c) || may_be_on_front(c))) open.push_back(i);
  }
  return open;
}

}  // namespace trillion
