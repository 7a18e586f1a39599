// Chunks of many layouts. The algebra:
//   shared     what one layout wants again, or another one with the same stages, is one chunk
//   itself     a profile is what chunk_profiles() says of the action alone
//   beside     only a stage's first and last chunks depend on how gradients and parameters are shared
#include "sim/workload/chunk_set.h"

#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::chunk_set_test {
namespace {

using namespace testing_support;

struct Setting {
  Setting() : scenario(linear_scenario(dense_model(8), plan(), 2, 64)), timing(scenario.calibration, scenario.cluster) {}
  static Plan plan() {
    Plan p;
    p.pipeline_parallel = 2;
    p.schedule = ScheduleKind::one_f_one_b;
    return p;
  }
  void profile(ChunkSet& chunks) { chunks.profile({scenario, load, timing, 0, blocks}); }

  Scenario scenario;
  Timing timing;
  ExpertLoad load;
  TimedBlocks blocks;
  ChunkProgram program{make_schedule(ScheduleKind::one_f_one_b, 2, 8, 1)};
  StageCut cut{{Stage(4, BlockKind::dense_layer), Stage(4, BlockKind::dense_layer)}, {0, 4}};
  DeviceMesh mesh{plan(), scenario.cluster};
};

TEST(ChunkSet, StagesWithTheSameBlocksShareTheirs) {
  Setting s;
  ChunkSet chunks;
  chunks.want({s.program, Setting::plan(), s.mesh, s.cut});
  // Forward, backward, and the last backward pass, which reduces its gradients.
  EXPECT_EQ(chunks.size(), 3u);
  EXPECT_GT(s.program.distinct().size(), 3u);
  chunks.want({s.program, Setting::plan(), s.mesh, s.cut});
  EXPECT_EQ(chunks.size(), 3u);
  Plan late = Setting::plan();
  late.overlap_gradient_reduce = false;
  chunks.want({s.program, late, s.mesh, s.cut});
  EXPECT_EQ(chunks.size(), 3u) << "what is reduced afterwards is beside nothing";
  Plan ahead = Setting::plan();
  ahead.overlap_parameter_gather = true;
  chunks.want({s.program, ahead, s.mesh, s.cut});
  EXPECT_EQ(chunks.size(), 5u);
}

TEST(ChunkSet, AProfileIsThatOfTheActionAlone) {
  Setting s;
  s.scenario.plan = Setting::plan();
  ChunkSet chunks;
  const Plan plan = Setting::plan();
  const ChunkSet::Use use{s.program, plan, s.mesh, s.cut};
  chunks.want(use);
  s.profile(chunks);
  const std::vector<const ChunkProfile*> profiles = chunks.of(use);
  ASSERT_EQ(profiles.size(), s.program.distinct().size());
  const PipelineSchedule none;
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    LoweringInput in{s.scenario, s.mesh, none, s.cut, s.load, s.timing};
    in.beside = {{false, s.program.beside()[i].reduces}};
    const ChunkProfile alone = chunk_profiles(in, {s.program.distinct()[i]}).front();
    EXPECT_EQ(profiles[i]->compute.end, alone.compute.end);
    EXPECT_EQ(profiles[i]->reduction.any(), s.program.beside()[i].reduces);
    EXPECT_EQ(profiles[i]->reduction.end, alone.reduction.end);
  }
}

}  // namespace
}  // namespace trillion::chunk_set_test
