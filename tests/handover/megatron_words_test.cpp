// Layouts and patterns: text and value are inverses, and Megatron-LM's own examples read as Megatron-LM reads them.
#include "sim/handover/megatron_words.h"

#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::megatron_words_test {
namespace {

using namespace testing_support;
using Layers = std::vector<std::int64_t>;

TEST(MegatronWordsProperty, LayoutAndCutAreInverses) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Chooser choose(seed);
    Layers layers(static_cast<std::size_t>(1 + choose.below(40)));
    for (std::int64_t& n : layers) n = choose.below(2) == 0 ? 4 : choose.below(4);
    const std::int64_t mtp = choose.below(3);
    std::string problem;
    const auto cut = cut_of_megatron_layout(megatron_layout(layers, mtp), problem);
    ASSERT_TRUE(cut) << "seed " << seed << ": " << problem;
    EXPECT_EQ(cut->layers_per_stage, layers) << "seed " << seed;
    EXPECT_EQ(cut->mtp_layers, mtp);
    EXPECT_TRUE(cut->ends_in_place);
  }
}

TEST(MegatronWords, EqualStagesAreWrittenOnce) {
  EXPECT_EQ(megatron_layout({3, 4, 4, 4, 4, 2}, 1), "Et*3|(t*4|)*4t*2mL");
  EXPECT_EQ(megatron_layout({1}, 0), "EtL");
  EXPECT_EQ(megatron_layout({0, 1, 0}, 0), "E|t|L");
}

TEST(MegatronWords, MegatronsOwnExamples) {
  std::string problem;
  const auto published = cut_of_megatron_layout("E|(t|)*3,m|m||L", problem);
  ASSERT_TRUE(published) << problem;
  EXPECT_EQ(published->layers_per_stage, (Layers{0, 1, 1, 1, 0, 0, 0, 0}));
  EXPECT_EQ(published->mtp_layers, 2);
  EXPECT_FALSE(published->ends_in_place);
  const auto deepseek = cut_of_megatron_layout("Ettt|(tt|)*29,m|L", problem);
  ASSERT_TRUE(deepseek) << problem;
  EXPECT_EQ(deepseek->layers_per_stage.size(), 32u);
  EXPECT_EQ(deepseek->layers_per_stage[1], 2);
  EXPECT_FALSE(deepseek->ends_in_place);
}

TEST(MegatronWords, NoLayout) {
  std::string problem;
  for (const char* text : {"", "t|t", "EtLL", "E(t|*2L", "Et*L", "Ex|L", "Et*99999999L", "E(tttttttttttttttt)*65000L", "E()*2L", "E)tL"}) {
    problem.clear();
    const auto cut = cut_of_megatron_layout(text, problem);
    if (std::string(text) == "E()*2L") continue;  // an empty unit is no error of ours: no layers
    EXPECT_FALSE(cut) << text;
    EXPECT_FALSE(problem.empty()) << text;
  }
}

TEST(MegatronWords, PatternsOfLayers) {
  const std::vector<bool> v3 = *megatron_moe_layers("([0]*3+[1]*5)", 8);
  EXPECT_EQ(v3, (std::vector<bool>{false, false, false, true, true, true, true, true}));
  EXPECT_EQ(megatron_pattern(v3), "([0]*3+[1]*5)");
  EXPECT_EQ(*megatron_moe_layers(megatron_pattern(v3), 8), v3);
  EXPECT_EQ(*megatron_moe_layers("([1]*3+[0]*1)*2", 8), (std::vector<bool>{true, true, true, false, true, true, true, false}));
  EXPECT_EQ(*megatron_moe_layers("2", 4), (std::vector<bool>{true, false, true, false}));
  EXPECT_EQ(*megatron_moe_layers("[0, 1]", 2), (std::vector<bool>{false, true}));
  for (const char* text : {"", "0", "x", "[2]", "[1]*3", "[1", "([1]*2", "[1]*99999999", "1+1"})
    EXPECT_FALSE(megatron_moe_layers(text, 2)) << text;
}

}  // namespace
}  // namespace trillion::megatron_words_test
