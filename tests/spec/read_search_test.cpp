// Axes of a search as they are written: a value, a list, or bounds; mistakes have their place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "sim/spec/load.h"

namespace trillion {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Search read(const std::string& search) {
  return load_scenario(std::string(TRILLION_SOURCE_DIR) + "/scenarios/deepseek-v3", {"search=" + search}).search;
}

std::string refusal(const std::string& search) {
  try {
    read(search);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ReadSearch, TakesValuesListsAndBounds) {
  const Search s = read(
      "{objective: days, tensor_parallel: 2, pipeline_parallel: [4, 8], micro_batch_size: {from: 1, to: 3}, "
      "schedule: zb-v, recompute: [none, full], sequence_parallel: [true, false]}");
  EXPECT_EQ(s.objective, Objective::days);
  EXPECT_THAT(*s.tensor_parallel, ElementsAre(2));
  EXPECT_THAT(*s.pipeline_parallel, ElementsAre(4, 8));
  EXPECT_THAT(*s.micro_batch_size, ElementsAre(1, 2, 3));
  EXPECT_THAT(*s.schedule, ElementsAre(ScheduleKind::zb_v));
  EXPECT_EQ(s.recompute->size(), 2u);
  EXPECT_THAT(*s.sequence_parallel, ElementsAre(true, false));
  EXPECT_FALSE(s.expert_parallel);
}

TEST(ReadSearch, SaysWhatIsWrong) {
  EXPECT_THAT(refusal("{tensor_paralel: 2}"), HasSubstr("tensor_parallel"));
  EXPECT_THAT(refusal("{schedule: [zb-q]}"), HasSubstr("zb-v"));
  EXPECT_THAT(refusal("{tensor_parallel: [0]}"), HasSubstr("must be at least 1"));
  EXPECT_THAT(refusal("{tensor_parallel: {from: 8, to: 2}}"), HasSubstr("must be from 8"));
  EXPECT_THAT(refusal("{objective: hours}"), HasSubstr("gpu_hours"));
}

}  // namespace
}  // namespace trillion
