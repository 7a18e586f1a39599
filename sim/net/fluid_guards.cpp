// Links that are in no key: when they become so, and whether they are full after all.
#include <algorithm>
#include <utility>

#include "sim/net/fluid_bundles.h"

namespace trillion {

// As long as all that pass it are below its even part, it is not full.
void FluidBundles::leave_out(std::uint32_t l) {
  LiveLink& link = live[l];
  const double even_part = weights_[link.number] > 0 ? link.capacity / weights_[link.number] : kNever;
  for (std::uint32_t c = link.first_passing; c < link.end; ++c) {
    const std::uint32_t b = crossings[c].bundle;
    if (bundles[b].over()) continue;
    guards[b] = std::min(guards[b], even_part);
    fallen.push_back(b);
    std::uint32_t u = bundles[b].first_use;
    while (uses[u].link != l) ++u;
    std::swap(uses[u], uses[--bundles[b].end_use]);  // it comes after the key, as the last one does
  }
  --parts[link.part].open;
  live_of_[link.number] = kNone;
  levels[l] = kNever;
  link.first_passing = link.first_foreign = link.end = link.first;
  link.end_passes = link.first_passes;
}

bool FluidBundles::guarded(std::uint32_t b) {
  guards[b] = kNever;
  for (std::uint32_t f = bundles[b].next_flow; f < bundles[b].end_flow; ++f) {
    for (const FluidProblem::Use& use : problem_.uses_of(problem_.flows[flows[f].number].path)) {
      if (live_of_[use.link] != kNone) continue;
      // Flows have ended since, so even parts are larger: enough where nobody was promised more.
      const double even_part = problem_.capacities[use.link] / weights_[use.link];
      if (certified_[use.link] == 0 && rate(b) <= even_part) {
        guards[b] = std::min(guards[b], even_part);
      } else if (!certify(use.link)) {
        return false;
      }
    }
  }
  return true;
}

void FluidBundles::list_paths() {
  if (!paths_begin_.empty()) return;
  paths_begin_.assign(even_part_.size() + 1, 0);
  for (const FluidProblem::Use& use : problem_.uses) ++paths_begin_[use.link + 1];
  for (std::size_t l = 0; l < even_part_.size(); ++l) paths_begin_[l + 1] += paths_begin_[l];
  paths_end_.assign(paths_begin_.begin(), paths_begin_.end() - 1);
  paths_of_link_.resize(problem_.uses.size());
  for (std::uint32_t p = 0; p < paths_.size(); ++p) {
    for (std::uint32_t u = problem_.uses_begin[p]; u < problem_.uses_begin[p + 1]; ++u) {
      paths_of_link_[paths_end_[problem_.uses[u].link]++] = {p, problem_.uses[u].share};
    }
  }
}

// What the link has left is given to all its flows alike: while all are below that, it is not full.
bool FluidBundles::certify(std::uint32_t link) {
  list_paths();
  certified_[link] = 1;
  double load = 0;
  std::uint32_t end = paths_begin_[link];
  for (std::uint32_t i = paths_begin_[link]; i < paths_end_[link]; ++i) {
    const PathShare over = paths_of_link_[i];
    if (paths_[over.path].open() == 0) continue;
    paths_of_link_[end++] = over;
    load += paths_[over.path].open() * over.share * rate(paths_[over.path].bundle);
  }
  paths_end_[link] = end;
  const double room = problem_.capacities[link] - load;
  if (room < -1e-12 * problem_.capacities[link]) return false;
  for (std::uint32_t i = paths_begin_[link]; i < end; ++i) {
    const std::uint32_t b = paths_[paths_of_link_[i].path].bundle;
    const double guard = rate(b) + std::max(0.0, room) / weights_[link];
    if (guard >= guards[b]) continue;
    guards[b] = guard;
    fallen.push_back(b);
  }
  return true;
}

}  // namespace trillion
