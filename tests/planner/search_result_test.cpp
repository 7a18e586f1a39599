// Results as lines: text and value are inverses to the last bit; what is no result throws.
#include "sim/planner/search_result.h"

#include <gtest/gtest.h>

#include "sim/base/error.h"

namespace trillion::search_result_test {
namespace {

TEST(SearchResult, ScreenedGroupsComeBack) {
  const std::vector<Screened> group = {
      {false, Bytes{1e11 / 3}, {}, {}}, {true, Bytes{7e10}, Seconds{0.1}, Seconds{1.0 / 3}}, {true, Bytes{1}, Seconds{2}, std::nullopt}};
  const std::string text = to_text(group);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const std::vector<Screened> read = screened_of_text(text);
  ASSERT_EQ(read.size(), group.size());
  for (std::size_t i = 0; i < group.size(); ++i) {
    EXPECT_EQ(read[i].fits, group[i].fits);
    EXPECT_EQ(read[i].peak, group[i].peak);
    EXPECT_EQ(read[i].bound, group[i].bound);
    EXPECT_EQ(read[i].time, group[i].time);
  }
}

TEST(SearchResult, StepsComeBack) {
  SimulatedLayout s;
  s.step.time = Seconds{1.0 / 7};
  s.step.tokens = 62914560;
  s.step.phases.bubble = Seconds{-1e-300};
  s.step.exposed.straggler = Seconds{0.3};
  s.step.compute.optimizer = Seconds{1e-9 / 3};
  s.step.clock_mhz = 1234.5;
  s.step.data_parallel = 128;
  s.step.layers_per_stage = {3, 4, 0, 54};
  s.peak_memory = Bytes{8e10};
  const Simulated read = simulated_of_text(to_text(Simulated{s}));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->step.time, s.step.time);
  EXPECT_EQ(read->step.tokens, s.step.tokens);
  EXPECT_EQ(read->step.phases.bubble, s.step.phases.bubble);
  EXPECT_EQ(read->step.exposed.straggler, s.step.exposed.straggler);
  EXPECT_EQ(read->step.compute.optimizer, s.step.compute.optimizer);
  EXPECT_EQ(read->step.clock_mhz, s.step.clock_mhz);
  EXPECT_EQ(read->step.data_parallel, s.step.data_parallel);
  EXPECT_EQ(read->step.layers_per_stage, s.step.layers_per_stage);
  EXPECT_EQ(read->peak_memory, s.peak_memory);
  EXPECT_FALSE(simulated_of_text(to_text(Simulated{})));
}

TEST(SearchResult, WhatIsNoResultThrows) {
  EXPECT_THROW(screened_of_text("fits 0x1p+3"), InternalError);
  EXPECT_THROW(screened_of_text("timed 1p+3 1p+1"), InternalError);
  EXPECT_THROW(simulated_of_text("step 1p+3 x"), InternalError);
  EXPECT_THROW(simulated_of_text(""), InternalError);
}

TEST(SearchResult, TasksHaveNames) {
  EXPECT_EQ(to_text(SearchTask{SearchTask::What::look, 5}), "look 5");
  EXPECT_EQ(to_text(SearchTask{SearchTask::What::screen, 17}), "screen 17");
  EXPECT_EQ(task_of_text("simulate 3"), (SearchTask{SearchTask::What::simulate, 3}));
  for (const char* none : {"", "look", "look x", "look 3 ", "peek 3"}) EXPECT_FALSE(task_of_text(none)) << none;
  EXPECT_EQ(to_text(SearchTask{SearchTask::What::simulate, 3}), "simulate 3");
}

}  // namespace
}  // namespace trillion::search_result_test
