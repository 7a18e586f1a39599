// Expert loads from a log: columns by name in any order; what is wrong is named with its line and column.
#include "sim/spec/expert_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "sim/base/error.h"

namespace trillion::expert_counts_test {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& text) {
  try {
    parse_expert_counts_csv(text, "loads.csv");
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ExpertCounts, ReadsColumnsByName) {
  const auto rows = parse_expert_counts_csv("# log\ncount, expert ,layer\n5,1,3\n\n2.5,0,3\n", "loads.csv");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].layer, 3);
  EXPECT_EQ(rows[0].expert, 1);
  EXPECT_EQ(rows[0].count, 5);
  EXPECT_EQ(rows[1].count, 2.5);
}

TEST(ExpertCounts, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(refusal("layer,expert\n1,2\n"), HasSubstr("loads.csv:1:1: error: no column 'count'"));
  EXPECT_THAT(refusal("layer,expert,count\n1,2\n"), HasSubstr("loads.csv:2:1: error: a row of 2 values under 3 titles"));
  EXPECT_THAT(refusal("layer,expert,count\n1,x,3\n"), HasSubstr("loads.csv:2:3: error: 'x' is not an integer"));
  EXPECT_THAT(refusal("layer,expert,count\n1,-1,3\n"), HasSubstr("loads.csv:2:3: error: must not be negative"));
  EXPECT_THAT(refusal("layer,expert,count\n1,1,inf\n"), HasSubstr("loads.csv:2:5: error: a count must be finite"));
  EXPECT_THAT(refusal("layer,expert,count\n1,1,3\n1,1,4\n"), HasSubstr("layer 1, expert 1 a second time"));
  EXPECT_THAT(refusal("layer,expert,count\n"), HasSubstr("no rows"));
  EXPECT_THAT(refusal(""), HasSubstr("no rows"));
}

TEST(ExpertCounts, ReadsJson) {
  const std::string path = testing::TempDir() + "expert_counts_test.json";
  std::ofstream(path) << R"({"loads": [{"layer": 0, "expert": 1, "count": 7}, {"layer": 0, "expert": 2, "count": 1e3}]})";
  const auto rows = load_expert_counts(path);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].count, 1000);
  std::ofstream(path) << R"({"loads": [{"layer": 0, "exprt": 1, "count": 7}]})";
  EXPECT_THROW(load_expert_counts(path), InputError);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace trillion::expert_counts_test
