// The comment above a file: everything in it is a comment, and it says what was predicted, for which of the two plans.
#include "sim/handover/header_comment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/handover/support/plans.h"

namespace trillion::header_comment_test {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(HeaderComment, SaysWhatWasPredictedAndWhatWasLost) {
  HandedPlan plan = handed(dualpipe_scenario());
  const Expressed nearest = expressed_in_megatron(plan.scenario);
  StepResult slower = plan.step;
  slower.time = Seconds{20};
  plan.nearest = slower;
  const std::string text = header_comment(plan, "flags", nearest, {"a note"});
  EXPECT_THAT(text,
              AllOf(HasSubstr("linear: latent as flags"), HasSubstr("64 GPUs, 8 nodes of 8 linear GPU: TP 1 x CP 1 x PP 4 x DP 16"),
                    HasSubstr("ETP 1 x EP 8 x PP 4 x EDP 2"), HasSubstr("step 10.0 s"), HasSubstr("400 TFLOP/s/GPU"),
                    HasSubstr("step 20.0 s"), HasSubstr("12.0 GiB of"), HasSubstr("plan.schedule: dualpipe -> 1f1b"), HasSubstr("a note")));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_EQ(line.substr(0, 1), "#");
    EXPECT_LE(line.size(), 120u);
  }
  plan.nearest = StepOutcome{Infeasible{"too large", {}}};
  EXPECT_THAT(header_comment(plan, "flags", nearest, {}), HasSubstr("cannot run: too large"));
  EXPECT_THAT(header_comment(plan, "flags", {plan.scenario.plan, {}}, {}), Not(HasSubstr("cannot")));
}

TEST(HeaderComment, NamesAreNames) {
  Scenario s = dualpipe_scenario();
  s.name = "405b on-h100";
  EXPECT_EQ(layout_name(s), "run_405b_on_h100_pp4_ep8_64gpu");
}

}  // namespace
}  // namespace trillion::header_comment_test
