// What comes after the main run. What must hold: a phase is the training and the plan with what it changes, and no more; the ramp is over;
// mistakes have their place, of a phase's keys and of what they contradict; a phase says how long it is.
#include "sim/spec/read_phases.h"

#include <filesystem>
#include <fstream>

#include "sim/spec/load.h"
#include "tests/spec/mistakes.h"

namespace trillion::read_phases_test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const fs::path kSource = TRILLION_SOURCE_DIR;

class ReadPhases : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(folder_);
  }

  Scenario load(const std::string& phases, const Overrides& overrides = {}) const {
    std::ofstream(folder_ / "scenario.yaml") << "base: " << (kSource / "scenarios/deepseek-v3").string() << "\ntraining:\n  phases:\n"
                                             << phases;
    return load_scenario(folder_.string(), overrides);
  }
  std::vector<std::string> mistakes(const std::string& phases, const Overrides& overrides = {}) const {
    std::vector<std::string> found;
    for (const Diagnostic& d : diagnostics_of([&] { load(phases, overrides); })) found.push_back(place_and_message(d));
    return found;
  }

  fs::path folder_;
};

constexpr const char* kLonger =
    "    - {name: longer, tokens: 62.9B, sequence_length: 32768, global_batch_size: 1920, plan: {context_parallel: 8}}\n";

TEST_F(ReadPhases, AreTheScenarioWithWhatTheyChange) {
  const Scenario s = load(kLonger);
  ASSERT_EQ(s.later.size(), 1u);
  const LaterPhase& phase = s.later.front();
  EXPECT_EQ(phase.name, "longer");
  EXPECT_EQ(phase.training.tokens, 62.9e9);
  EXPECT_EQ(phase.training.sequence_length, 32768);
  EXPECT_EQ(phase.training.global_batch_size, 1920);
  EXPECT_FALSE(phase.training.batch_size_schedule);
  EXPECT_EQ(phase.training.optimizer_state.moment_bytes, s.training.optimizer_state.moment_bytes);
  EXPECT_EQ(phase.plan.context_parallel, 8);
  EXPECT_EQ(phase.plan.pipeline_parallel, s.plan.pipeline_parallel);
  EXPECT_EQ(phase.plan.recompute, s.plan.recompute);
  EXPECT_EQ(s.plan.context_parallel, 1);
  EXPECT_TRUE(s.training.batch_size_schedule);
}

TEST_F(ReadPhases, ComeInTheirOrderAndMayBeTakenAway) {
  const std::string two = std::string(kLonger) + "    - {name: again, tokens: 1B}\n";
  const Scenario s = load(two);
  ASSERT_EQ(s.later.size(), 2u);
  EXPECT_EQ(s.later[1].name, "again");
  EXPECT_EQ(s.later[1].training.sequence_length, s.training.sequence_length);
  EXPECT_THAT(load(two, {"training.phases=null"}).later, IsEmpty());
}

TEST_F(ReadPhases, AnOverrideOfTheScenarioReachesThem) {
  const Scenario s = load(kLonger, {"plan.expert_parallel=32", "training.optimizer_state.moment_bytes=4"});
  EXPECT_EQ(s.later.front().plan.expert_parallel, 32);
  EXPECT_EQ(s.later.front().training.optimizer_state.moment_bytes, 4);
}

TEST_F(ReadPhases, MistakesHaveTheirPlace) {
  EXPECT_THAT(mistakes("    - {name: a}\n"), ElementsAre(AllOf(HasSubstr("4:7"), HasSubstr("tokens"))));
  EXPECT_THAT(mistakes("    - {name: a, tokens: 0}\n"), ElementsAre(AllOf(HasSubstr("4:25"), HasSubstr("more than zero"))));
  EXPECT_THAT(mistakes("    - {tokens: 1B}\n"), ElementsAre(HasSubstr("name")));
  EXPECT_THAT(mistakes("    - {name: a, tokens: 1B, sequence_lenth: 8192}\n"), ElementsAre(HasSubstr("4:29")));
  EXPECT_THAT(mistakes("    - {name: a, tokens: 1B, plan: {context_paralel: 2}}\n"), ElementsAre(HasSubstr("4:36")));
  EXPECT_THAT(mistakes("    - {name: a, tokens: 1B, plan: 3}\n"), ElementsAre(HasSubstr("expected keys of a plan")));
  EXPECT_THAT(mistakes("    - {name: a, tokens: 1B, plan: {recompute: [shared_expert]}}\n"), ElementsAre(HasSubstr("4:")));
  EXPECT_THAT(mistakes("    - {name: a, tokens: 1B, phases: []}\n"), ElementsAre(HasSubstr("4:29")));
  EXPECT_THAT(mistakes("    - 3\n"), ElementsAre(HasSubstr("expected a mapping")));
}

TEST_F(ReadPhases, ContradictTheScenarioWhereTheyStand) {
  EXPECT_THAT(mistakes("    - {name: a, tokens: 1B, plan: {layers_per_stage: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}}\n"),
              ElementsAre(AllOf(HasSubstr("4:"), HasSubstr("adds up to 16 layers"))));
  EXPECT_THAT(mistakes(kLonger, {"training.tokens=0", "training.batch_size_schedule=null"}), ElementsAre(HasSubstr("come after the run")));
}

}  // namespace
}  // namespace trillion::read_phases_test
