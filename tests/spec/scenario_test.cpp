// Contradictions between parts that are fine by themselves.
#include "sim/spec/scenario.h"

#include <functional>

#include "sim/spec/load.h"
#include "tests/spec/mistakes.h"

namespace trillion::scenario_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<std::string> broken(const std::string& model, const std::function<void(Scenario&)>& change) {
  Scenario s;
  s.model = load_model(TRILLION_SOURCE_DIR "/models/" + model + ".yaml");
  s.cluster = load_cluster(TRILLION_SOURCE_DIR "/topologies/h800-2048.yaml");
  s.training.sequence_length = 2048;
  s.training.global_batch_size = 1024;
  change(s);
  return s.validate();
}

TEST(Scenario, PartsThatFitPass) {
  EXPECT_THAT(broken("deepseek-v3", [](Scenario&) {}), IsEmpty());
  EXPECT_THAT(broken("gpt3-175b", [](Scenario&) {}), IsEmpty());
}

TEST(Scenario, ExpertsAreTheModels) {
  EXPECT_THAT(broken("llama-3.1-8b", [](Scenario& s) { s.plan.expert_parallel = 8; }),
              ElementsAre(StartsWith("plan.expert_parallel: the model has no experts")));
  EXPECT_THAT(broken("llama-3.1-8b", [](Scenario& s) { s.plan.expert_tensor_parallel = 8; }),
              ElementsAre(StartsWith("plan.expert_tensor_parallel: ")));
  for (const auto& [model, module] : {std::pair{"llama-3.1-8b", RecomputeModule::moe},
                                      {"llama-3.1-8b", RecomputeModule::shared_experts},
                                      {"mixtral-8x7b", RecomputeModule::mlp},
                                      {"mixtral-8x7b", RecomputeModule::shared_experts}}) {
    EXPECT_THAT(broken(model, [m = module](Scenario& s) { s.plan.recompute = {m}; }), ElementsAre(testing::HasSubstr("the model has no")))
        << model;
  }
  EXPECT_THAT(broken("llama-3.1-8b", [](Scenario& s) { s.plan.recompute = {RecomputeModule::mla_up_projection}; }),
              ElementsAre(StartsWith("plan.recompute: ")));
}

TEST(Scenario, TheChipHasThePrecision) {
  EXPECT_THAT(broken("deepseek-v3", [](Scenario& s) { s.plan.precision = Precision::fp8; }), IsEmpty());
  EXPECT_THAT(broken("deepseek-v3", [](Scenario& s) { s.plan.precision = Precision::fp8, s.cluster.gpu.peak_fp8 = FlopsPerSecond{0}; }),
              ElementsAre("plan.precision: fp8: H800 SXM has no FP8 (gpu.peak_fp8)"));
}

TEST(Scenario, StagesHoldTheModelsLayers) {
  EXPECT_THAT(broken("llama-3.1-8b",
                     [](Scenario& s) {
                       s.plan.layers_per_stage = {16, 15};
                     }),
              ElementsAre("plan.layers_per_stage: adds up to 31 layers; model.num_hidden_layers is 32"));
}

TEST(Scenario, LearnedPositionsEnd) {
  EXPECT_THAT(broken("gpt3-175b", [](Scenario& s) { s.training.sequence_length = 4096; }),
              ElementsAre(StartsWith("training.sequence_length: 4096 is more than")));
}

TEST(Scenario, APairIsOfDualPipe) {
  EXPECT_THAT(broken("deepseek-v3",
                     [](Scenario& s) { s.extent = Extent::overlapped_pair, s.pair_layers = 4, s.plan.schedule = ScheduleKind::dualpipe; }),
              IsEmpty());
  EXPECT_THAT(broken("deepseek-v3", [](Scenario& s) { s.extent = Extent::overlapped_pair, s.pair_layers = 4; }),
              ElementsAre(StartsWith("plan.schedule: ")));
  EXPECT_THAT(broken("deepseek-v3", [](Scenario& s) { s.extent = Extent::overlapped_pair, s.plan.schedule = ScheduleKind::dualpipe; }),
              ElementsAre(StartsWith("pair_layers: ")));
  EXPECT_THAT(broken("deepseek-v3", [](Scenario& s) { s.pair_layers = 4; }), ElementsAre(StartsWith("pair_layers: ")));
}

}  // namespace
}  // namespace trillion::scenario_test
