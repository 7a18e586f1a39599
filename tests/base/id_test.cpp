#include "sim/base/id.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace trillion::id_test {
namespace {

struct RankTag;
struct StageTag;
using RankId = Id<RankTag>;
using StageId = Id<StageTag>;

static_assert(!std::is_convertible_v<RankId, StageId>, "a rank never indexes the stages");
static_assert(!std::is_convertible_v<int, RankId>);
static_assert(sizeof(RankId) == 4);

TEST(Id, NoneUntilGiven) {
  EXPECT_FALSE(RankId().valid());
  EXPECT_TRUE(RankId(0).valid());
  EXPECT_LT(RankId(1), RankId(2));
  EXPECT_EQ(RankId(3), RankId(3));
}

}  // namespace
}  // namespace trillion::id_test
