// Who stands for whom. The algebra:
//   whole       every replica is in exactly one class; classes come by their first replica
//   undisturbed one class; full fidelity and jitter: as many classes as replicas
//   a slow GPU  it, those who meet it in every layer, and the rest
//   parts       replicas of one group are in classes of one part
#include "sim/workload/folding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "sim/base/random.h"
#include "tests/support/linear_machine.h"

namespace trillion::folding_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

// 64 GPUs in nodes of 8: two stages of 32 replicas, experts over 16.
Scenario setting() {
  Plan plan;
  plan.pipeline_parallel = 2;
  plan.expert_parallel = 16;
  return linear_scenario(moe_model(4), plan, 8, 32 * 8);
}

Folding folded(const Scenario& s) { return fold(s, DeviceMesh(s.plan, s.cluster)); }

std::vector<std::int64_t> counts(const Folding& f) {
  std::vector<std::int64_t> out;
  for (const ReplicaClass& c : f.classes) out.push_back(c.count);
  return out;
}

TEST(Folding, UndisturbedReplicasAreOneClassThatMeetsNobody) {
  const Folding f = folded(setting());
  EXPECT_THAT(counts(f), ElementsAre(32));
  EXPECT_EQ(f.replicas, 32);
  for (std::size_t m = 0; m < kMeetingCount; ++m) EXPECT_FALSE(f.meets(static_cast<Meeting>(m), 0));
}

TEST(Folding, FullFidelityAndJitterFoldNothing) {
  Scenario full = setting(), jitter = setting();
  full.fidelity = Fidelity::full;
  jitter.perturbations.kernel_jitter = 0.1;
  for (const Scenario& s : {full, jitter}) {
    const Folding f = folded(s);
    EXPECT_EQ(f.class_count(), 32);
    EXPECT_EQ(f.members[static_cast<std::size_t>(Meeting::expert)], (std::vector<std::int32_t>{16, 16}));
    EXPECT_EQ(f.members[static_cast<std::size_t>(Meeting::dense_gradients)], (std::vector<std::int32_t>{32}));
    EXPECT_EQ(f.members[static_cast<std::size_t>(Meeting::expert_gradients)].size(), 16u);
    EXPECT_FALSE(f.meets(Meeting::tensor, 3));
  }
}

TEST(Folding, ASlowGpuSetsItsExpertGroupApart) {
  Scenario s = setting();
  s.perturbations.slow_gpus = {{32 + 20, 1.5}};  // replica 20 of the second stage
  const Folding f = folded(s);
  // Replicas 0..15 meet nobody unusual but over the gradients of experts: 4 shares its experts with 20.
  EXPECT_THAT(counts(f), ElementsAre(15, 1, 15, 1));
  EXPECT_EQ(f.classes[1].replica, 4);
  EXPECT_EQ(f.classes[3].replica, 20);
  const auto part = [&](Meeting m, std::size_t c) { return f.classes[c].part[static_cast<std::size_t>(m)]; };
  EXPECT_EQ(part(Meeting::expert, 2), part(Meeting::expert, 3));
  EXPECT_NE(part(Meeting::expert, 1), part(Meeting::expert, 3));
  EXPECT_EQ(part(Meeting::expert_gradients, 1), part(Meeting::expert_gradients, 3));
  EXPECT_TRUE(f.meets(Meeting::expert, 3));
}

TEST(Folding, ASlowLinkSetsApartAsASlowGpuDoes) {
  for (const PerturbedLink link : {PerturbedLink::nic, PerturbedLink::nvlink}) {
    Scenario s = setting();
    s.perturbations.slow_links = {{32 + 20, link, 0.5}};
    const Folding f = folded(s);
    EXPECT_THAT(counts(f), ElementsAre(15, 1, 15, 1));
    EXPECT_EQ(f.classes[3].replica, 20);
  }
}

TEST(Folding, UnequalGpusAreUnlikeEachOther) {
  Scenario s = setting();
  s.perturbations.gpu_spread = 0.01;
  EXPECT_EQ(folded(s).class_count(), 32);
}

// Two slow GPUs of one kind in two groups: their groups are alike, and so are the two.
TEST(Folding, GroupsThatSufferAlikeStandForEachOther) {
  Scenario s = setting();
  s.perturbations.slow_gpus = {{4, 1.5}, {20, 1.5}};
  EXPECT_THAT(counts(folded(s)), testing::UnorderedElementsAre(30, 2));
  s.perturbations.slow_gpus[1].slowdown = 1.4;
  EXPECT_THAT(counts(folded(s)), testing::UnorderedElementsAre(15, 1, 15, 1));
}

TEST(Folding, ReplicasWithTheSameFateStayTogether) {
  Scenario s = setting();
  for (std::int64_t gpu = 0; gpu < 64; ++gpu) s.perturbations.slow_gpus.push_back({gpu, 1.5});
  EXPECT_THAT(counts(folded(s)), ElementsAre(32));
}

// With another order of the axes other GPUs meet, and a slow one sets others apart.
TEST(Folding, GroupsAreWhereTheRankOrderPutsThem) {
  Scenario s = setting();
  s.plan.rank_order = *rank_order_of_text("dp-ep-tp-cp-pp");  // expert ranks lie 2 apart
  s.perturbations.slow_gpus = {{32 + 20, 1.5}};
  const Folding f = folded(s);
  EXPECT_THAT(counts(f), testing::UnorderedElementsAre(15, 1, 15, 1));
  for (const ReplicaClass& c : f.classes) {
    if (c.count > 1) continue;
    EXPECT_THAT(c.replica, testing::AnyOf(20, 21));  // 21 shares 20's experts
  }
  s.plan.rank_order = *rank_order_of_text("tp-cp-pp-ep-dp");  // stages alternate: GPU 52 is replica 26 of the first stage
  s.plan.expert_parallel = 1;
  EXPECT_THAT(counts(folded(s)), testing::UnorderedElementsAre(31, 1));
}

TEST(Folding, PropertyClassesPartitionTheReplicasAndGroupsLieInOnePart) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Random random(seed, 1);
    Scenario s = setting();
    s.plan.tensor_parallel = std::int64_t{1} << random.bits(0) % 3;
    s.plan.expert_parallel = std::int64_t{1} << random.bits(1) % 5;
    for (std::uint64_t i = 0; i < 1 + random.bits(2) % 4; ++i) {
      s.perturbations.slow_gpus.push_back({static_cast<std::int64_t>(random.bits(10 + i) % 64), 1.25});
    }
    const DeviceMesh mesh(s.plan, s.cluster);
    const Folding f = fold(s, mesh);
    std::int64_t total = 0, last = -1;
    for (const ReplicaClass& c : f.classes) {
      EXPECT_GT(c.replica, last);
      last = c.replica;
      total += c.count;
    }
    EXPECT_EQ(total, 32);
    for (std::size_t m = 0; m < kMeetingCount; ++m) {
      EXPECT_EQ(std::accumulate(f.members[m].begin(), f.members[m].end(), 0), f.class_count());
    }
    Scenario full = s;
    full.fidelity = Fidelity::full;
    EXPECT_LE(f.class_count(), fold(full, mesh).class_count());
  }
}

}  // namespace
}  // namespace trillion::folding_test
