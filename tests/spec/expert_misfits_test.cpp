// Loads of layers and experts that the model does not have are named where they are written.
#include "sim/spec/expert_misfits.h"

#include <fstream>

#include "tests/spec/mistakes.h"

namespace trillion::expert_misfits_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Three layers, of which the first is dense, and one module for multi-token prediction; 4 experts.
Model small_model() {
  Model model;
  model.num_hidden_layers = 3;
  model.num_nextn_predict_layers = 1;
  model.moe.emplace().n_routed_experts = 4;
  model.moe_layers = {false, true, true};
  return model;
}

std::vector<std::string> misfits(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path) << text;
  std::vector<std::string> found;
  for (const Diagnostic& d : expert_misfits(load_expert_counts(path), path, small_model())) found.push_back(place_and_message(d));
  return found;
}

TEST(ExpertMisfits, LayersAndExpertsOfTheModelFit) {
  EXPECT_THAT(misfits("fits.csv", "layer,expert,count\n1,0,5\n2,3,1\n3,0,2\n"), IsEmpty());
}

TEST(ExpertMisfits, TheFirstRowThatDoesNotFitIsNamed) {
  const std::string head = "# log\n\nlayer,expert,count\n1,0,5\n";
  EXPECT_THAT(misfits("expert.csv", head + "# more\n1,4,5\n"), ElementsAre("6:1 expert 4: the model has experts 0 to 3"));
  EXPECT_THAT(misfits("layer.csv", head + "4,0,5\n5,0,5\n"),
              ElementsAre("5:1 layer 4: the model has layers 0 to 3 | 2 rows do not fit the model"));
  EXPECT_THAT(misfits("dense.csv", head + "0,0,5\n"), ElementsAre("5:1 layer 0: has no experts in the model"));
}

TEST(ExpertMisfits, ALayerNeedsTokens) {
  EXPECT_THAT(misfits("tokens.csv", "layer,expert,count\n1,0,5\n2,0,0\n2,1,0\n"), ElementsAre("3:1 layer 2: has no tokens"));
}

TEST(ExpertMisfits, JsonHasPlacesToo) {
  EXPECT_THAT(misfits("loads.json",
                      "{\"loads\": [\n  {\"layer\": 1, \"expert\": 0, \"count\": 7},\n  {\"layer\": 1, \"expert\": 9, \"count\": 7}]}\n"),
              ElementsAre("3:3 expert 9: the model has experts 0 to 3"));
}

}  // namespace
}  // namespace trillion::expert_misfits_test
