#include "sim/net/fluid_bundles.h"

#include <algorithm>
#include <utility>

#include "sim/base/error.h"
#include "sim/base/random.h"

namespace trillion {

FluidBundles::FluidBundles(const FluidProblem& problem)
    : problem_(problem), paths_(problem.path_count()), open_flows_(problem.flows.size()), even_part_(problem.capacities.size()) {
  for (const FluidProblem::Use& use : problem.uses) CHECK(use.share > 0 && use.share <= 1, "a share lies in (0, 1]");
  order_flows();
  for (std::uint32_t p = 0; p < paths_.size(); ++p) {
    if (paths_[p].open() > 0) open_paths_.push_back(p);
  }
}

void FluidBundles::order_flows() {
  for (const FluidProblem::Flow& flow : problem_.flows) {
    CHECK(flow.bytes > 0, "a flow moves bytes");
    ++paths_[flow.path].end_flow;
  }
  std::uint32_t begin = 0;
  for (Path& path : paths_) {
    path.next_flow = begin;
    begin += path.end_flow;
    path.end_flow = path.next_flow;
  }
  by_bytes_.resize(problem_.flows.size());
  for (std::uint32_t f = 0; f < by_bytes_.size(); ++f) by_bytes_[paths_[problem_.flows[f].path].end_flow++] = f;
  for (const Path& path : paths_) {
    if (path.end_flow - path.next_flow < 2) continue;
    std::sort(by_bytes_.begin() + path.next_flow, by_bytes_.begin() + path.end_flow,
              [&](std::uint32_t a, std::uint32_t b) { return problem_.flows[a].bytes < problem_.flows[b].bytes; });
  }
}

void FluidBundles::bundle(double reach) {
  leave_bundles();
  find_even_parts();
  number_bundles(reach);
  number_live_links();
  fill_bundles();
  list_crossings();
  certified_.assign(even_part_.size(), 0);
  levels.assign(live.size() + 1, kNever);
  levels.back() = 0;
  holders.assign(bundles.size(), nobody());
}

// Notes what every path has moved, and forgets paths without flows.
void FluidBundles::leave_bundles() {
  const bool bundled = !bundles.empty();
  std::size_t kept = 0;
  for (const std::uint32_t p : open_paths_) {
    Path& path = paths_[p];
    if (path.open() == 0) continue;
    open_paths_[kept++] = p;
    if (bundled) path.moved += bundles[path.bundle].next - left[path.bundle];
  }
  open_paths_.resize(kept);
}

void FluidBundles::find_even_parts() {
  weights_.assign(problem_.capacities.size(), 0.0);
  for (const std::uint32_t p : open_paths_) {
    for (const FluidProblem::Use& use : problem_.uses_of(p)) weights_[use.link] += paths_[p].open() * use.share;
  }
  even_part_.resize(weights_.size());
  for (std::size_t l = 0; l < even_part_.size(); ++l) even_part_[l] = weights_[l] > 0 ? problem_.capacities[l] / weights_[l] : kNever;
}

void FluidBundles::number_bundles(double reach) {
  guards.clear();
  fallen.clear();
  key_flows_.assign(even_part_.size(), 0);
  keys_.clear();
  keys_begin_.assign(1, 0);
  hashes_.clear();
  std::size_t size = 64;
  while (size < 2 * open_paths_.size()) size *= 2;
  table_.assign(size, kNone);
  for (const std::uint32_t p : open_paths_) {
    const std::span<const FluidProblem::Use> over = problem_.uses_of(p);
    double rate = kNever, guard = kNever;
    for (const FluidProblem::Use& use : over) rate = std::min(rate, even_part_[use.link]);
    if (!bundles.empty()) rate = std::max(rate, this->rate(paths_[p].bundle));
    key_.clear();
    std::uint64_t hash = 0;
    for (const FluidProblem::Use& use : over) {
      if (even_part_[use.link] > reach * rate) {
        guard = std::min(guard, even_part_[use.link]);
        continue;
      }
      key_.push_back(use.link);
      hash += mix64(use.link);  // of a set
      key_flows_[use.link] += paths_[p].end_flow - paths_[p].next_flow;
    }
    std::sort(key_.begin(), key_.end());
    const std::uint32_t bundle = bundle_of_key(hash);
    if (bundle == guards.size()) guards.push_back(guard);
    guards[bundle] = std::min(guards[bundle], guard);
    paths_[p].bundle = bundle;
  }
}

std::uint32_t FluidBundles::bundle_of_key(std::uint64_t hash) {
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
    const std::uint32_t known = table_[at];
    if (known == kNone) {
      table_[at] = static_cast<std::uint32_t>(hashes_.size());
      hashes_.push_back(hash);
      keys_.insert(keys_.end(), key_.begin(), key_.end());
      keys_begin_.push_back(static_cast<std::uint32_t>(keys_.size()));
      return table_[at];
    }
    if (hashes_[known] == hash &&
        std::equal(key_.begin(), key_.end(), keys_.begin() + keys_begin_[known], keys_.begin() + keys_begin_[known + 1])) {
      return known;
    }
  }
}

// Part by part.
void FluidBundles::number_live_links() {
  joined_.resize(even_part_.size());
  for (std::uint32_t l = 0; l < joined_.size(); ++l) joined_[l] = l;
  for (const std::uint32_t p : open_paths_) {
    const std::uint32_t key = keys_begin_[paths_[p].bundle], end = keys_begin_[paths_[p].bundle + 1];
    for (std::uint32_t k = key + 1; k < end; ++k) joined_[part_root(keys_[k])] = part_root(keys_[key]);
  }
  parts.clear();
  std::vector<std::uint32_t> part_of(even_part_.size(), kNone);  // by root
  std::uint32_t count = 0;
  for (std::uint32_t l = 0; l < even_part_.size(); ++l) {
    if (key_flows_[l] == 0) continue;
    ++count;
    std::uint32_t& part = part_of[part_root(l)];
    if (part == kNone) {
      part = static_cast<std::uint32_t>(parts.size());
      parts.emplace_back();
    }
    ++parts[part].count;
  }
  std::uint32_t begin = 0;
  for (Part& part : parts) {
    part.first = begin;
    begin += std::exchange(part.count, 0);
  }
  live.assign(count, {});
  live_of_.assign(even_part_.size(), kNone);
  keyless.clear();
  for (std::uint32_t l = 0; l < even_part_.size(); ++l) {
    if (key_flows_[l] == 0) continue;
    const std::uint32_t p = part_of[part_root(l)];
    live_of_[l] = parts[p].first + parts[p].count++;
    LiveLink& link = live[live_of_[l]];
    link.capacity = problem_.capacities[l];
    link.number = l;
    link.part = p;
    link.key_flows = key_flows_[l];
    ++parts[p].open;
  }
}

std::uint32_t FluidBundles::part_root(std::uint32_t link) {
  while (joined_[link] != link) link = joined_[link] = joined_[joined_[link]];
  return link;
}

void FluidBundles::fill_bundles() {
  const std::size_t count = hashes_.size();
  first_path_.assign(count + 1, 0);
  for (const std::uint32_t p : open_paths_) ++first_path_[paths_[p].bundle + 1];
  for (std::size_t b = 0; b < count; ++b) first_path_[b + 1] += first_path_[b];
  std::vector<std::uint32_t> by_bundle(open_paths_.size()), at(first_path_.begin(), first_path_.end() - 1);
  for (const std::uint32_t p : open_paths_) by_bundle[at[paths_[p].bundle]++] = p;
  open_paths_ = std::move(by_bundle);

  bundles.assign(count, {});
  left.resize(count);
  flows.clear();
  flows.reserve(open_flows_);
  uses.clear();
  slot_.assign(live.size(), kNone);
  for (std::size_t b = 0; b < count; ++b) {
    Bundle& bundle = bundles[b];
    bundle.next_flow = static_cast<std::uint32_t>(flows.size());
    bundle.first_use = static_cast<std::uint32_t>(uses.size());
    for (std::uint32_t k = keys_begin_[b]; k < keys_begin_[b + 1]; ++k) {
      slot_[live_of_[keys_[k]]] = static_cast<std::uint32_t>(uses.size());
      uses.push_back({live_of_[keys_[k]]});
    }
    for (std::uint32_t i = first_path_[b]; i < first_path_[b + 1]; ++i) add_path(bundle, open_paths_[i]);
    bundle.end_flow = static_cast<std::uint32_t>(flows.size());
    bundle.end_use = static_cast<std::uint32_t>(uses.size());
    const auto sooner = [](const Flow& x, const Flow& y) { return x.bytes < y.bytes; };
    if (!std::is_sorted(flows.begin() + bundle.next_flow, flows.end(), sooner)) {
      std::stable_sort(flows.begin() + bundle.next_flow, flows.end(), sooner);
    }
    bundle.next = flows[bundle.next_flow].bytes;
    left[b] = std::max(0.0, bundle.next);
    std::uint32_t own = 0;
    for (const Use& use : uses_of(static_cast<std::uint32_t>(b))) own += live[use.link].part == part_of(static_cast<std::uint32_t>(b));
    if (own > 2) parts[part_of(static_cast<std::uint32_t>(b))].pairs = false;
  }
}

void FluidBundles::add_path(Bundle& bundle, std::uint32_t p) {
  const Path& path = paths_[p];
  for (std::uint32_t f = path.next_flow; f < path.end_flow; ++f) {
    flows.push_back({problem_.flows[by_bytes_[f]].bytes - path.moved, by_bytes_[f]});
  }
  for (const FluidProblem::Use& use : problem_.uses_of(p)) {
    const std::uint32_t l = live_of_[use.link];
    if (l == kNone) continue;
    std::uint32_t& slot = slot_[l];
    if (slot == kNone || slot < bundle.first_use) {
      slot = static_cast<std::uint32_t>(uses.size());
      uses.push_back({l});
    }
    uses[slot].weight += path.open() * use.share;
  }
}

// Of the same part.
std::uint32_t FluidBundles::other_link(std::uint32_t b, std::uint32_t use) const {
  for (std::uint32_t u = bundles[b].first_use; u < bundles[b].end_use; ++u) {
    if (u != use && live[uses[u].link].part == part_of(b)) return uses[u].link;
  }
  return uses[use].link;
}

// By link: bundles that have it in their key, others of its part, and those of other parts, part by part.
void FluidBundles::list_crossings() {
  const auto in_key = [&](std::uint32_t b, std::uint32_t use) { return use - bundles[b].first_use < keys_begin_[b + 1] - keys_begin_[b]; };
  std::vector<std::uint32_t> at(parts.size() + 1, 0), by_part(bundles.size());
  for (std::uint32_t b = 0; b < bundles.size(); ++b) ++at[part_of(b) + 1];
  for (std::size_t p = 0; p < parts.size(); ++p) at[p + 1] += at[p];
  for (std::uint32_t b = 0; b < bundles.size(); ++b) by_part[at[part_of(b)]++] = b;
  for (std::uint32_t b = 0; b < bundles.size(); ++b) {
    for (std::uint32_t u = bundles[b].first_use; u < bundles[b].end_use; ++u) {
      LiveLink& link = live[uses[u].link];
      ++(in_key(b, u) ? link.first_passing : link.part == part_of(b) ? link.first_foreign : link.end);
    }
  }
  std::uint32_t begin = 0;
  for (LiveLink& link : live) {
    const std::uint32_t in_keys = link.first_passing, own = link.first_foreign, foreign = link.end;
    link.first = link.first_passing = begin;
    link.first_foreign = begin + in_keys;
    link.end = begin + in_keys + own;
    begin += in_keys + own + foreign;
  }
  crossings.resize(uses.size());
  for (const std::uint32_t b : by_part) {
    for (std::uint32_t u = bundles[b].first_use; u < bundles[b].end_use; ++u) {
      LiveLink& link = live[uses[u].link];
      uses[u].crossing = in_key(b, u) ? link.first_passing++ : link.part == part_of(b) ? link.first_foreign++ : link.end++;
      crossings[uses[u].crossing] = {b, other_link(b, u), uses[u].weight};
    }
  }
  list_passing();
}

void FluidBundles::list_passing() {
  passing.clear();
  for (std::uint32_t l = 0; l < live.size(); ++l) {
    live[l].first_passes = static_cast<std::uint32_t>(passing.size());
    for (std::uint32_t c = live[l].first_passing; c < live[l].end; ++c) {
      const bool begins = c == live[l].first_passing || part_of(crossings[c].bundle) != part_of(crossings[c - 1].bundle);
      if (begins) passing.push_back({l, c, c});
      passing.back().end = c + 1;
    }
    live[l].end_passes = static_cast<std::uint32_t>(passing.size());
  }
}

void FluidBundles::find_taken(Passing& row) const {
  double taken = 0, highest = 0;
  for (std::uint32_t c = row.first; c < row.end; ++c) {
    const double rate = this->rate(crossings[c].bundle);
    taken += crossings[c].weight * rate;
    highest = std::max(highest, rate);
  }
  row.taken = taken;
  row.highest = highest;
  row.known = true;
}

std::uint32_t FluidBundles::take_next(std::uint32_t b) {
  Bundle& bundle = bundles[b];
  const std::uint32_t flow = flows[bundle.next_flow++].number, p = problem_.flows[flow].path;
  if (!bundle.over()) bundle.next = flows[bundle.next_flow].bytes;
  ++paths_[p].next_flow;
  --open_flows_;
  for (const FluidProblem::Use& use : problem_.uses_of(p)) {
    weights_[use.link] -= use.share;
    const std::uint32_t l = live_of_[use.link];
    if (l == kNone) continue;
    std::uint32_t u = bundle.first_use;
    while (uses[u].link != l) ++u;
    uses[u].weight -= use.share;
    crossings[uses[u].crossing].weight = uses[u].weight;
    if (uses[u].crossing < live[l].first_passing && --live[l].key_flows == 0) keyless.push_back(l);
  }
  if (bundle.over()) {
    for (const Use& use : uses_of(b)) ++live[use.link].over;
  }
  return flow;
}

void FluidBundles::sweep(std::uint32_t l) {
  LiveLink& link = live[l];
  std::uint32_t kept = link.first;
  const auto keep = [&](std::uint32_t begin, std::uint32_t end) {
    for (std::uint32_t c = begin; c < end; ++c) {
      const std::uint32_t b = crossings[c].bundle;
      if (bundles[b].over()) continue;
      std::uint32_t u = bundles[b].first_use;
      while (uses[u].link != l) ++u;
      uses[u].crossing = kept;
      crossings[kept++] = crossings[c];
    }
    return kept;
  };
  const std::uint32_t first_foreign = link.first_foreign;
  link.first_passing = link.first_foreign = keep(link.first, link.first_passing);
  for (std::uint32_t row = link.first_passes; row < link.end_passes; ++row) {
    const bool own = passing[row].first < first_foreign;
    const std::uint32_t begin = kept;
    passing[row].end = keep(passing[row].first, passing[row].end);
    passing[row].first = begin;
    if (own) link.first_foreign = kept;
  }
  link.end = kept;
  link.over = 0;
}

}  // namespace trillion
