// A block as memory sees it.
#include "sim/workload/block_memory.h"

#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::block_memory_test {
namespace {

using namespace testing_support;

Bytes total(const BlockMemory::ModuleBytes& bytes) {
  Bytes all;
  for (const Bytes b : bytes) all += b;
  return all;
}

// A layer that is run again keeps its input only, and brings back at once what one without recomputation keeps beyond that.
TEST(BlockMemory, WhatIsNotKeptComesBack) {
  Plan plan;
  const Scenario keeps = linear_scenario(dense_model(2), plan, 1, 8);
  plan.recompute = {RecomputeModule::layer};
  const Scenario again = linear_scenario(dense_model(2), plan, 1, 8);
  const LayerRouting routing;
  const DeviceMesh mesh(keeps.plan, keeps.cluster), mesh_again(again.plan, again.cluster);
  BlockMemory a(keeps, mesh, routing), b(again, mesh_again, routing);
  const BlockMemory::Of &kept = a.of(BlockKind::dense_layer), &run_again = b.of(BlockKind::dense_layer);
  EXPECT_EQ(kept.restored, Bytes{});
  EXPECT_LT(total(run_again.saved), 0.2 * total(kept.saved));
  EXPECT_GE(run_again.restored, total(kept.saved) - total(run_again.saved));
  EXPECT_EQ(kept.largest_gradients, run_again.largest_gradients);
  EXPECT_EQ(&a.of(BlockKind::dense_layer), &kept) << "made once";
  EXPECT_EQ(total(kept.saved), saved_bytes(kept.block, routing)) << "by module, and all together";
}

}  // namespace
}  // namespace trillion::block_memory_test
