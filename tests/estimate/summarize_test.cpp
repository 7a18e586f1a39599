// From a trace to figures. The algebra:
//   compute    mean over ranks; with what the busiest rank's load adds it is the time that the compute streams are busy
//   origins    shares of all task time add up to 1, the largest first
//   traffic    one step of pure data parallelism puts (n - 1) / n of the gradients and parameters on every GPU's NVLink
//   interval   curves' errors add as squares, weighted by their share of the step; redrawing every curve agrees
#include "sim/estimate/summarize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "sim/estimate/estimate.h"
#include "sim/estimate/timeline.h"
#include "sim/workload/counts.h"
#include "tests/support/linear_machine.h"

namespace trillion::summarize_test {
namespace {

using namespace testing_support;

Scenario mixture_on_a_pipeline() {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.expert_parallel = 8;
  return linear_scenario(moe_model(8), plan, 4, 8 * 16);
}

// Keeps what summarize() read.
struct Summary {
  explicit Summary(Scenario s)
      : scenario(std::move(s)),
        timing(scenario.calibration, scenario.cluster),
        prepared(std::get<PreparedStep>(prepare(scenario, timing))),
        lowered(lower({scenario, prepared.mesh, prepared.schedule, prepared.cut, prepared.load, timing})),
        trace(run(lowered.graph)),
        result(summarize(scenario, prepared, lowered, trace, timing)) {}
  Summary(const Summary&) = delete;
  Summary& operator=(const Summary&) = delete;

  Scenario scenario;
  Timing timing;
  PreparedStep prepared;
  LoweredStep lowered;
  Trace trace;
  StepResult result;
};

TEST(Summarize, ComputeSecondsAreTheStreamsBusyTime) {
  for (const Balance balance : {Balance::forced, Balance::none}) {
    Scenario s = mixture_on_a_pipeline();
    s.training.routing.balance = balance;
    const Summary summary(std::move(s));
    double busy = 0, most = 0;
    std::int64_t slowest = 0;
    for (std::int32_t rank = 0; rank < 4; ++rank) {
      const double here = compute_busy(summary.lowered, summary.trace, rank).value();
      busy += here / 4;
      if (here > most) slowest = rank;
      most = std::max(most, here);
    }
    const double even = summary.result.compute.total().value(), straggler = summary.result.exposed.straggler.value();
    if (balance == Balance::forced) {
      EXPECT_NEAR(even, busy, 1e-9 * busy);
      EXPECT_NEAR(straggler, 0, 1e-9 * busy);
    } else {
      // Of the slowest rank, where `busy` and `even` are means over all four.
      EXPECT_GT(straggler, 1e-3 * busy);
      EXPECT_LE(straggler, 4 * (busy - even) * (1 + 1e-9));
      EXPECT_LE(straggler, most);
    }
    EXPECT_EQ(summary.result.slowest_rank, slowest);
  }
}

TEST(Summarize, OriginsShareAllTaskTime) {
  const StepResult r = Summary(mixture_on_a_pipeline()).result;
  double sum = 0;
  for (std::size_t i = 0; i < r.origins.size(); ++i) {
    sum += r.origins[i].share_of_time;
    EXPECT_GT(r.origins[i].share_of_time, 0);
    EXPECT_LE(r.origins[i].share_of_time, r.origins[i > 0 ? i - 1 : 0].share_of_time);
  }
  EXPECT_NEAR(sum, 1, 1e-9);
}

TEST(Summarize, TokensFlopsAndLayoutAreTheScenarios) {
  const Summary summary(mixture_on_a_pipeline());
  const StepResult& r = summary.result;
  EXPECT_DOUBLE_EQ(r.tokens, 8.0 * 16 * 4096);
  EXPECT_DOUBLE_EQ(r.model_flops_causal.value(), flops_per_token(summary.scenario.model, 4096).causal.value() * r.tokens);
  EXPECT_GT(r.model_flops_noncausal, r.model_flops_causal);
  EXPECT_EQ(r.data_parallel, 8);
  EXPECT_EQ(r.micro_batches, 16);
  EXPECT_EQ(r.layers_per_stage.size(), 4u);
  EXPECT_EQ(r.memory.size(), 4u);
  EXPECT_EQ(r.tasks, summary.lowered.graph.task_count());
  EXPECT_EQ(r.time, summary.trace.makespan.seconds());
}

TEST(Summarize, DataParallelTrafficIsGradientsOutAndParametersIn) {
  Scenario s = linear_scenario(dense_model(2), {}, 1, 8);
  const double parameters = static_cast<double>(model_size(s.model).total);
  const StepResult r = Summary(std::move(s)).result;
  const double norm = 2 * 4 * 7.0 / 8;  // one FP32 number, reduced by all
  ASSERT_FALSE(r.traffic.empty());
  EXPECT_EQ(r.traffic[0].kind, "nvlink");
  EXPECT_NEAR(r.traffic[0].bytes_per_step.value() / (8 * ((4 + 2) * parameters * 7 / 8 + norm)), 1, 1e-12);
  EXPECT_NEAR(r.traffic[0].utilization, r.traffic[0].bytes_per_step.value() / r.time.value() / (8 * 200e9), 1e-9);
}

// A curve of its own for every kernel: stand-ins would bring doubt of their own.
void give_every_kernel_its_curve(Calibration& c) {
  const MemoryCurve copy = c.memory_kernels.front();
  for (std::size_t k = 1; k < kMemoryKernelNames.size(); ++k) {
    MemoryCurve curve = copy;
    curve.kernel = static_cast<MemoryKernel>(k);
    curve.info = exact(curve_name(curve));
    c.memory_kernels.push_back(curve);
  }
}

TEST(Summarize, ExactCurvesLeaveNoDoubt) {
  Scenario s = mixture_on_a_pipeline();
  EXPECT_LT(Summary(s).result.time_low_ratio, 1);
  give_every_kernel_its_curve(s.calibration);
  const StepResult r = Summary(s).result;
  EXPECT_NEAR(r.time_low_ratio, 1, 1e-6);
  EXPECT_NEAR(r.time_high_ratio, 1, 1e-6);
}

TEST(SummarizeProperty, TheIntervalIsWhatRedrawingEveryCurveGives) {
  Scenario s = linear_scenario(dense_model(4), {}, 1, 8 * 8);
  const auto doubt = [](auto& curves) {
    for (auto& curve : curves) curve.info.residuals = {0.05, 0.1, 10};
  };
  doubt(s.calibration.gemms);
  doubt(s.calibration.attentions);
  doubt(s.calibration.memory_kernels);
  const StepResult r = std::get<StepResult>(simulate_step(s));
  const double half = (r.time_high_ratio - r.time_low_ratio) / 2;
  EXPECT_GT(half, 0.02);
  EXPECT_LT(half, 0.1);  // several curves err apart, so the step errs less than one of them

  double sum = 0, squares = 0;
  constexpr int kDraws = 100;
  for (int seed = 0; seed < kDraws; ++seed) {
    Scenario drawn = s;
    drawn.calibration = redraw(s.calibration, static_cast<std::uint64_t>(seed));
    const double t = std::get<StepResult>(simulate_step(drawn)).time / r.time;
    sum += t;
    squares += t * t;
  }
  const double mean = sum / kDraws, sigma = std::sqrt(squares / kDraws - mean * mean);
  EXPECT_NEAR(1.645 * sigma / half, 1, 0.2) << "seeds 0 to " << kDraws - 1;
}

}  // namespace
}  // namespace trillion::summarize_test
