// Names of origins, as files and reports write them.
#include "sim/spec/origin.h"

#include <gtest/gtest.h>

namespace trillion::origin_test {
namespace {

TEST(Origin, HasTheFourNamesOfTheFiles) {
  EXPECT_STREQ(to_text(Origin::measured), "measured");
  EXPECT_STREQ(to_text(Origin::paper), "paper");
  EXPECT_STREQ(to_text(Origin::vendor), "vendor");
  EXPECT_STREQ(to_text(Origin::assumed), "assumed");
}

}  // namespace
}  // namespace trillion::origin_test
