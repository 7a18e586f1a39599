// The unit of a figure follows from its name.
#include "sim/report/figure_text.h"

#include <gtest/gtest.h>

namespace trillion::figure_text_test {
namespace {

TEST(FigureText, UnitFollowsFromTheName) {
  EXPECT_EQ(figure_text("step.time_s", 19.92), "19.9 s");
  EXPECT_EQ(figure_text("step.phases_s.forward_backward", 0.014), "14.0 ms");
  EXPECT_EQ(figure_text("memory.stages.0.peak_bytes", 63.0 * 1024 * 1024 * 1024), "63.0 GiB");
  EXPECT_EQ(figure_text("routing.bytes_per_token_scale_out", 64512), "63.0 KiB");
  EXPECT_EQ(figure_text("step.mfu_causal", 0.4312), "43.1 %");
  EXPECT_EQ(figure_text("traffic.links.0.utilization", 0.21), "21.0 %");
  EXPECT_EQ(figure_text("conventions.peak_flops_per_s", 989.4e12), "989 TFLOP/s");
  EXPECT_EQ(figure_text("model_size.flops_per_token_causal", 250.4e9), "250 GFLOP");
  EXPECT_EQ(figure_text("answer.usd_per_trillion_tokens", 361690), "$362K");
  EXPECT_EQ(figure_text("run.days", 54.94), "54.9");
}

TEST(FigureText, CountsAreReadableAndRatesAreNoTimes) {
  EXPECT_EQ(figure_text("answer.gpu_hours_per_trillion_tokens", 180845), "180845");
  EXPECT_EQ(figure_text("model_size.parameters_total", 671026419200), "671B");
  EXPECT_EQ(figure_text("step.tokens_per_s", 3.1457e6), "3.15M");
  EXPECT_EQ(figure_text("plan.pipeline_parallel", 16), "16");
  EXPECT_EQ(figure_text("seed", 12345678), "12345678");
  EXPECT_EQ(figure_text("routing.rank_load_max_over_mean", 1.0834), "1.083");
}

}  // namespace
}  // namespace trillion::figure_text_test
