// Bars: length in proportion to the value; the parts of a stacked bar fill exactly the width that was asked for.
#include "sim/report/bar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sim/base/error.h"

namespace trillion::bar_test {
namespace {

const TextStyle kUnicode{100, false, true};
const TextStyle kAscii{100, false, false};

TEST(Bar, IsAsLongAsItsFraction) {
  EXPECT_EQ(bar(0, 8, kUnicode), "");
  EXPECT_EQ(bar(0.5, 8, kUnicode), "████");
  EXPECT_EQ(bar(1, 8, kUnicode), "████████");
  EXPECT_EQ(bar(0.3125, 8, kUnicode), "██▌");
  EXPECT_EQ(bar(0.3125, 8, kAscii), "###");
  EXPECT_EQ(bar(7, 4, kAscii), "####");
  EXPECT_EQ(bar(-1, 4, kAscii), "");
}

TEST(StackedBar, PartsInProportion) {
  EXPECT_EQ(stacked_bar({1, 2, 0, 5}, 8, kAscii), "fbb#####");
  EXPECT_EQ(stacked_bar({1, 1, 1}, 8, kAscii), "fffbbbww");
  EXPECT_EQ(stacked_bar({0, 0}, 8, kAscii), "");
  EXPECT_EQ(stacked_bar({-1, 1}, 4, kAscii), "bbbb");
}

TEST(StackedBar, MoreThanSevenPartsAreOurBug) { EXPECT_THROW(stacked_bar(std::vector<double>(8, 1.0), 10, kAscii), InternalError); }

TEST(StackedBarProperty, FillsTheWidthAndErrsByLessThanAColumn) {
  constexpr std::uint64_t kSeed = 20260101;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  for (std::uint64_t round = 0; round < 300; ++round) {
    std::vector<double> parts(1 + round % kPartSigns);
    double total = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      parts[i] = static_cast<double>((round * 2654435761u + i * 40503u + kSeed) % 1000);
      total += parts[i];
    }
    if (total == 0) continue;
    const int columns = 1 + static_cast<int>(round % 97);
    const std::string text = stacked_bar(parts, columns, kAscii);
    EXPECT_EQ(text.size(), static_cast<std::size_t>(columns));
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto width = static_cast<double>(std::count(text.begin(), text.end(), part_sign(i, kAscii)[0]));
      EXPECT_LT(std::abs(width - parts[i] / total * columns), 1.0) << "part " << i << " of round " << round;
    }
  }
}

}  // namespace
}  // namespace trillion::bar_test
