// Who talks to whom: two grids over the same GPUs, as in Megatron-LM. Dense layers: tp-cp-dp-pp. Expert layers: etp-ep-edp-pp.
//
//   tp cp dp pp = etp ep edp pp = GPUs of the cluster; dp and edp follow from the others
//
// plan.rank_order says which axis varies fastest; the usual tp-cp-ep-dp-pp makes tensor-parallel neighbours share a node and a
// pipeline stage one run of consecutive GPUs in either grid. Where pp is not the last axis its neighbours must lie equally far apart
// in both grids (Megatron-LM parallel_state.py, RankGenerator).
//
// Example, DeepSeek-V3 on 2048 GPUs in nodes of 8 with pp 16 and ep 64: dp 128 with stride 1, ep 64 with stride 1 over 8 nodes,
// edp 2 with stride 64, pipeline neighbours 128 GPUs apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sim/spec/cluster.h"
#include "sim/spec/infeasible.h"
#include "sim/spec/plan.h"

namespace trillion {

// One axis's communication group, as any of its members sees it.
struct Group {
  std::int64_t size = 1;
  std::int64_t stride = 1;  // distance in GPUs between neighbours; of several axes, between the closest
  // Members that share one scale-up domain. Where domains cut groups unevenly: the fewest that any domain with a member holds.
  std::int64_t ranks_per_node = 1;
  double nic_share = 1;  // Collective::nic_share of its communication, while all groups of the axis communicate
  bool within_node() const { return ranks_per_node >= size; }

  // A GPU's place in its group, and the first GPU of it: what tells groups of one axis apart.
  std::int64_t place(std::int64_t gpu) const { return gpu / stride % size; }
  std::int64_t first_member(std::int64_t gpu) const { return gpu - place(gpu) * stride; }
};

class DeviceMesh {
 public:
  // REQUIRES: !why_mesh_impossible(...).
  DeviceMesh(const Plan& plan, const Cluster& cluster);

  // Sets every group's nic_share, 1 until then: routes what the axes send over the cluster's links, which takes milliseconds where switches
  // may be narrower than NICs and nothing elsewhere. REQUIRES: Fabric::misfits(cluster) is empty.
  void share_network(const Cluster& cluster);

  Group tensor() const { return tensor_; }
  Group context() const { return context_; }
  Group data() const { return data_; }          // dense parameters: same (tp, pp), all of cp x dp
  Group pipeline() const { return pipeline_; }  // neighbours: pipeline ranks r and r + 1
  Group expert() const { return expert_; }
  Group expert_tensor() const { return expert_tensor_; }
  Group expert_data() const { return expert_data_; }  // replicas of the same experts
  std::int64_t data_parallel() const { return data_parallel_; }
  // The GPU of a pipeline rank that is its so-and-so-many-th: consecutive numbers where pp is the last axis.
  std::int64_t gpu(std::int64_t pipeline_rank, std::int64_t replica) const {
    return replica / pipeline_.stride * pipeline_.stride * pipeline_.size + pipeline_rank * pipeline_.stride + replica % pipeline_.stride;
  }
  std::int64_t gpus() const { return gpus_; }

 private:
  Group tensor_, context_, data_, pipeline_, expert_, expert_tensor_, expert_data_;
  std::int64_t data_parallel_ = 1, gpus_ = 1;
};

// Sizes that do not multiply to the cluster; empty when they do. Names the product, and for every axis that alone could be changed
// the value that fits: "tensor_parallel 8 x ... x data_parallel 16 = 2048 GPUs, the cluster has 1024", help
// "plan.data_parallel: 8 would fit". Looks at sizes only: whether experts or heads can be split so is the model's business.
std::optional<Infeasible> why_mesh_impossible(const Plan& plan, const Cluster& cluster);

}  // namespace trillion
