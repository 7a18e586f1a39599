#include "sim/net/path_class.h"

#include <algorithm>
#include <array>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>

namespace trillion {

namespace {

// What surrounds a source GPU, the GPU beside it on the destination's rail (`relay`), and the destination. Of equal spines and
// cores there is one.
enum Place : std::size_t {
  source,
  relay,
  destination,
  nvswitch,
  source_nic,
  relay_nic,
  destination_nic,
  destination_leaf,
  leaf_of_the_pod,
  leaf_of_another_pod,
  leaf_apart,
  spine_of_the_pod,
  spine_of_another_pod,
  core,
  place_count
};

using Graph =
    boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS, boost::no_property, boost::property<boost::edge_weight_t, int>>;

// Network switches count first, then links: a link of a switch weighs half a switch and more than any number of others.
constexpr int kLinkOfSwitch = 100;
constexpr int kOther = 1;

}  // namespace

PathClass shortest_path(Meet direct, Meet relayed) {
  constexpr std::array<Place, kMeets> kLeafThatMeets = {destination_leaf, leaf_of_the_pod, leaf_of_another_pod, leaf_apart};
  Graph graph(place_count);
  const auto join = [&](Place a, Place b, int weight) { boost::add_edge(a, b, weight, graph); };
  join(source, nvswitch, kOther);
  join(nvswitch, relay, kOther);
  join(source, source_nic, kOther);
  join(relay, relay_nic, kOther);
  join(destination, destination_nic, kOther);
  join(source_nic, kLeafThatMeets[static_cast<std::size_t>(direct)], kLinkOfSwitch);
  join(relay_nic, kLeafThatMeets[static_cast<std::size_t>(relayed)], kLinkOfSwitch);
  join(destination_nic, destination_leaf, kLinkOfSwitch);
  join(destination_leaf, spine_of_the_pod, kLinkOfSwitch);
  join(leaf_of_the_pod, spine_of_the_pod, kLinkOfSwitch);
  join(leaf_of_another_pod, spine_of_another_pod, kLinkOfSwitch);
  join(spine_of_the_pod, core, kLinkOfSwitch);
  join(spine_of_another_pod, core, kLinkOfSwitch);

  std::array<std::size_t, place_count> before{};
  boost::dijkstra_shortest_paths(graph, source, boost::predecessor_map(before.data()));
  PathClass path;
  if (before[destination] == destination) return path;  // out of reach
  path.meet = Meet::leaf;
  for (std::size_t at = destination; at != source; at = before[at]) {
    if (at == nvswitch) path.relay = true;
    if (at == spine_of_the_pod) path.meet = std::max(path.meet, Meet::spine);
    if (at == core) path.meet = Meet::core;
  }
  return path;
}

}  // namespace trillion
