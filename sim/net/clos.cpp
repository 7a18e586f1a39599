#include "sim/net/clos.h"

#include <algorithm>
#include <cmath>

#include "sim/base/rounding.h"

namespace trillion {

namespace {

// Over how many switches `uplinks` are spread, evenly, so that `below` switches of the layer below fit into `ports`; 0: none.
std::int64_t fewest_above(std::int64_t uplinks, std::int64_t below, std::int64_t ports) {
  for (std::int64_t above = 1; above <= uplinks; ++above) {
    if (uplinks % above == 0 && below * (uplinks / above) <= ports) return above;
  }
  return 0;
}

class Sizing {
 public:
  explicit Sizing(const Cluster& cluster) : cluster_(cluster), out_(cluster.scale_out) {}

  ClosSizing size() {
    Clos& clos = result_.clos;
    if (out_.nics_per_node == 0) {
      if (cluster_.gpus() > cluster_.scale_up.domain_gpus) misfit("scale_out.nics_per_node is 0, but NVLink does not reach every GPU");
      return result_;
    }
    clos.rails = std::min(out_.nics_per_node, cluster_.gpus_per_node);
    clos.cables_per_nic = out_.nics_per_node / clos.rails;
    clos.per_rail_leaves = out_.rails || out_.kind == FabricKind::rail_only;
    clos.planes = out_.kind == FabricKind::rail_only ? clos.rails : out_.planes;
    if (clos.rails % clos.planes != 0) {
      misfit("scale_out.planes: " + std::to_string(clos.planes) + " planes do not divide the " + std::to_string(clos.rails) +
             " NIC links of a node");
      return result_;
    }
    split_leaf_ports();
    if (place_leaves()) join_leaves();
    if (clos.per_rail_leaves && clos.rails > 1 && !rails_joined() && cluster_.scale_up.domain_gpus < cluster_.gpus_per_node) {
      misfit("rails are joined neither by switches nor by NVLink (scale_up.domain_gpus is less than gpus_per_node)");
    }
    return result_;
  }

 private:
  void misfit(std::string why) { result_.misfits.push_back(std::move(why)); }

  bool rails_joined() const { return result_.clos.planes == 1 && (result_.clos.leaves_joined || result_.clos.leaves == 1); }

  // Leaves that the NICs of one node are spread over, within a plane.
  std::int64_t leaves_per_node() const {
    const Clos& clos = result_.clos;
    return clos.per_rail_leaves ? clos.rails / clos.planes : 1;
  }

  void split_leaf_ports() {
    down_ = out_.switch_ports;
    if (out_.layers == 1) return;
    const double down_share = out_.oversubscription / (1 + out_.oversubscription);
    down_ = static_cast<std::int64_t>(std::floor(static_cast<double>(out_.switch_ports) * down_share));
    up_ = std::min(out_.switch_ports - down_, static_cast<std::int64_t>(std::ceil(static_cast<double>(down_) / out_.oversubscription)));
  }

  bool place_leaves() {
    Clos& clos = result_.clos;
    const std::int64_t ports_per_node = clos.cables_per_nic * (clos.per_rail_leaves ? 1 : clos.rails);
    clos.nodes_per_leaf = down_ / ports_per_node;
    if (clos.nodes_per_leaf == 0) {
      misfit("a leaf switch has " + std::to_string(down_) + " ports down, but one node needs " + std::to_string(ports_per_node));
      return false;
    }
    clos.leaves = divided_up(cluster_.nodes, clos.nodes_per_leaf) * leaves_per_node();
    clos.leaves_per_pod = clos.leaves;
    const std::int64_t leaves_per_tree = clos.leaves / leaves_per_node();
    if (out_.layers == 1 && leaves_per_tree > 1) {
      misfit("one layer of switches with " + std::to_string(out_.switch_ports) + " ports holds " + std::to_string(clos.nodes_per_leaf) +
             " nodes, the cluster has " + std::to_string(cluster_.nodes) + "; scale_out.layers: 2 would hold more");
      return false;
    }
    return true;
  }

  void join_leaves() {
    Clos& clos = result_.clos;
    if (out_.layers == 1 || clos.leaves == 1) return;
    clos.leaves_joined = true;
    if (out_.layers == 2) {
      clos.spines_per_pod = fewest_above(up_, clos.leaves, out_.switch_ports);
      if (clos.spines_per_pod == 0) too_many_leaves(out_.switch_ports, "3 would hold more");
    } else {
      join_pods();
    }
    if (clos.spines_per_pod > 0) clos.cables_leaf_spine = up_ / clos.spines_per_pod;
  }

  void join_pods() {
    Clos& clos = result_.clos;
    const std::int64_t half = out_.switch_ports / 2;
    // A pod holds whole groups of rails, so that NVLink and one leaf or spine reach every rail of it.
    const std::int64_t most = half / leaves_per_node() * leaves_per_node();
    if (most == 0) {
      misfit("a pod of " + std::to_string(half) + " leaves cannot hold the leaves of " + std::to_string(clos.rails) + " rails");
      return;
    }
    clos.leaves_per_pod = std::min(clos.leaves, most);
    clos.pods = divided_up(clos.leaves, clos.leaves_per_pod);
    clos.spines_per_pod = fewest_above(up_, clos.leaves_per_pod, half);
    if (clos.pods == 1) return;
    const auto up = static_cast<std::int64_t>(std::ceil(static_cast<double>(half) / out_.core_oversubscription));
    clos.cores_per_spine = fewest_above(up, clos.pods, out_.switch_ports);
    if (clos.cores_per_spine == 0) return too_many_leaves(most * out_.switch_ports, "more than 3 are not modelled");
    clos.cables_spine_core = up / clos.cores_per_spine;
  }

  void too_many_leaves(std::int64_t most, const std::string& more) {
    const Clos& clos = result_.clos;
    misfit("scale_out.layers: " + std::to_string(out_.layers) + " with " + std::to_string(out_.switch_ports) + "-port switches holds " +
           std::to_string(most / leaves_per_node() * clos.nodes_per_leaf) + " nodes, the cluster has " + std::to_string(cluster_.nodes) +
           "; switches with more ports would hold more, layers: " + more);
  }

  const Cluster& cluster_;
  const ScaleOut& out_;
  std::int64_t down_ = 0, up_ = 0;  // ports of a leaf
  ClosSizing result_;
};

}  // namespace

ClosSizing size_clos(const Cluster& cluster) { return Sizing(cluster).size(); }

}  // namespace trillion
