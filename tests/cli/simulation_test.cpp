// From a path to an outcome: what the command line changes arrives in the scenario.
#include "sim/cli/simulation.h"

#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::simulation_test {
namespace {

TEST(Simulation, OverridesSeedAndFidelityArrive) {
  ScenarioOptions how;
  how.overrides = {"plan.schedule=1f1b"};
  how.seed = 42;
  how.fidelity = Fidelity::full;
  const Scenario scenario = read_scenario(kDeepSeek, how).scenario;
  EXPECT_EQ(scenario.plan.schedule, ScheduleKind::one_f_one_b);
  EXPECT_EQ(scenario.overrides, how.overrides);
  EXPECT_EQ(scenario.seed, 42u);
  EXPECT_EQ(scenario.fidelity, Fidelity::full);
}

TEST(Simulation, AScenarioThatIsNotThereIsAnInputError) {
  const Folder folder;
  EXPECT_THROW(read_scenario(folder / "absent", {}), InputError);
}

}  // namespace
}  // namespace trillion::simulation_test
