#include "sim/net/switch_graph.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/connected_components.hpp>
#include <limits>
#include <map>
#include <set>

#include "sim/base/error.h"
#include "sim/net/fabric.h"

namespace trillion {

namespace {

using Switches = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property, std::uint32_t>;
constexpr std::size_t kOutOfReach = std::numeric_limits<std::size_t>::max();

}  // namespace

struct SwitchGraph::Graph {
  Switches switches;                // both directions of every whole link, which carry the link's number
  std::map<Point, std::size_t> at;  // vertex of a switch
  std::vector<std::size_t> of_nic;  // its leaf's vertex; kOutOfReach: its link is broken
};

SwitchGraph::SwitchGraph(const Fabric& fabric) : graph_(std::make_unique<Graph>()) {
  Graph& g = *graph_;
  const auto vertex = [&](const Point& point) {
    const auto [it, fresh] = g.at.try_emplace(point, 0);
    if (fresh) it->second = boost::add_vertex(g.switches);
    return it->second;
  };
  for (std::uint32_t id = 0; id < fabric.link_count(); ++id) {
    const FabricLink link = fabric.link(id);
    const bool up_from_nic = link.from.kind == PointKind::nic;
    if (up_from_nic) {
      g.of_nic.resize(std::max<std::size_t>(g.of_nic.size(), link.from.index + 1), kOutOfReach);
      if (!fabric.broken(id)) g.of_nic[link.from.index] = vertex(link.to);
    } else if (is_network_switch(link.from.kind) && is_network_switch(link.to.kind) && !fabric.broken(id)) {
      const std::size_t from = vertex(link.from), to = vertex(link.to);
      boost::add_edge(from, to, id, g.switches);
    }
  }
}

SwitchGraph::~SwitchGraph() = default;

Detour SwitchGraph::detour(const Fabric& fabric, std::int64_t a, std::int64_t b, std::uint64_t hash) const {
  const Graph& g = *graph_;
  const auto leaf = [&](std::int64_t gpu) { return g.of_nic[static_cast<std::size_t>(fabric.nic_of(gpu))]; };
  const auto first = [&](std::int64_t gpu) { return fabric.domain_of(gpu) * fabric.domain_gpus(); };
  const auto end = [&](std::int64_t gpu) { return std::min(fabric.gpus(), first(gpu) + fabric.domain_gpus()); };

  std::map<std::size_t, std::vector<std::size_t>> steps_to;  // from every switch to a leaf of the receiver's
  std::pair<std::size_t, int> best{kOutOfReach, 0};          // links between switches, NVLink hops
  Detour way;
  for (std::int64_t receiver = first(b); receiver < end(b); ++receiver) {
    if (leaf(receiver) == kOutOfReach) continue;
    const auto [it, fresh] = steps_to.try_emplace(leaf(receiver));
    std::vector<std::size_t>& steps = it->second;
    if (fresh) {
      steps.assign(boost::num_vertices(g.switches), kOutOfReach);
      steps[leaf(receiver)] = 0;
      boost::breadth_first_search(g.switches, leaf(receiver),
                                  boost::visitor(boost::make_bfs_visitor(boost::record_distances(steps.data(), boost::on_tree_edge()))));
    }
    for (std::int64_t sender = first(a); sender < end(a); ++sender) {
      if (leaf(sender) == kOutOfReach || steps[leaf(sender)] == kOutOfReach) continue;
      const std::pair cost{steps[leaf(sender)], (sender != a ? 1 : 0) + (receiver != b ? 1 : 0)};
      if (cost < best) best = cost, way.sender = sender, way.receiver = receiver;
    }
  }
  CHECK(best.first != kOutOfReach, "a GPU that is cut off");
  const std::vector<std::size_t>& steps = steps_to.at(leaf(way.receiver));
  for (std::size_t at = leaf(way.sender); steps[at] > 0;) {
    std::vector<Switches::edge_descriptor> nearer;
    for (const auto& edge : boost::make_iterator_range(boost::out_edges(at, g.switches))) {
      if (steps[boost::target(edge, g.switches)] + 1 == steps[at]) nearer.push_back(edge);
    }
    const Switches::edge_descriptor taken = nearer[hash % nearer.size()];
    way.links.push_back(g.switches[taken]);
    at = boost::target(taken, g.switches);
  }
  return way;
}

namespace {

// "node 3", "nodes 3, 8 to 15"
std::string node_list(const std::set<std::int64_t>& nodes) {
  std::string text;
  for (auto it = nodes.begin(); it != nodes.end();) {
    const std::int64_t begin = *it;
    std::int64_t last = begin;
    while (++it != nodes.end() && *it == last + 1) ++last;
    text += (text.empty() ? "" : ", ") + std::to_string(begin) + (last > begin ? " to " + std::to_string(last) : "");
  }
  return (nodes.size() == 1 ? "node " : "nodes ") + text;
}

}  // namespace

std::string SwitchGraph::cut_off(const Fabric& fabric, std::int64_t gpus_per_node) const {
  using Parts = boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS>;
  const std::size_t domains = static_cast<std::size_t>(fabric.domain_of(fabric.gpus() - 1)) + 1;
  Parts parts(domains + boost::num_vertices(graph_->switches));
  for (const auto& edge : boost::make_iterator_range(boost::edges(graph_->switches))) {
    boost::add_edge(domains + boost::source(edge, graph_->switches), domains + boost::target(edge, graph_->switches), parts);
  }
  const auto domain = [&](std::int64_t gpu) { return static_cast<std::size_t>(fabric.domain_of(gpu)); };
  for (std::int64_t gpu = 0; gpu < fabric.gpus(); ++gpu) {
    const std::size_t leaf = graph_->of_nic[static_cast<std::size_t>(fabric.nic_of(gpu))];
    if (leaf != kOutOfReach) boost::add_edge(domain(gpu), domains + leaf, parts);
  }
  std::vector<std::size_t> part(boost::num_vertices(parts));
  boost::connected_components(parts, part.data());
  std::map<std::size_t, std::int64_t> gpus_of_part;
  for (std::int64_t gpu = 0; gpu < fabric.gpus(); ++gpu) ++gpus_of_part[part[domain(gpu)]];
  const auto largest =
      std::max_element(gpus_of_part.begin(), gpus_of_part.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (gpus_of_part.size() <= 1) return {};
  std::set<std::int64_t> nodes;
  for (std::int64_t gpu = 0; gpu < fabric.gpus(); ++gpu) {
    if (part[domain(gpu)] != largest->first) nodes.insert(gpu / gpus_per_node);
  }
  const std::int64_t lost = fabric.gpus() - largest->second;
  return "failures cut off " + node_list(nodes) + " (" + std::to_string(lost) + " of " + std::to_string(fabric.gpus()) +
         " GPUs) from the rest of the network";
}

}  // namespace trillion
