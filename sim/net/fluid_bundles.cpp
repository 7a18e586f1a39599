#include "sim/net/fluid_bundles.h"

#include <algorithm>

#include "sim/base/error.h"
#include "sim/base/random.h"

namespace trillion {

namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

}  // namespace

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

void FluidBundles::bundle(double now, double reach) {
  leave_bundles(now);
  find_even_parts();
  number_bundles(reach);
  fill_bundles(now);
  list_crossings();
}

// Notes what every path has moved, and forgets paths without flows.
void FluidBundles::leave_bundles(double now) {
  for (std::size_t b = 0; b < bundles.size(); ++b) bundles[b].moved += rates[b] * (now - bundles[b].since);
  const bool bundled = !bundles.empty();
  std::size_t kept = 0;
  for (const std::uint32_t p : open_paths_) {
    Path& path = paths_[p];
    if (path.open() == 0) continue;
    open_paths_[kept++] = p;
    if (bundled) path.moved += bundles[path.bundle].moved;
  }
  open_paths_.resize(kept);
}

void FluidBundles::find_even_parts() {
  std::fill(even_part_.begin(), even_part_.end(), 0.0);
  for (const std::uint32_t p : open_paths_) {
    for (const FluidProblem::Use& use : problem_.uses_of(p)) even_part_[use.link] += paths_[p].open() * use.share;
  }
  for (std::size_t l = 0; l < even_part_.size(); ++l) even_part_[l] = even_part_[l] > 0 ? problem_.capacities[l] / even_part_[l] : kNever;
}

void FluidBundles::number_bundles(double reach) {
  const std::vector<double> old_rates = std::move(rates);
  is_live_.assign(even_part_.size(), false);
  key_flows.assign(even_part_.size(), 0);
  keys_.clear();
  keys_begin_.assign(1, 0);
  hashes_.clear();
  guards_.clear();
  std::size_t size = 64;
  while (size < 2 * open_paths_.size()) size *= 2;
  table_.assign(size, kNone);
  for (const std::uint32_t p : open_paths_) {
    const std::span<const FluidProblem::Use> over = problem_.uses_of(p);
    double rate = kNever, guard = kNever;
    for (const FluidProblem::Use& use : over) rate = std::min(rate, even_part_[use.link]);
    if (!old_rates.empty()) rate = std::max(rate, old_rates[paths_[p].bundle]);
    key_.clear();
    std::uint64_t hash = 0;
    for (const FluidProblem::Use& use : over) {
      if (even_part_[use.link] > reach * rate) {
        guard = std::min(guard, even_part_[use.link]);
        continue;
      }
      key_.push_back(use.link);
      hash += mix64(use.link);  // of a set
      is_live_[use.link] = true;
      key_flows[use.link] += paths_[p].end_flow - paths_[p].next_flow;
    }
    std::sort(key_.begin(), key_.end());
    const std::uint32_t bundle = bundle_of_key(hash);
    guards_[bundle] = std::min(guards_[bundle], guard);
    paths_[p].bundle = bundle;
  }
  live.clear();
  for (std::uint32_t l = 0; l < is_live_.size(); ++l) {
    if (is_live_[l]) live.push_back(l);
  }
}

std::uint32_t FluidBundles::bundle_of_key(std::uint64_t hash) {
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
    const std::uint32_t known = table_[at];
    if (known == kNone) {
      table_[at] = static_cast<std::uint32_t>(hashes_.size());
      hashes_.push_back(hash);
      guards_.push_back(kNever);
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

void FluidBundles::fill_bundles(double now) {
  const std::size_t count = hashes_.size();
  first_path_.assign(count + 1, 0);
  for (const std::uint32_t p : open_paths_) ++first_path_[paths_[p].bundle + 1];
  for (std::size_t b = 0; b < count; ++b) first_path_[b + 1] += first_path_[b];
  std::vector<std::uint32_t> by_bundle(open_paths_.size()), at(first_path_.begin(), first_path_.end() - 1);
  for (const std::uint32_t p : open_paths_) by_bundle[at[paths_[p].bundle]++] = p;
  open_paths_ = std::move(by_bundle);

  bundles.assign(count, {});
  rates.assign(count, 0.0);
  flows.clear();
  flows.reserve(open_flows_);
  uses.clear();
  slot_.assign(even_part_.size(), kNone);
  for (std::size_t b = 0; b < count; ++b) {
    Bundle& bundle = bundles[b];
    bundle.since = now;
    bundle.guard = guards_[b];
    bundle.next_flow = static_cast<std::uint32_t>(flows.size());
    bundle.first_use = static_cast<std::uint32_t>(uses.size());
    for (std::uint32_t k = keys_begin_[b]; k < keys_begin_[b + 1]; ++k) {
      slot_[keys_[k]] = static_cast<std::uint32_t>(uses.size());
      uses.push_back({keys_[k], true, 0});
    }
    for (std::uint32_t i = first_path_[b]; i < first_path_[b + 1]; ++i) add_path(bundle, open_paths_[i]);
    bundle.end_flow = static_cast<std::uint32_t>(flows.size());
    bundle.end_use = static_cast<std::uint32_t>(uses.size());
    const auto sooner = [](const Flow& x, const Flow& y) { return x.bytes < y.bytes; };
    if (!std::is_sorted(flows.begin() + bundle.next_flow, flows.end(), sooner)) {
      std::stable_sort(flows.begin() + bundle.next_flow, flows.end(), sooner);
    }
    bundle.next = flows[bundle.next_flow].bytes;
  }
}

void FluidBundles::add_path(Bundle& bundle, std::uint32_t p) {
  const Path& path = paths_[p];
  for (std::uint32_t f = path.next_flow; f < path.end_flow; ++f) {
    flows.push_back({problem_.flows[by_bytes_[f]].bytes - path.moved, by_bytes_[f]});
  }
  for (const FluidProblem::Use& use : problem_.uses_of(p)) {
    if (!is_live_[use.link]) continue;
    std::uint32_t& slot = slot_[use.link];
    if (slot == kNone || slot < bundle.first_use) {
      slot = static_cast<std::uint32_t>(uses.size());
      uses.push_back({use.link, false, 0});
    }
    uses[slot].weight += path.open() * use.share;
  }
}

void FluidBundles::list_crossings() {
  crossings_begin_.assign(even_part_.size() + 1, 0);
  for (const Use& use : uses) ++crossings_begin_[use.link + 1];
  for (std::size_t l = 0; l < even_part_.size(); ++l) crossings_begin_[l + 1] += crossings_begin_[l];
  crossings_end_.assign(crossings_begin_.begin(), crossings_begin_.end() - 1);
  crossings_.resize(uses.size());
  for (std::uint32_t b = 0; b < bundles.size(); ++b) {
    for (std::uint32_t u = bundles[b].first_use; u < bundles[b].end_use; ++u) crossings_[crossings_end_[uses[u].link]++] = {b, u};
  }
}

std::uint32_t FluidBundles::take_next(std::uint32_t b) {
  Bundle& bundle = bundles[b];
  const std::uint32_t flow = flows[bundle.next_flow++].number, p = problem_.flows[flow].path;
  if (bundle.next_flow < bundle.end_flow) bundle.next = flows[bundle.next_flow].bytes;
  ++paths_[p].next_flow;
  --open_flows_;
  for (const FluidProblem::Use& use : problem_.uses_of(p)) {
    if (!is_live_[use.link]) continue;
    for (Use& own : uses_of(b)) {
      if (own.link != use.link) continue;
      own.weight -= use.share;
      key_flows[use.link] -= own.in_key ? 1 : 0;
      break;
    }
  }
  return flow;
}

bool FluidBundles::guarded(std::uint32_t b) {
  if (paths_begin_.empty()) {
    paths_begin_.assign(even_part_.size() + 1, 0);
    for (const FluidProblem::Use& use : problem_.uses) ++paths_begin_[use.link + 1];
    for (std::size_t l = 0; l < even_part_.size(); ++l) paths_begin_[l + 1] += paths_begin_[l];
    std::vector<std::uint32_t> at(paths_begin_.begin(), paths_begin_.end() - 1);
    paths_of_link_.resize(problem_.uses.size());
    for (std::uint32_t p = 0; p < paths_.size(); ++p) {
      for (const FluidProblem::Use& use : problem_.uses_of(p)) paths_of_link_[at[use.link]++] = p;
    }
  }
  bundles[b].guard = kNever;
  for (std::uint32_t f = bundles[b].next_flow; f < bundles[b].end_flow; ++f) {
    for (const FluidProblem::Use& use : problem_.uses_of(problem_.flows[flows[f].number].path)) {
      if (!is_live_[use.link] && !certify(use.link)) return false;
    }
  }
  return true;
}

// What the link has left is given to all its flows alike: while all are below that, it is not full.
bool FluidBundles::certify(std::uint32_t link) {
  double load = 0, weight = 0;
  const std::span<const std::uint32_t> over(paths_of_link_.data() + paths_begin_[link], paths_of_link_.data() + paths_begin_[link + 1]);
  const auto share_of = [&](std::uint32_t p) {
    for (const FluidProblem::Use& use : problem_.uses_of(p)) {
      if (use.link == link) return use.share;
    }
    return 0.0;
  };
  for (const std::uint32_t p : over) {
    if (paths_[p].open() == 0) continue;
    const double used = paths_[p].open() * share_of(p);
    weight += used;
    load += used * rates[paths_[p].bundle];
  }
  const double left = problem_.capacities[link] - load;
  if (left < -1e-12 * problem_.capacities[link]) return false;
  for (const std::uint32_t p : over) {
    if (paths_[p].open() == 0) continue;
    Bundle& bundle = bundles[paths_[p].bundle];
    bundle.guard = std::min(bundle.guard, rates[paths_[p].bundle] + std::max(0.0, left) / weight);
  }
  return true;
}

}  // namespace trillion
