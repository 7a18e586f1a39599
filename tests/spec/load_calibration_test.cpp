// Profiles as files: every shipped one loads and is valid, every number has a source, mistakes are located.
#include "sim/spec/load_calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace trillion::load_calibration_test {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

std::string read_all(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

Calibration read_text(const std::string& text) {
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(YamlDocument::from_text(text, "profile.yaml"), diagnostics);
  Calibration calibration = read_calibration(reader);
  reader.finish();
  diagnostics.throw_if_any();
  return calibration;
}

std::string mistakes(const std::string& text) {
  try {
    read_text(text);
  } catch (const InputError& error) {
    std::string all;
    for (const auto& diagnostic : error.diagnostics()) all += to_text(diagnostic) + "\n";
    return all;
  }
  return "accepted";
}

std::vector<fs::path> shipped() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(TRILLION_SOURCE_DIR) / "calibration/profiles")) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Profiles, EveryShippedOneLoadsAndIsWrittenAsItIs) {
  ASSERT_FALSE(shipped().empty());
  for (const auto& file : shipped()) {
    const Calibration calibration = load_calibration(file.string());
    EXPECT_THAT(calibration.validate(), testing::IsEmpty()) << file;
    // A file of changes is a person's.
    if (YamlDocument::from_file(file.string()).root().find("base") != nullptr) continue;
    EXPECT_EQ(calibration_text(calibration), read_all(file)) << file << ": not as `trillion calibrate` writes it";
  }
}

TEST(Profiles, EveryNumberOfAShippedOneHasASource) {
  for (const auto& file : shipped()) {
    const Calibration calibration = load_calibration(file.string());
    for (const auto& info : calibration.curves()) {
      EXPECT_FALSE(info.provenance.source.empty()) << file << ": " << info.name;
      EXPECT_GT(info.residuals.p90, 0) << file << ": " << info.name << " claims to be exact";
    }
    for_each_figure(calibration.stack,
                    [&](const char* name, const auto& figure) { EXPECT_FALSE(figure.provenance.source.empty()) << file << ": " << name; });
  }
}

// A stack on a GPU that is measured already: its own figures over the GPU's curves; what is wrong with it has its own place.
TEST(Profiles, AFileOfChangesLiesOverItsBase) {
  const fs::path folder = fs::path(testing::TempDir()) / "changes";
  fs::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(folder / name) << text; };
  write("gpu.yaml", read_all(fs::path(TRILLION_SOURCE_DIR) / "calibration/profiles/h100.yaml"));
  write("stack.yaml", "base: gpu.yaml\nstack:\n  framework: {value: torch-eager, origin: assumed, source: a test}\n");
  const Calibration base = load_calibration((folder / "gpu.yaml").string()), stack = load_calibration((folder / "stack.yaml").string());
  EXPECT_EQ(base.stack.framework.value, Framework::fused);
  EXPECT_EQ(stack.stack.framework.value, Framework::torch_eager);
  EXPECT_EQ(stack.gemms.size(), base.gemms.size());
  EXPECT_EQ(stack.stack.host_product.value, base.stack.host_product.value);

  const auto wrong = [&](const std::string& text) -> std::string {
    write("wrong.yaml", text);
    try {
      load_calibration((folder / "wrong.yaml").string());
    } catch (const InputError& error) {
      return to_text(error.diagnostics().front());
    }
    return "accepted";
  };
  EXPECT_THAT(wrong("base: gpus.yaml\n"), HasSubstr("wrong.yaml:1:7"));
  EXPECT_THAT(wrong("base: stack.yaml\n"), HasSubstr("has a base of its own"));
  EXPECT_THAT(wrong("base: gpu.yaml\nstack:\n  framework: {value: torch-eagre}\n"), HasSubstr("did you mean 'torch-eager'?"));
}

TEST(Profiles, MistakesAreLocatedAndShownTogether) {
  const std::string good = read_all(std::filesystem::path(TRILLION_SOURCE_DIR) / "calibration/profiles/h800.yaml");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_EQ(mistakes(good), "accepted");
  EXPECT_THAT(mistakes(with("kernel_gap:", "kernel_gpa:")), HasSubstr("kernel_gap"));
  EXPECT_THAT(mistakes(with("    dtype", "    dtpye")), HasSubstr("dtype"));
  EXPECT_THAT(mistakes(with("sm_rate: ", "sm_rate: -")), HasSubstr("sm_rate"));
  EXPECT_THAT(mistakes(with("origin: ", "origin: somewhere-")), HasSubstr("origin"));
}

TEST(Profiles, OverridesReachFigures) {
  const Calibration c = load_calibration(shipped().front().string(), {"stack.kernel_gap.value=7 us"});
  EXPECT_DOUBLE_EQ(c.stack.kernel_gap.value.value(), 7e-6);
}

}  // namespace
}  // namespace trillion::load_calibration_test
