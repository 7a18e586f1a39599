// Which GPUs talk to each other, and over which links: the mesh as the report shows it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/spec/model.h"
#include "sim/spec/plan.h"
#include "sim/workload/step_end.h"

namespace trillion {

struct GroupPlacement {
  std::string name;         // "tensor parallel"
  std::int64_t size = 1;    // GPUs of one group
  std::int64_t stride = 1;  // between neighbours
  std::int64_t ranks_per_node = 1;
  std::int64_t nodes = 1;  // scale-up domains that a group spans
  std::string links;       // "NVLink", "NIC", "NVLink and NIC"
  double nic_share = 1;    // of its NICs' rate, what the switches between them leave it
};

// Groups of more than one GPU, from the closest to the widest as the mesh has them. `groups`: of gradients and states.
std::vector<GroupPlacement> group_placements(const DeviceMesh& mesh, const GradientGroups& groups, const Model& model);

}  // namespace trillion
