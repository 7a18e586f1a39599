// What a search may change: every named number is positive, a named axis has values.
#include "sim/spec/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::search_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

TEST(Search, NamesWhatIsOutOfRange) {
  EXPECT_THAT(Search{}.validate(), IsEmpty());
  Search s;
  s.nodes = std::vector<std::int64_t>{0};
  s.tensor_parallel = std::vector<std::int64_t>{};
  s.micro_batch_size = std::vector<std::int64_t>{1, -2, 0};
  EXPECT_THAT(s.validate(), ElementsAre(StartsWith("nodes: must be at least 1"), StartsWith("tensor_parallel: must list at least one"),
                                        StartsWith("micro_batch_size: must be at least 1, found -2")));
}

}  // namespace
}  // namespace trillion::search_test
