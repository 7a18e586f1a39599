// The clock of a step: none without knowledge of the draw; a plan that spends more of its time on memory-bound kernels holds a
// higher one; every kernel of the lowered step is then as long as its time at that clock.
#include "sim/workload/step_clock.h"

#include <gtest/gtest.h>

#include "tests/support/laid_out_step.h"

namespace trillion::step_clock_test {
namespace {

using namespace testing_support;

Scenario powered(Framework framework) {
  Scenario s = linear_scenario(dense_model(2), {}, 1, 8);
  ChipPower& p = s.calibration.power;
  p.limit = Watts{700};
  p.idle = Watts{100};
  p.clock_max_mhz = 2000;
  p.products = Watts{500};
  p.memory_kernels = Watts{300};
  p.bf16 = Joules{0.4};
  p.attention = Joules{0.4};
  s.calibration.stack.framework.value = framework;
  s.training.optimizer_state.master_weight_bytes = framework == Framework::fused ? 4 : 0;
  // A burst is a third faster, where the clock allows it.
  std::vector<GemmCurve> bursts = s.calibration.gemms;
  for (GemmCurve& g : bursts) {
    g.load = Load::burst;
    g.sm_rate *= 1.5;
    g.info = exact(curve_name(g));
  }
  s.calibration.gemms.insert(s.calibration.gemms.end(), bursts.begin(), bursts.end());
  return s;
}

LoweringInput input(const LaidOutStep& s) { return {s.scenario, s.mesh, s.schedule, s.cut, s.load, s.timing}; }

TEST(StepClock, IsUnknownWithoutTheDraw) {
  const LaidOutStep step(linear_scenario(dense_model(2), {}, 1, 8));
  EXPECT_EQ(step_clock_mhz(input(step)), 0);
}

TEST(StepClock, RisesWithTheShareOfMemoryBoundKernels) {
  const LaidOutStep fused(powered(Framework::fused)), eager(powered(Framework::torch_eager));
  const double few = step_clock_mhz(input(fused)), many = step_clock_mhz(input(eager));
  EXPECT_GT(few, 700);
  EXPECT_LT(few, many);
  EXPECT_LE(many, 2000);
}

TEST(StepClock, SetsTheTimeOfEveryKernel) {
  const LaidOutStep step(powered(Framework::torch_eager));
  LoweringInput at_clock = input(step);
  at_clock.clock_mhz = step_clock_mhz(at_clock);
  const LoweredStep lowered = lower(at_clock);
  const Operation up = step.block(BlockKind::dense_layer).experts.at(1);
  const Kernel kernel = std::get<Gemm>(up.what);
  const PowerLoad load = step.timing.power_load(kernel, 0, 1);
  bool found = false;
  for (std::uint32_t t = 0; t < lowered.graph.task_count(); ++t) {
    const TaskKind& kind = lowered.graph.kind_of(TaskId{t});
    if (kind.label != up.label) continue;
    found = true;
    EXPECT_NEAR(kind.duration.seconds().value(), time_at(step.scenario.calibration.power, load, at_clock.clock_mhz).value(), 1e-11);
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace trillion::step_clock_test
