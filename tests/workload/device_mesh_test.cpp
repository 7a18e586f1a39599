// Two grids over the same GPUs. The algebra first:
//   tp cp dp pp = etp ep edp pp = GPUs;   a group's neighbours are `stride` apart, tp < cp < dp < pp and etp < ep < edp < pp;
//   ranks_per_node is what counting the members of every group in every scale-up domain gives;
//   the mesh is impossible exactly when a product does not fit, and each value offered as help makes it possible.
#include "sim/workload/device_mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/random.h"

namespace trillion::device_mesh_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Cluster cluster_of(std::int64_t nodes, std::int64_t gpus_per_node = 8, std::int64_t domain = 8) {
  Cluster cluster;
  cluster.nodes = nodes;
  cluster.gpus_per_node = gpus_per_node;
  cluster.scale_up.domain_gpus = domain;
  return cluster;
}

std::vector<std::int64_t> numbers(const Group& g) { return {g.size, g.stride, g.ranks_per_node}; }

// Fewest members in a domain that has one, over all groups, counted GPU by GPU.
std::int64_t counted_ranks_per_node(const Group& g, const Cluster& cluster) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> members;  // (group, domain)
  for (std::int64_t gpu = 0; gpu < cluster.gpus(); ++gpu) {
    const std::int64_t group = gpu / (g.size * g.stride) * g.stride + gpu % g.stride;
    ++members[{group, gpu / cluster.scale_up.domain_gpus}];
  }
  std::int64_t fewest = g.size;
  for (const auto& [key, count] : members) fewest = std::min(fewest, count);
  return fewest;
}

TEST(DeviceMeshTest, DeepSeekV3On2048Gpus) {
  Plan plan;
  plan.pipeline_parallel = 16;
  plan.expert_parallel = 64;
  const DeviceMesh mesh(plan, cluster_of(256));
  EXPECT_EQ(mesh.gpus(), 2048);
  EXPECT_EQ(mesh.data_parallel(), 128);
  EXPECT_THAT(numbers(mesh.tensor()), ElementsAre(1, 1, 1));
  EXPECT_THAT(numbers(mesh.data()), ElementsAre(128, 1, 8));
  EXPECT_THAT(numbers(mesh.expert()), ElementsAre(64, 1, 8));  // over 8 nodes
  EXPECT_FALSE(mesh.expert().within_node());
  EXPECT_THAT(numbers(mesh.expert_data()), ElementsAre(2, 64, 1));
  EXPECT_THAT(numbers(mesh.pipeline()), ElementsAre(16, 128, 1));
}

TEST(DeviceMeshTest, TensorNeighboursShareANodeAndExpertsIgnoreTheTensorGrid) {
  Plan plan;
  plan.tensor_parallel = 4;
  plan.context_parallel = 2;
  plan.pipeline_parallel = 2;
  plan.expert_parallel = 8;
  plan.expert_tensor_parallel = 2;
  const DeviceMesh mesh(plan, cluster_of(16));  // 128 GPUs, 64 a stage
  EXPECT_EQ(mesh.data_parallel(), 8);
  EXPECT_THAT(numbers(mesh.tensor()), ElementsAre(4, 1, 4));
  EXPECT_TRUE(mesh.tensor().within_node());
  EXPECT_THAT(numbers(mesh.context()), ElementsAre(2, 4, 2));
  EXPECT_THAT(numbers(mesh.data()), ElementsAre(16, 4, 2));  // context x data: they hold the same parameters
  EXPECT_THAT(numbers(mesh.expert_tensor()), ElementsAre(2, 1, 2));
  EXPECT_THAT(numbers(mesh.expert()), ElementsAre(8, 2, 4));
  EXPECT_THAT(numbers(mesh.expert_data()), ElementsAre(4, 16, 1));
}

// Any order: an axis's neighbours are the product of the axes before it apart, and counting every GPU's group agrees.
TEST(DeviceMeshPropertyTest, EveryOrderPlacesItsAxesInTurn) {
  Plan plan;
  plan.tensor_parallel = 2;
  plan.context_parallel = 2;
  plan.pipeline_parallel = 2;
  const Cluster cluster = cluster_of(6);  // 48 GPUs: data parallel 6
  std::array<RankAxis, 5> axes = kMegatronOrder;
  std::sort(axes.begin(), axes.end());
  do {
    plan.rank_order = axes;
    const DeviceMesh mesh(plan, cluster);
    std::int64_t stride = 1;
    for (const RankAxis axis : axes) {
      const Group g = axis == RankAxis::tensor     ? mesh.tensor()
                      : axis == RankAxis::context  ? mesh.context()
                      : axis == RankAxis::pipeline ? mesh.pipeline()
                                                   : Group{axis == RankAxis::data ? mesh.data_parallel() : 1, stride, 0};
      EXPECT_EQ(g.stride, stride) << to_text(axes);
      stride *= g.size;
      if (g.ranks_per_node == 0) continue;
      EXPECT_EQ(g.ranks_per_node, counted_ranks_per_node(g, cluster)) << to_text(axes);
    }
    // Context x data: all GPUs of a pipeline rank with the same place on the tensor-parallel axis.
    EXPECT_EQ(mesh.data().size, 12);
    std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> members;
    std::set<std::int64_t> seen;
    for (std::int64_t rank = 0; rank < 2; ++rank) {
      for (std::int64_t replica = 0; replica < 24; ++replica) {
        const std::int64_t gpu = mesh.gpu(rank, replica);
        EXPECT_TRUE(seen.insert(gpu).second) << "every GPU once";
        EXPECT_EQ(gpu / mesh.pipeline().stride % 2, rank);
        const std::int64_t place = gpu / mesh.tensor().stride % 2;
        ++members[{2 * rank + place, gpu / 8}];
      }
    }
    EXPECT_EQ(*seen.rbegin(), 47);
    std::int64_t fewest = 12;
    for (const auto& [where, count] : members) fewest = std::min(fewest, count);
    EXPECT_EQ(mesh.data().ranks_per_node, fewest) << to_text(axes);
  } while (std::next_permutation(axes.begin(), axes.end()));
}

TEST(DeviceMeshTest, BothGridsMustAgreeOnThePipeline) {
  Plan plan;
  plan.tensor_parallel = 2;
  plan.pipeline_parallel = 2;
  plan.expert_parallel = 4;
  plan.rank_order = *rank_order_of_text("tp-pp-cp-ep-dp");
  const auto why = why_mesh_impossible(plan, cluster_of(2));
  ASSERT_TRUE(why);
  EXPECT_EQ(why->reason, "plan.rank_order tp-pp-cp-ep-dp puts pipeline neighbours 2 GPUs apart in dense layers and 1 in expert layers");
  plan.expert_tensor_parallel = 2;
  plan.expert_parallel = 2;
  EXPECT_FALSE(why_mesh_impossible(plan, cluster_of(2)));
}

TEST(DeviceMeshTest, AScaleUpDomainMayBeLargerThanANode) {
  Plan plan;
  plan.expert_parallel = 64;
  const DeviceMesh mesh(plan, cluster_of(32, 4, 64));
  EXPECT_TRUE(mesh.expert().within_node());
}

TEST(DeviceMeshPropertyTest, GroupsTileTheClusterAndCountsAgree) {
  const std::uint64_t seed = 20250401;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Random random(seed, 0);
  std::uint64_t draw = 0;
  const auto pick = [&](std::vector<std::int64_t> values) { return values[random.bits(draw++) % values.size()]; };
  for (int round = 0; round < 300; ++round) {
    Plan plan;
    plan.tensor_parallel = pick({1, 2, 3, 4, 8});
    plan.context_parallel = pick({1, 2, 4});
    plan.pipeline_parallel = pick({1, 2, 3, 4});
    plan.data_parallel = pick({1, 2, 4, 6, 12});
    const std::int64_t stage = plan.tensor_parallel * plan.context_parallel * *plan.data_parallel;
    plan.expert_tensor_parallel = pick({1, 1, 2});
    plan.expert_parallel = pick({1, 2, 3, 4, 8, 16});
    const Cluster cluster = cluster_of(stage * plan.pipeline_parallel, 1, pick({1, 4, 8, 72}));
    const bool fits = stage % (plan.expert_tensor_parallel * plan.expert_parallel) == 0;
    ASSERT_EQ(!why_mesh_impossible(plan, cluster), fits);
    if (!fits) continue;
    const DeviceMesh mesh(plan, cluster);
    EXPECT_EQ(mesh.data().size * mesh.tensor().size * mesh.pipeline().size, cluster.gpus());
    EXPECT_EQ(mesh.data().stride * mesh.data().size, mesh.pipeline().stride);
    EXPECT_EQ(mesh.expert().stride, mesh.expert_tensor().size);
    EXPECT_EQ(mesh.expert_data().stride, mesh.expert().stride * mesh.expert().size);
    EXPECT_EQ(mesh.expert_data().stride * mesh.expert_data().size, mesh.pipeline().stride);
    for (const Group& g :
         {mesh.tensor(), mesh.context(), mesh.data(), mesh.pipeline(), mesh.expert(), mesh.expert_tensor(), mesh.expert_data()}) {
      EXPECT_EQ(g.ranks_per_node, counted_ranks_per_node(g, cluster))
          << g.size << " with stride " << g.stride << " in domains of " << cluster.scale_up.domain_gpus;
    }
  }
}

TEST(DeviceMeshTest, NamesTheProductThatDoesNotFitAndWhatWould) {
  Plan plan;
  plan.tensor_parallel = 8;
  plan.pipeline_parallel = 16;
  plan.data_parallel = 16;
  const auto why = why_mesh_impossible(plan, cluster_of(128));
  ASSERT_TRUE(why);
  EXPECT_EQ(why->reason,
            "tensor_parallel 8 x context_parallel 1 x pipeline_parallel 16 x data_parallel 16 = 2048 GPUs, the cluster has 1024");
  EXPECT_THAT(why->help,
              ElementsAre("plan.tensor_parallel: 4 would fit", "plan.pipeline_parallel: 8 would fit", "plan.data_parallel: 8 would fit"));
}

TEST(DeviceMeshTest, WithoutDataParallelOneReplicaMustDivideTheCluster) {
  Plan plan;
  plan.tensor_parallel = 8;
  plan.pipeline_parallel = 12;
  const auto why = why_mesh_impossible(plan, cluster_of(128));
  ASSERT_TRUE(why);
  EXPECT_THAT(why->reason, HasSubstr("= 96 GPUs of one replica, which does not divide the cluster's 1024"));
  EXPECT_THAT(why->help, ElementsAre("plan.pipeline_parallel: 8 or 16 would fit"));
}

TEST(DeviceMeshTest, ExpertsMustDivideAStage) {
  Plan plan;
  plan.pipeline_parallel = 16;
  plan.expert_parallel = 96;
  const auto why = why_mesh_impossible(plan, cluster_of(256));
  ASSERT_TRUE(why);
  EXPECT_THAT(why->reason, HasSubstr("expert_parallel 96 = 96"));
  EXPECT_THAT(why->reason, HasSubstr("128 GPUs of a pipeline stage"));
  EXPECT_THAT(why->help, ElementsAre("plan.expert_parallel: 64 or 128 would fit"));
}

TEST(DeviceMeshTest, SizesOfAUserNeverOverflowOrDivideByZero) {
  Plan plan;
  plan.tensor_parallel = 4'000'000'000'000'000'000;
  plan.pipeline_parallel = 4'000'000'000'000'000'000;
  EXPECT_TRUE(why_mesh_impossible(plan, cluster_of(1)));
  plan = {};
  plan.expert_parallel = 0;
  EXPECT_THAT(why_mesh_impossible(plan, cluster_of(1))->reason, "expert_parallel is 0");
  EXPECT_THROW(DeviceMesh(plan, cluster_of(1)), InternalError);
}

}  // namespace
}  // namespace trillion::device_mesh_test
