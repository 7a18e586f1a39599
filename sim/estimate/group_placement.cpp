#include "sim/estimate/group_placement.h"

#include <algorithm>
#include <utility>

#include "sim/base/rounding.h"

namespace trillion {

namespace {

GroupPlacement placement(std::string name, const Group& g) {
  const std::int64_t per_node = std::clamp<std::int64_t>(g.ranks_per_node, 1, g.size);
  const std::int64_t nodes = divided_up(g.size, per_node);
  return {std::move(name), g.size, g.stride, per_node, nodes, nodes == 1 ? "NVLink" : per_node == 1 ? "NIC" : "NVLink and NIC",
          g.nic_share};
}

}  // namespace

std::vector<GroupPlacement> group_placements(const DeviceMesh& mesh, const GradientGroups& groups, const Model& model) {
  std::vector<GroupPlacement> out;
  const auto add = [&](const char* name, const Group& g) {
    if (g.size > 1) out.push_back(placement(name, g));
  };
  add("tensor parallel", mesh.tensor());
  add("context parallel", mesh.context());
  add("expert tensor parallel", mesh.expert_tensor());
  add("expert parallel", mesh.expert());
  add("pipeline", mesh.pipeline());
  add("data: gradients, states", groups.dense);
  add("data: copies of shards", groups.dense_copies);
  if (model.moe) {
    add("data: experts", groups.expert);
    add("data: copies of experts", groups.expert_copies);
  }
  return out;
}

}  // namespace trillion
