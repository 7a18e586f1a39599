// The three words for how much is computed again; the middle one depends on the stack's attention.
#include "sim/spec/recompute_amount.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::recompute_amount_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(RecomputeAmount, StandsForModules) {
  for (const bool unfused : {false, true}) {
    EXPECT_THAT(modules_of(RecomputeAmount::none, unfused), IsEmpty());
    EXPECT_THAT(modules_of(RecomputeAmount::full, unfused), ElementsAre(RecomputeModule::layer));
  }
  EXPECT_THAT(modules_of(RecomputeAmount::selective, false), ElementsAre(RecomputeModule::norm, RecomputeModule::activation));
  EXPECT_THAT(modules_of(RecomputeAmount::selective, true), ElementsAre(RecomputeModule::attention));
}

}  // namespace
}  // namespace trillion::recompute_amount_test
