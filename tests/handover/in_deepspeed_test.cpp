// ds_config.json: valid JSON whose batch sizes multiply; comments are beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/handover/support/plans.h"

namespace trillion::in_deepspeed_test {
namespace {

using namespace testing_support;
using testing::HasSubstr;

TEST(InDeepspeedProperty, IsJsonWhoseBatchesMultiply) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Scenario s = random_scenario(seed);
    const auto json = nlohmann::json::parse(in_deepspeed(handed(s)).text);
    EXPECT_EQ(json["train_batch_size"].get<std::int64_t>(), json["train_micro_batch_size_per_gpu"].get<std::int64_t>() *
                                                                json["gradient_accumulation_steps"].get<std::int64_t>() *
                                                                *s.plan.data_parallel);
    EXPECT_EQ(json["zero_optimization"]["stage"], static_cast<int>(expressed_in_deepspeed(s).plan.sharding));
  }
}

TEST(InDeepspeed, CommentsAreBesideIt) {
  const HandedOver h = in_deepspeed(handed(dualpipe_scenario()));
  EXPECT_THAT(h.notes,
              testing::AllOf(HasSubstr("num_stages=4"), HasSubstr("deepspeed --hostfile"), HasSubstr("plan.precision: fp8 -> bf16")));
  EXPECT_EQ(nlohmann::json::parse(h.text)["expert_parallel"]["preset_model"], "deepseek_v3");
}

}  // namespace
}  // namespace trillion::in_deepspeed_test
