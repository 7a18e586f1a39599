#include "sim/timing/gemm_memo.h"

#include <gtest/gtest.h>

namespace trillion::gemm_memo_test {
namespace {

TEST(GemmMemo, RemembersWhatWasAskedAndNothingElse) {
  GemmMemo memo;
  const GemmMemo::Key key{3, 4096, 7168, 2048, 112};
  EXPECT_FALSE(memo.find(key));
  memo.add(key, Seconds{1.5e-3});
  ASSERT_TRUE(memo.find(key));
  EXPECT_EQ(memo.find(key)->value(), 1.5e-3);
  for (const GemmMemo::Key& other : {GemmMemo::Key{4, 4096, 7168, 2048, 112}, GemmMemo::Key{3, 7168, 4096, 2048, 112},
                                     GemmMemo::Key{3, 4096, 2048, 7168, 112}, GemmMemo::Key{3, 4096, 7168, 2048, 132}})
    EXPECT_FALSE(memo.find(other));
}

TEST(GemmMemo, TheFirstAnswerStays) {
  GemmMemo memo;
  memo.add({0, 1, 2, 3, 4}, Seconds{1});
  memo.add({0, 1, 2, 3, 4}, Seconds{2});
  EXPECT_EQ(memo.find({0, 1, 2, 3, 4})->value(), 1);
}

// It may forget, never grow without end, never be wrong.
TEST(GemmMemo, HoldsNoMoreThanItMay) {
  GemmMemo memo;
  std::int64_t known = 0;
  for (std::int64_t m = 0; m < 200'000; ++m) memo.add({0, m, 1, 1, 132}, Seconds{static_cast<double>(m)});
  for (std::int64_t m = 0; m < 200'000; ++m) {
    const auto time = memo.find({0, m, 1, 1, 132});
    if (!time) continue;
    ++known;
    EXPECT_EQ(time->value(), static_cast<double>(m));
  }
  EXPECT_GT(known, 100'000);
  EXPECT_LT(known, 140'000);
}

}  // namespace
}  // namespace trillion::gemm_memo_test
