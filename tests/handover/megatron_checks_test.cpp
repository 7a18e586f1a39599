// The model's shape, and flags that nobody models. Errors with their places are in read_megatron_test.cpp.
#include "sim/handover/megatron_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/handover/megatron_flags.h"
#include "tests/handover/support/plans.h"

namespace trillion::megatron_checks_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

std::size_t problems(const std::string& text, const Model& model) {
  const GivenFlags given = flags_of_script(text, "f");
  FlagReader flags(given);
  check_megatron_model(flags, model);
  return flags.diagnostics().size();
}

std::string own_flags(const Model& model) {
  std::vector<std::string> notes;
  std::string text;
  for (const FlagGroup& group : megatron_model_flags(model, notes)) {
    for (const Flag& flag : group.flags) text += " " + flag_text(flag);
  }
  return text.substr(1);
}

TEST(MegatronModelCheck, EveryModelFitsItsOwnFlagsAndNoOther) {
  const std::vector<Model> models = {dense_model(8), moe_model(8), latent_model(8)};
  for (const Model& flags : models) {
    for (const Model& model : models)
      EXPECT_EQ(problems(own_flags(flags), model) == 0, flags.name == model.name) << flags.name << " " << model.name;
  }
}

TEST(MegatronModelCheck, PartOfAModelIsHeldAgainstThatPart) {
  EXPECT_EQ(problems("--hidden-size 4096", latent_model(8)), 0u);
  EXPECT_EQ(problems("--hidden-size 4095", latent_model(8)), 1u);
  EXPECT_EQ(problems("--num-layers 8", dense_model(8)), 5u) << "hidden size, heads, groups, swiglu, untied embeddings are missing";
  EXPECT_EQ(problems("--ffn-hidden-size 1", moe_model(8)), 0u) << "every layer has experts: nothing has that size";
  EXPECT_EQ(problems("--vocab-size 64", dense_model(8)), 0u) << "padding";
  EXPECT_EQ(problems("--vocab-size 64000", dense_model(8)), 1u);
}

TEST(OtherFlags, AreCountedListedOrMisspelt) {
  const GivenFlags given = flags_of_script("--known 1 --lr 1e-4 --save x --moe-permute-fusion --moe-permute-fusion --known-flagg 2", "f");
  FlagReader flags(given);
  flags.integer("--known");
  flags.integer("--known-flag");
  MegatronPlan to;
  sort_other_flags(flags, to);
  EXPECT_EQ(to.without_effect, 2u);
  EXPECT_THAT(to.not_modelled, ElementsAre("--moe-permute-fusion"));
  ASSERT_EQ(flags.diagnostics().size(), 1u);
  EXPECT_EQ(flags.diagnostics().front().hint, "did you mean --known-flag?");
}

}  // namespace
}  // namespace trillion::megatron_checks_test
