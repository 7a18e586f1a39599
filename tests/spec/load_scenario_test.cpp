// A scenario and the files it names are read as one: overrides reach every key, mistakes of all files come together.
#include <filesystem>
#include <fstream>

#include "sim/spec/load.h"
#include "tests/fuzz/mutations.h"
#include "tests/spec/example_calibration.h"
#include "tests/spec/mistakes.h"

namespace trillion::load_scenario_test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kSource = TRILLION_SOURCE_DIR;

// The scenario deepseek-v3 in a folder of its own, with an example calibration.
class LoadScenario : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name() / "my-question";
    fs::create_directories(folder_);
    fs::copy_file(kSource / "models/deepseek-v3.yaml", folder_ / "model.yaml", fs::copy_options::overwrite_existing);
    fs::copy_file(kSource / "topologies/h800-2048.yaml", folder_ / "cluster.yaml", fs::copy_options::overwrite_existing);
    write("calibration.yaml", example_calibration_text());
    std::string text = read_whole_file((kSource / "scenarios/deepseek-v3/scenario.yaml").string());
    text = replaced(text, "../../models/deepseek-v3.yaml", "model.yaml");
    text = replaced(text, "../../topologies/h800-2048.yaml", "cluster.yaml");
    text_ = replaced(text, "../../calibration/profiles/h800.yaml", "calibration.yaml");
    write("scenario.yaml", text_);
  }

  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name, std::ios::binary) << text; }
  Scenario load(const Overrides& overrides = {}) const { return load_scenario(folder_.string(), overrides); }
  std::vector<std::string> mistakes(const Overrides& overrides = {}) const {
    std::vector<std::string> found;
    for (const Diagnostic& d : diagnostics_of([&] { load(overrides); }))
      found.push_back(fs::path(d.where.file).filename().string() + ":" + place_and_message(d));
    return found;
  }

  fs::path folder_;
  std::string text_;
};

TEST_F(LoadScenario, AWrittenScheduleLiesBesideTheScenario) {
  write("mine.csv", "0F0,0B0\n");
  write("scenario.yaml", replaced(text_, "  schedule: dualpipe\n", "  schedule_file: mine.csv\n"));
  const Scenario s = load({"training.batch_size_schedule=null"});
  EXPECT_EQ(s.plan.schedule_file->text, "0F0,0B0\n");
  EXPECT_EQ(fs::path(s.plan.schedule_file->path).filename(), "mine.csv");
  EXPECT_THAT(mistakes(), ElementsAre(HasSubstr("a written schedule runs one number of micro-batches")));
  fs::remove(folder_ / "mine.csv");
  EXPECT_THAT(mistakes({"training.batch_size_schedule=null"}), ElementsAre(HasSubstr("'plan.schedule_file': there is no file")));
}

TEST_F(LoadScenario, MeasuredLoadsAreOfTheModelsExperts) {
  write("loads.csv", "layer,expert,count\n3,0,5\n3,256,1\n");
  write("scenario.yaml", replaced(text_, "    balance: loss_free", "    loads: loads.csv\n    balance: measured"));
  EXPECT_THAT(mistakes(), ElementsAre("loads.csv:3:1 expert 256: the model has experts 0 to 255"));
  write("loads.csv", "layer,expert,count\n3,0,5\n3,255,1\n");
  EXPECT_EQ(load().training.routing.loads.size(), 2u);
}

TEST_F(LoadScenario, FolderAndFileAreTheSame) {
  for (const fs::path& path : {folder_, folder_ / "scenario.yaml", folder_ / ""}) {
    const Scenario s = load_scenario(path.string());
    EXPECT_EQ(s.name, "my-question");
    EXPECT_EQ(s.model.name, "DeepSeek-V3");
    EXPECT_EQ(s.cluster.gpus(), 2048);
    EXPECT_EQ(s.plan.schedule, ScheduleKind::dualpipe);
    EXPECT_EQ(s.training.batch_size_schedule->to, 15360);
    EXPECT_EQ(s.extent, Extent::step);
    EXPECT_EQ(fs::path(s.model_file).filename(), "model.yaml");
  }
}

TEST_F(LoadScenario, ABaseStandsWhereTheScenarioSaysNothing) {
  fs::create_directories(folder_ / "variants");
  write("variants/limit.yaml", "base: ..\nmodel: {topk_group: 2}\n");
  write("variants/both.yaml", "base: limit.yaml\nquestion: Both?\nplan:\n  schedule: zb-h1\ntraining: {routing: {balance: forced}}\n");
  const Scenario s = load_scenario((folder_ / "variants/both.yaml").string());
  EXPECT_EQ(s.name, "both");
  EXPECT_EQ(s.question, "Both?");
  EXPECT_EQ(s.model.name, "DeepSeek-V3") << "named by the base of the base, relative to it";
  EXPECT_EQ(s.model.moe->topk_group, 2);
  EXPECT_EQ(s.plan.schedule, ScheduleKind::zb_h1);
  EXPECT_EQ(s.plan.expert_parallel, 64);
  EXPECT_EQ(s.training.routing.balance, Balance::forced);
  EXPECT_EQ(s.training.global_batch_size, 15360);
  EXPECT_EQ(load_scenario((folder_ / "variants/both.yaml").string(), {"model.topk_group=1"}).model.moe->topk_group, 1);
  EXPECT_EQ(kind_of_file((folder_ / "variants/limit.yaml").string()), InputKind::scenario);
}

TEST_F(LoadScenario, MistakesInABaseHaveItsPlace) {
  const auto mistakes_of = [&](const char* text) {
    write("variant.yaml", text);
    std::vector<std::string> found;
    for (const Diagnostic& d : diagnostics_of([&] { load_scenario((folder_ / "variant.yaml").string()); }))
      found.push_back(fs::path(d.where.file).filename().string() + ":" + place_and_message(d));
    return found;
  };
  EXPECT_THAT(mistakes_of("base: nowhere.yaml\n"), ElementsAre(HasSubstr("variant.yaml:1:7 'base': there is no file")));
  EXPECT_THAT(mistakes_of("base: variant.yaml\n"), ElementsAre(HasSubstr("more than 16 scenarios")));
  EXPECT_THAT(mistakes_of("base: [scenario.yaml]\n"), ElementsAre(HasSubstr("expected a scenario's file or folder")));
  EXPECT_THAT(mistakes_of("base: scenario.yaml\nplan:\n  shedule: 1f1b\n"), ElementsAre(HasSubstr("variant.yaml:3:3")));
  write("scenario.yaml", replaced(text_, "pipeline_parallel: 16", "pipeline_parallel: two"));
  EXPECT_THAT(mistakes_of("base: scenario.yaml\n"), ElementsAre(HasSubstr("scenario.yaml:")));
}

TEST_F(LoadScenario, OverridesReachEveryFile) {
  const Scenario s =
      load({"plan.schedule=1f1b", "cluster.nodes=128", "cluster.gpu.memory=96 GiB", "model.num_hidden_layers=30", "model.name=Smaller",
            "training.batch_size_schedule=", "plan.recompute=[norm]", "calibration.stack.kernel_gap.value=2 us"});
  EXPECT_EQ(s.plan.schedule, ScheduleKind::one_f_one_b);
  EXPECT_EQ(s.cluster.gpus(), 1024);
  EXPECT_EQ(s.cluster.gpu.memory, 96 * kGiB);
  EXPECT_EQ(s.model.num_hidden_layers, 30);
  EXPECT_EQ(s.model.name, "Smaller");
  EXPECT_FALSE(s.training.batch_size_schedule);
  EXPECT_THAT(s.plan.recompute, ElementsAre(RecomputeModule::norm));
  EXPECT_EQ(s.calibration.stack.kernel_gap.value, Seconds{2e-6});
  EXPECT_EQ(load({"model=" + (kSource / "models/llama-3.1-8b.yaml").string(), "plan.expert_parallel=1", "plan.recompute=none"}).model.name,
            "Llama-3.1-8B");
}

TEST(LoadScenarioShipped, TheClustersPowerLimitHolds) {
  const Scenario s = load_scenario((kSource / "scenarios/torchtitan-llama-3").string());
  ASSERT_TRUE(s.calibration.power.known());
  EXPECT_EQ(s.calibration.power.limit, Watts{500});
}

TEST_F(LoadScenario, SelectiveRecomputationIsTheStacks) {
  EXPECT_THAT(load({"plan.recompute=selective"}).plan.recompute, ElementsAre(RecomputeModule::norm, RecomputeModule::activation));
  EXPECT_THAT(load({"plan.recompute=selective", "calibration.stack.unfused.value=[attention]"}).plan.recompute,
              ElementsAre(RecomputeModule::attention));
  EXPECT_THAT(mistakes({"plan.context_parallel=2", "calibration.stack.unfused.value=[attention]"}),
              Contains(HasSubstr("does not split the sequence")));
  EXPECT_THAT(mistakes({"calibration.stack.unfused.value=[norm]"}), ElementsAre(AllOf(HasSubstr("found 'norm'"), HasSubstr("rms_norm"))));
}

TEST_F(LoadScenario, OverridesOfUnknownKeysNameTheNearest) {
  EXPECT_THAT(mistakes({"plan.tensor_paralel=8"}),
              ElementsAre(HasSubstr("unknown key 'plan.tensor_paralel' | did you mean 'tensor_parallel'?")));
  EXPECT_THAT(mistakes({"pln.tensor_parallel=8"}), ElementsAre(HasSubstr("unknown key 'pln' | did you mean 'plan'?")));
  EXPECT_THAT(mistakes({"cluster.nods=8"}), ElementsAre(HasSubstr("unknown key 'nods' | did you mean 'nodes'?")));
  EXPECT_THAT(mistakes({"model.hiden_size=8"}), ElementsAre(HasSubstr("unknown key 'hiden_size' | did you mean 'hidden_size'?")));
  EXPECT_THAT(mistakes({"cluster.nodes.x=8"}), ElementsAre(HasSubstr("'nodes' has no keys of its own")));
  const auto found = diagnostics_of([&] { load({"cluster.nodes=many"}); });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].where.file, "--set cluster.nodes=many");
}

TEST_F(LoadScenario, MistakesOfAllFilesComeTogether) {
  write("scenario.yaml", replaced(text_, "micro_batch_size: 1", "micro_batch_size: one"));
  write("model.yaml", replaced(read_whole_file((folder_ / "model.yaml").string()), "n_group: 8", "n_grop: 8"));
  write("cluster.yaml", replaced(read_whole_file((folder_ / "cluster.yaml").string()), "400 Gbps", "400"));
  EXPECT_THAT(mistakes(), testing::UnorderedElementsAre(HasSubstr("scenario.yaml:21:21 'plan.micro_batch_size': expected a whole number"),
                                                        HasSubstr("model.yaml:26:1 unknown key 'n_grop'"),
                                                        HasSubstr("'scale_out.nic_bandwidth': '400' has no unit")));
}

TEST_F(LoadScenario, AMissingFileIsSaidWhereItIsNamed) {
  write("scenario.yaml", replaced(text_, "model: model.yaml", "model: modell.yaml"));
  EXPECT_THAT(mistakes(), ElementsAre(HasSubstr("scenario.yaml:2:8 'model': there is no file")));
  EXPECT_THAT(mistakes_of([] { load_scenario("/nowhere/at/all"); }), ElementsAre(HasSubstr("no such file")));
}

TEST_F(LoadScenario, PartsMayBeInlineOrChangedCopies) {
  write("scenario.yaml", replaced(text_, "cluster: cluster.yaml", "cluster: {base: cluster.yaml, nodes: 64, gpu: {power_limit: 500 W}}"));
  Scenario s = load({"cluster.name=half"});
  EXPECT_EQ(s.cluster.nodes, 64);
  EXPECT_EQ(s.cluster.name, "half");
  EXPECT_EQ(s.cluster.gpu.power_limit, Watts{500});
  EXPECT_EQ(s.cluster.gpu.sms, 132);
  write("scenario.yaml", replaced(text_, "cluster: cluster.yaml", "cluster: {base: cluster.yaml, nods: 64}"));
  EXPECT_THAT(mistakes(), ElementsAre(HasSubstr("scenario.yaml:3:31 unknown key 'nods' | did you mean 'nodes'?")));
  write("scenario.yaml", replaced(text_, "cluster: cluster.yaml", "cluster: {base: cluster.yaml, nodes: -1, nodes: 2}"));
  EXPECT_THAT(mistakes(), ElementsAre(HasSubstr("scenario.yaml:3:38 'nodes': must be at least 1"), HasSubstr("duplicate key 'nodes'")));
  std::string inline_model = "model:\n";
  std::istringstream lines(read_whole_file((folder_ / "model.yaml").string()));
  for (std::string line; std::getline(lines, line);) inline_model += "  " + line + "\n";
  write("scenario.yaml", replaced(text_, "model: model.yaml\n", inline_model));
  s = load({"model.num_hidden_layers=30"});
  EXPECT_EQ(s.model.num_hidden_layers, 30);
  EXPECT_EQ(s.model_file, "inline");
}

TEST_F(LoadScenario, ContradictionsBetweenPartsHavePlaces) {
  EXPECT_THAT(mistakes({"plan.layers_per_stage=[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"}),
              ElementsAre(HasSubstr("'plan.layers_per_stage': adds up to 16 layers")));
  EXPECT_THAT(mistakes({"extent=overlapped_pair", "pair_layers=4", "plan.schedule=1f1b"}),
              ElementsAre(HasSubstr("'plan.schedule': extent: overlapped_pair")));
  EXPECT_THAT(mistakes({"pair_layers=4"}), ElementsAre(HasSubstr("'pair_layers': belongs to extent: overlapped_pair")));
}

TEST_F(LoadScenario, WhatIsTakenForGrantedIsListed) {
  const Scenario s = load();
  EXPECT_THAT(s.defaults, Contains("plan.virtual_pipeline_stages: 1"));
  EXPECT_THAT(s.defaults, Contains("plan.expert_placement: contiguous"));
  EXPECT_THAT(s.defaults, Contains("training.routing.popularity_skew: 0.6"));
  EXPECT_THAT(s.defaults, Contains("extent: step"));
}

TEST_F(LoadScenario, MutilatedScenariosNeverCrash) {
  EXPECT_GT(mutilate(text_, 100), 0);
  EXPECT_GT(mutilate(read_whole_file((folder_ / "calibration.yaml").string()), 100), 0);
}

TEST(LoadScenarioShipped, ScenariosNameFilesThatExist) {
  for (const fs::path& path : files_below(kSource / "scenarios", {".yaml"})) {
    if (path.filename() != "scenario.yaml") continue;
    for (const std::string& mistake : mistakes_of([&] { load_scenario(path.string()); })) ADD_FAILURE() << path << ": " << mistake;
    EXPECT_TRUE(fs::exists(path.parent_path() / "README.md")) << path;
  }
}

TEST(LoadScenarioShipped, FilesAreToldApart) {
  EXPECT_EQ(kind_of_file((kSource / "models/deepseek-v3.yaml").string()), InputKind::model);
  EXPECT_EQ(kind_of_file((kSource / "topologies/h800-2048.yaml").string()), InputKind::cluster);
  EXPECT_EQ(kind_of_file((kSource / "scenarios/deepseek-v3/scenario.yaml").string()), InputKind::scenario);
  EXPECT_EQ(kind_of_file((kSource / "scenarios/expert-balancing/loss-free.yaml").string()), InputKind::scenario);  // its base only
  EXPECT_EQ(kind_of_file((kSource / "scenarios/deepseek-v3/expected.yaml").string()), InputKind::expected);
}

}  // namespace
}  // namespace trillion::load_scenario_test
