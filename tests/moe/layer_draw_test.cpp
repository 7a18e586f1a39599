// Draws of a layer and of a micro-batch's sequences:
//   every rank has all its tokens, of whole sequences; one seed, layer and micro-batch give the same, others differ
//   a gate fitted to counts reproduces them; an even layer has no skew
#include "sim/moe/layer_draw.h"

#include <gtest/gtest.h>

#include <numeric>

namespace trillion::layer_draw_test {
namespace {

Model mixture() {
  Model model;
  model.moe = MixtureOfExperts{};
  model.moe->n_routed_experts = 32;
  model.moe->num_experts_per_tok = 4;
  return model;
}

Training training() {
  Training result;
  result.sequence_length = 1000;
  return result;
}

TEST(LayerDraw, SequencesFillTheRanks) {
  const Model model = mixture();
  const Plan plan;
  const Training how = training();
  const ExpertGroup group{6, 2, 1500};  // one sequence and a half
  const RoutingSetting setting = routing_setting(model, plan, how, group, 4);
  const Table sources = draw_sources(setting, 16, 1, 2);
  for (std::int64_t r = 0; r < 6; ++r) {
    double tokens = 0;
    for (std::int64_t d = 0; d < 16; ++d) {
      tokens += sources.at(r, d);
      EXPECT_EQ(static_cast<std::int64_t>(sources.at(r, d)) % 500, 0);
    }
    EXPECT_EQ(tokens, 1500);
  }
  EXPECT_EQ(draw_sources(setting, 16, 1, 2).value, sources.value);
  EXPECT_NE(draw_sources(setting, 16, 1, 3).value, sources.value);
  EXPECT_NE(draw_sources(setting, 16, 2, 2).value, sources.value);
}

TEST(LayerDraw, EvenAndMeasuredLayers) {
  const Model model = mixture();
  const Plan plan;
  Training how = training();
  how.routing.balance = Balance::measured;
  for (std::int64_t e = 0; e < 32; ++e) how.routing.loads.push_back({7, e, e < 4 ? 250.0 : 100.0});
  const ExpertGroup group{8, 4, 1000};
  const RoutingSetting setting = routing_setting(model, plan, how, group, 4);
  EXPECT_LT(statistics_of(draw_even_layer(setting).tables.expert_load.value).coefficient_of_variation, 0.04);
  const auto layers = measured_layers(setting);
  ASSERT_EQ(layers.size(), 1u);
  ASSERT_EQ(layers.begin()->first, 7);
  const LayerDraw drawn = draw_measured_layer(setting, 7, layers.at(7));
  std::vector<double> seen(32, 0.0);
  for (const TokenChoices& choices : choices_by_domain(drawn.gate, 20000, Random(9, 9)))
    for (const std::uint16_t e : choices.expert) seen[e] += 1;
  EXPECT_NEAR(seen[0] / seen[20], 2.5, 0.25);
  EXPECT_DOUBLE_EQ(drawn.tables.expert_load.at(0, 0) / drawn.tables.expert_load.at(0, 20), 2.5);
}

}  // namespace
}  // namespace trillion::layer_draw_test
