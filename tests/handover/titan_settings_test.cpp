// Degrees multiply to the machine, and stages hold every module once.
#include "sim/handover/titan_settings.h"

#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::titan_settings_test {
namespace {

using namespace testing_support;

TEST(TitanSettingsProperty, DegreesMultiplyToTheMachineAndModulesAppearOnce) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Scenario s = random_scenario(seed);
    const Plan p = expressed_in_torchtitan(s).plan;
    std::int64_t product = 1;
    const Settings settings = titan_parallelism(s, p);
    for (const Setting& one : settings.all()) {
      const bool counts = one.path.ends_with("_degree") && one.path != "expert_parallel_degree";
      if (counts) product *= std::stoll(one.python);
    }
    EXPECT_EQ(product, s.cluster.gpus()) << "seed " << seed;
    std::vector<std::string> modules;
    for (const auto& stage : titan_stages(p, "lm_head")) modules.insert(modules.end(), stage.begin(), stage.end());
    ASSERT_EQ(modules.size(), static_cast<std::size_t>(s.model.num_hidden_layers) + 3);
    EXPECT_EQ(modules.front(), "tok_embeddings");
    EXPECT_EQ(modules[1], "layers.0");
    EXPECT_EQ(modules.back(), "lm_head");
    EXPECT_EQ(titan_micro_batches(s, p) * p.micro_batch_size * *p.data_parallel, s.training.global_batch_size);
  }
}

TEST(TitanSettings, KnowsItsModels) {
  Model m;
  m.name = "Llama-3.1-70B";
  EXPECT_EQ(titan_model(m).function, "llama3_70b");
  m.name = "other";
  EXPECT_TRUE(titan_model(m).function.empty());
}

}  // namespace
}  // namespace trillion::titan_settings_test
