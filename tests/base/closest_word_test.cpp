// Algebra of an edit distance: d(a, a) = 0, d(a, b) = d(b, a), | |a| - |b| | <= d(a, b) <= max(|a|, |b|).
#include "sim/base/closest_word.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "sim/base/random.h"

namespace trillion::closest_word_test {
namespace {

TEST(ClosestWord, DistancesOfTheFourEdits) {
  EXPECT_EQ(edit_distance("plan", "plan"), 0);
  EXPECT_EQ(edit_distance("plan", "plans"), 1);
  EXPECT_EQ(edit_distance("plan", "pan"), 1);
  EXPECT_EQ(edit_distance("plan", "plon"), 1);
  EXPECT_EQ(edit_distance("plan", "paln"), 1) << "neighbours swapped";
  EXPECT_EQ(edit_distance("Plan", "pLAN"), 0) << "case does not count";
  EXPECT_EQ(edit_distance("", "abc"), 3);
}

TEST(ClosestWord, IsASymmetricBoundedDistance) {
  constexpr std::uint64_t kSeed = 11;
  const Random random(kSeed, 0);
  std::uint64_t draw = 0;
  const auto word = [&] {
    std::string text;
    for (std::uint64_t n = random.bits(draw++) % 8; n > 0; --n) text += static_cast<char>('a' + random.bits(draw++) % 3);
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    const std::string a = word(), b = word();
    const int distance = edit_distance(a, b);
    const int shorter = std::abs(static_cast<int>(a.size()) - static_cast<int>(b.size()));
    EXPECT_EQ(distance, edit_distance(b, a)) << a << " " << b << " (seed " << kSeed << ")";
    EXPECT_EQ(distance == 0, a == b) << a << " " << b;
    EXPECT_GE(distance, shorter) << a << " " << b;
    EXPECT_LE(distance, static_cast<int>(std::max(a.size(), b.size()))) << a << " " << b;
  }
}

TEST(ClosestWord, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string> words = {"hidden_size", "num_hidden_layers", "vocab_size"};
  EXPECT_EQ(closest_word("hiden_size", words), "hidden_size");
  EXPECT_EQ(closest_word("HIDDEN_SIZE", words), "hidden_size");
  EXPECT_EQ(closest_word("learning_rate", words), std::nullopt);
  EXPECT_EQ(closest_word("anything", {}), std::nullopt);
  EXPECT_EQ(closest_word("ab", {"ac", "ad"}), "ac") << "the first one wins a tie";
}

}  // namespace
}  // namespace trillion::closest_word_test
