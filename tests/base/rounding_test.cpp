// Whole pieces.
#include "sim/base/rounding.h"

#include <gtest/gtest.h>

namespace trillion::rounding_test {
namespace {

TEST(Rounding, PropertyPiecesHoldTheWholeAndNoneIsToSpare) {
  for (std::int64_t a = 0; a <= 40; ++a) {
    for (std::int64_t b = 1; b <= 12; ++b) {
      EXPECT_GE(divided_up(a, b) * b, a);
      EXPECT_LT((divided_up(a, b) - 1) * b, a);
      EXPECT_EQ(pieces(a, b), static_cast<double>(divided_up(a, b)));
    }
  }
}

}  // namespace
}  // namespace trillion::rounding_test
