#include "sim/moe/placement.h"

#include <algorithm>
#include <numeric>

#include "sim/base/error.h"

namespace trillion {
namespace {

std::uint16_t as_rank(std::int64_t rank) { return static_cast<std::uint16_t>(rank); }

// Heaviest first, each to the lightest pack that has room; every pack gets equally many, or one more while that is left over. Returns
// the pack of each item.
std::vector<std::int64_t> pack(std::span<const double> weights, std::int64_t packs) {
  const std::size_t room = weights.size() / static_cast<std::size_t>(packs);
  std::size_t left_over = weights.size() % static_cast<std::size_t>(packs);
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return weights[a] > weights[b]; });
  std::vector<double> total(static_cast<std::size_t>(packs), 0.0);
  std::vector<std::size_t> held(total.size(), 0);
  std::vector<std::int64_t> result(weights.size());
  for (const std::size_t item : order) {
    std::size_t lightest = total.size();
    for (std::size_t p = 0; p < total.size(); ++p) {
      const bool has_room = held[p] < room || (held[p] == room && left_over > 0);
      if (has_room && (lightest == total.size() || total[p] < total[lightest])) lightest = p;
    }
    total[lightest] += weights[item];
    if (++held[lightest] > room) --left_over;
    result[item] = static_cast<std::int64_t>(lightest);
  }
  return result;
}

// The expert of each physical slot: all experts once, then one more to the largest load per replica.
std::vector<std::size_t> replicate(std::span<const double> loads, std::size_t physical) {
  std::vector<std::size_t> slots(loads.size());
  std::iota(slots.begin(), slots.end(), std::size_t{0});
  std::vector<double> copies(loads.size(), 1.0);
  while (slots.size() < physical) {
    std::size_t hottest = 0;
    for (std::size_t e = 1; e < loads.size(); ++e)
      if (loads[e] * copies[hottest] > loads[hottest] * copies[e]) hottest = e;
    copies[hottest] += 1;
    slots.push_back(hottest);
  }
  return slots;
}

// Places the experts `members` on ranks [first, first + ranks) with `physical` slots.
void place_within(std::span<const double> loads, const std::vector<std::size_t>& members, std::int64_t first_rank,
                  const BalancedPlacement& node, Placement& result) {
  std::vector<double> member_loads;
  for (const std::size_t e : members) member_loads.push_back(loads[e]);
  const std::vector<std::size_t> slots = replicate(member_loads, static_cast<std::size_t>(node.physical));
  std::vector<double> copies(members.size(), 0.0), weights;
  for (const std::size_t s : slots) copies[s] += 1;
  for (const std::size_t s : slots) weights.push_back(member_loads[s] / copies[s]);
  const std::vector<std::int64_t> rank = pack(weights, node.ranks);
  for (std::size_t i = 0; i < slots.size(); ++i) result.homes[members[slots[i]]].push_back(as_rank(first_rank + rank[i]));
}

// Together[e][f]: tokens that chose both; the diagonal is the load.
std::vector<double> co_activation(const TokenChoices& sample, std::size_t experts) {
  std::vector<double> together(experts * experts, 0.0);
  for (std::int64_t t = 0; t < sample.tokens(); ++t)
    for (const std::uint16_t e : sample.of(t))
      for (const std::uint16_t f : sample.of(t)) together[e * experts + f] += 1;
  return together;
}

// Exchanges experts between nodes while that raises the co-activation within nodes.
void exchange(const std::vector<double>& together, std::int64_t nodes, std::vector<std::size_t>& node_of) {
  const std::size_t experts = node_of.size(), node_count = static_cast<std::size_t>(nodes);
  std::vector<double> pull(experts * node_count, 0.0);  // [expert][node]: co-activation with the node's other experts
  for (std::size_t e = 0; e < experts; ++e)
    for (std::size_t f = 0; f < experts; ++f)
      if (e != f) pull[e * node_count + node_of[f]] += together[e * experts + f];
  for (bool improved = true; improved;) {
    improved = false;
    for (std::size_t e = 0; e < experts; ++e) {
      double best = 0.5;  // counts are whole: less is rounding
      std::size_t partner = experts;
      for (std::size_t f = 0; f < experts; ++f) {
        const std::size_t a = node_of[e], b = node_of[f];
        if (a == b) continue;
        const double gain = pull[e * node_count + b] - pull[e * node_count + a] + pull[f * node_count + a] - pull[f * node_count + b] -
                            2 * together[e * experts + f];
        if (gain > best) best = gain, partner = f;
      }
      if (partner == experts) continue;
      improved = true;
      const std::size_t a = node_of[e], b = node_of[partner];
      for (std::size_t x = 0; x < experts; ++x) {
        const double moved = (x == e ? 0 : together[x * experts + e]) - (x == partner ? 0 : together[x * experts + partner]);
        pull[x * node_count + a] -= moved;
        pull[x * node_count + b] += moved;
      }
      std::swap(node_of[e], node_of[partner]);
    }
  }
}

}  // namespace

Placement contiguous_placement(std::int64_t experts, std::int64_t ranks) {
  CHECK(experts > 0 && ranks > 0 && ranks <= 65535);
  Placement result{ranks, std::vector<std::vector<std::uint16_t>>(static_cast<std::size_t>(experts))};
  for (std::int64_t e = 0; e < experts; ++e) result.homes[static_cast<std::size_t>(e)] = {as_rank(e * ranks / experts)};
  return result;
}

Placement round_robin_placement(std::int64_t experts, std::int64_t ranks) {
  CHECK(experts > 0 && ranks > 0 && ranks <= 65535);
  Placement result{ranks, std::vector<std::vector<std::uint16_t>>(static_cast<std::size_t>(experts))};
  for (std::int64_t e = 0; e < experts; ++e) result.homes[static_cast<std::size_t>(e)] = {as_rank(e % ranks)};
  return result;
}

namespace {

std::int64_t whole_nodes(const BalancedPlacement& shape) { return std::max<std::int64_t>(1, shape.ranks / shape.ranks_per_node); }

}  // namespace

bool is_hierarchical(std::int64_t experts, const BalancedPlacement& shape) {
  const std::int64_t nodes = whole_nodes(shape);
  return shape.ranks == nodes * shape.ranks_per_node && shape.groups % nodes == 0 && experts % shape.groups == 0;
}

Placement balanced_placement(std::span<const double> loads, const BalancedPlacement& shape) {
  const std::int64_t experts = static_cast<std::int64_t>(loads.size()), nodes = whole_nodes(shape);
  CHECK(experts > 0 && shape.ranks > 0 && shape.ranks <= 65535 && shape.ranks_per_node > 0 && shape.physical >= experts);
  Placement result{shape.ranks, std::vector<std::vector<std::uint16_t>>(loads.size())};
  if (!is_hierarchical(experts, shape)) {
    std::vector<std::size_t> all(loads.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    place_within(loads, all, 0, shape, result);
    return result;
  }
  const std::int64_t per_group = experts / shape.groups;
  std::vector<double> group_load(static_cast<std::size_t>(shape.groups), 0.0);
  for (std::int64_t e = 0; e < experts; ++e) group_load[static_cast<std::size_t>(e / per_group)] += loads[static_cast<std::size_t>(e)];
  const std::vector<std::int64_t> node_of_group = pack(group_load, nodes);
  BalancedPlacement node = shape;
  node.ranks = shape.ranks / nodes;
  for (std::int64_t n = 0; n < nodes; ++n) {
    std::vector<std::size_t> members;
    for (std::int64_t e = 0; e < experts; ++e)
      if (node_of_group[static_cast<std::size_t>(e / per_group)] == n) members.push_back(static_cast<std::size_t>(e));
    // What the nodes do not divide goes to the first ones.
    const std::int64_t spare = shape.physical - experts;
    node.physical = static_cast<std::int64_t>(members.size()) + spare / nodes + (n < spare % nodes ? 1 : 0);
    place_within(loads, members, n * node.ranks, node, result);
  }
  return result;
}

Placement traffic_minimising_placement(const TokenChoices& sample, std::int64_t experts, const ExpertGroup& group) {
  const std::int64_t nodes = (group.ranks + group.ranks_per_node - 1) / group.ranks_per_node;
  const std::size_t count = static_cast<std::size_t>(experts);
  const std::vector<double> together = co_activation(sample, count);
  const Placement start = contiguous_placement(experts, group.ranks);
  std::vector<std::size_t> node_of(count);
  for (std::size_t e = 0; e < count; ++e) node_of[e] = start.homes[e].front() / static_cast<std::size_t>(group.ranks_per_node);
  exchange(together, nodes, node_of);
  std::vector<double> loads(count);
  for (std::size_t e = 0; e < count; ++e) loads[e] = together[e * count + e];
  Placement result{group.ranks, std::vector<std::vector<std::uint16_t>>(count)};
  for (std::int64_t n = 0; n < nodes; ++n) {
    std::vector<std::size_t> members;
    for (std::size_t e = 0; e < count; ++e)
      if (node_of[e] == static_cast<std::size_t>(n)) members.push_back(e);
    if (members.empty()) continue;
    const std::int64_t first = n * group.ranks_per_node, ranks = std::min(group.ranks_per_node, group.ranks - first);
    place_within(loads, members, first, {ranks, ranks, 1, static_cast<std::int64_t>(members.size())}, result);
  }
  return result;
}

}  // namespace trillion
