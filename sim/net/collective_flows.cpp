#include "sim/net/collective_flows.h"

#include <algorithm>

#include "sim/base/error.h"

namespace trillion {

namespace {

// Order in which ring number `ring` passes the members.
std::vector<std::int64_t> ring_order(const CollectiveGroup& group, std::int64_t ring) {
  std::vector<std::int64_t> order;
  for (std::int64_t d = 0; d < group.domains(); ++d) {
    for (std::int64_t k = 0; k < group.per_domain; ++k) order.push_back(group.at(d, (ring + k) % group.per_domain));
  }
  return order;
}

// Every hop of the ring moves `bytes`.
void add_ring(std::vector<Transfer>& transfers, const std::vector<std::int64_t>& order, Bytes bytes) {
  for (std::size_t i = 0; i < order.size(); ++i) transfers.push_back({order[i], order[(i + 1) % order.size()], bytes});
}

CollectiveFlows ring_flows(const CollectiveGroup& group, Bytes bytes, std::int64_t rounds) {
  CollectiveFlows flows;
  flows.phases.emplace_back();
  const double n = static_cast<double>(group.size()), g = static_cast<double>(group.per_domain);
  for (std::int64_t r = 0; r < group.per_domain; ++r) {
    add_ring(flows.phases.back(), ring_order(group, r), bytes * (static_cast<double>(rounds) * (n - 1) / n / g));
  }
  const std::vector<std::int64_t> order = ring_order(group, 0);
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i + 1 < order.size(); ++i) flows.chain.emplace_back(order[i], order[i + 1]);
  }
  return flows;
}

// Parent of node `i` of `count` in a binary tree whose leaves are the odd numbers: the lowest set bit moves one up. -1: the root, 0.
std::int64_t parent_of(std::int64_t i, std::int64_t count) {
  std::int64_t bit = 1;
  while (bit < count && (i & bit) == 0) bit <<= 1;
  if (bit >= count) return -1;
  const std::int64_t up = (i ^ bit) | (bit << 1);
  return up < count ? up : i ^ bit;
}

// The second tree is the first, shifted by one: who is a leaf (odd) there is an inner node (even) here.
CollectiveFlows tree_flows(const CollectiveGroup& group, Bytes bytes) {
  CollectiveFlows flows;
  std::vector<Transfer>& transfers = flows.phases.emplace_back();
  const std::int64_t domains = group.domains(), places = group.per_domain;
  const Bytes each = bytes / static_cast<double>(places);  // of one chain and its trees
  const auto up_and_down = [&](std::int64_t child, std::int64_t parent, Bytes moved) {
    transfers.push_back({child, parent, moved});
    transfers.push_back({parent, child, moved});
  };
  for (std::int64_t p = 0; p < places; ++p) {
    for (std::int64_t d = 0; d < domains; ++d) {
      for (std::int64_t k = 1; k < places; ++k) up_and_down(group.at(d, (p + k) % places), group.at(d, (p + k - 1) % places), each);
      if (const std::int64_t up = parent_of(d, domains); up >= 0) {
        up_and_down(group.at(d, p), group.at(up, p), each / 2.0);
        up_and_down(group.at((d + 1) % domains, p), group.at((up + 1) % domains, p), each / 2.0);
      }
    }
  }
  // From the end of a chain in the deepest leaf to the root, and back.
  std::vector<std::int64_t> deepest;
  for (std::int64_t d = 0; d < domains; ++d) {
    std::vector<std::int64_t> way{d};
    while (parent_of(way.back(), domains) >= 0) way.push_back(parent_of(way.back(), domains));
    if (way.size() > deepest.size()) deepest = way;
  }
  for (std::int64_t k = places - 1; k >= 1; --k) flows.chain.emplace_back(group.at(deepest[0], k), group.at(deepest[0], k - 1));
  for (std::size_t i = 0; i + 1 < deepest.size(); ++i) flows.chain.emplace_back(group.at(deepest[i], 0), group.at(deepest[i + 1], 0));
  for (std::size_t hops = flows.chain.size(); hops-- > 0;) flows.chain.emplace_back(flows.chain[hops].second, flows.chain[hops].first);
  return flows;
}

void append(CollectiveFlows& flows, CollectiveFlows more) {
  flows.phases.insert(flows.phases.end(), more.phases.begin(), more.phases.end());
  flows.chain.insert(flows.chain.end(), more.chain.begin(), more.chain.end());
}

CollectiveFlows hierarchical_flows(const CollectiveGroup& group, Bytes bytes) {
  const std::int64_t domains = group.domains(), places = group.per_domain;
  CollectiveFlows within, between;
  if (places > 1) {
    within = ring_flows({{group.gpus.begin(), group.gpus.begin() + places}, places}, bytes, 1);
    for (std::int64_t d = 1; d < domains; ++d) {
      const CollectiveGroup members{{group.gpus.begin() + d * places, group.gpus.begin() + (d + 1) * places}, places};
      const CollectiveFlows alike = ring_flows(members, bytes, 1);
      within.phases[0].insert(within.phases[0].end(), alike.phases[0].begin(), alike.phases[0].end());
    }
  }
  for (std::int64_t p = 0; domains > 1 && p < places; ++p) {
    CollectiveGroup members;
    for (std::int64_t d = 0; d < domains; ++d) members.gpus.push_back(group.at(d, p));
    CollectiveFlows ring = ring_flows(members, bytes / static_cast<double>(places), 2);
    if (p == 0) {
      between = std::move(ring);
    } else {
      between.phases[0].insert(between.phases[0].end(), ring.phases[0].begin(), ring.phases[0].end());
    }
  }
  CollectiveFlows flows = within;
  append(flows, between);
  append(flows, within);
  return flows;
}

CollectiveFlows pairwise_flows(const CollectiveGroup& group, Bytes bytes) {
  CollectiveFlows flows;
  flows.phases.emplace_back();
  for (const std::int64_t a : group.gpus) {
    for (const std::int64_t b : group.gpus) {
      if (a != b) flows.phases.back().push_back({a, b, bytes / static_cast<double>(group.size())});
    }
  }
  flows.chain = {{group.gpus.front(), group.gpus.back()}};
  return flows;
}

CollectiveFlows two_hop_flows(const CollectiveGroup& group, Bytes bytes) {
  CollectiveFlows flows;
  std::vector<Transfer>& transfers = flows.phases.emplace_back();
  const std::int64_t domains = group.domains(), places = group.per_domain;
  const Bytes each = bytes / static_cast<double>(group.size());  // from a member to a member
  for (std::int64_t p = 0; p < places; ++p) {
    for (std::int64_t d = 0; d < domains; ++d) {
      for (std::int64_t to = 0; to < domains; ++to) {
        if (to != d) transfers.push_back({group.at(d, p), group.at(to, p), each * static_cast<double>(places)});
      }
      // What came for this domain's other members from the same place everywhere, own domain included.
      for (std::int64_t to = 0; to < places; ++to) {
        if (to != p) transfers.push_back({group.at(d, p), group.at(d, to), each * static_cast<double>(domains)});
      }
    }
  }
  flows.chain = {{group.at(0, 0), group.at(domains - 1, 0)}};
  if (places > 1) flows.chain.emplace_back(group.at(domains - 1, 0), group.at(domains - 1, places - 1));
  return flows;
}

}  // namespace

CollectiveFlows flows_of(CollectiveAlgorithm algorithm, CollectiveKind kind, const CollectiveGroup& group, Bytes bytes) {
  CHECK(group.size() >= 2 && group.per_domain >= 1 && group.size() % group.per_domain == 0, "whole domains of members");
  const bool all_reduce = kind == CollectiveKind::all_reduce, all_to_all = kind == CollectiveKind::all_to_all;
  switch (algorithm) {
    case CollectiveAlgorithm::ring: CHECK(!all_to_all, "no ring of an all-to-all"); return ring_flows(group, bytes, all_reduce ? 2 : 1);
    case CollectiveAlgorithm::tree: CHECK(all_reduce); return tree_flows(group, bytes);
    case CollectiveAlgorithm::hierarchical: CHECK(all_reduce); return hierarchical_flows(group, bytes);
    case CollectiveAlgorithm::pairwise: CHECK(all_to_all); return pairwise_flows(group, bytes);
    case CollectiveAlgorithm::two_hop: CHECK(all_to_all); return two_hop_flows(group, bytes);
  }
  throw InternalError("an algorithm without flows");
}

Seconds time_of(const CollectiveFlows& flows, const Fabric& fabric) {
  Seconds time;
  for (const std::vector<Transfer>& phase : flows.phases) {
    const std::vector<Seconds> ends = transfer_ends(fabric, phase);
    time += *std::max_element(ends.begin(), ends.end());
  }
  for (const auto& [from, to] : flows.chain) time += fabric.latency(from, to);
  return time;
}

}  // namespace trillion
