// expected.yaml: figures of the scenario as it stands, or cases that set some keys otherwise; what a figure leaves out is the
// file's default.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sim/spec/load.h"
#include "tests/spec/mistakes.h"

namespace trillion::load_expected_test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kSource = TRILLION_SOURCE_DIR;

class LoadExpected : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  std::string file(const std::string& text) const {
    std::ofstream(folder_ / "expected.yaml") << text;
    return (folder_ / "expected.yaml").string();
  }
  Expected load(const std::string& text) const { return load_expected(file(text)); }
  std::vector<std::string> mistakes(const std::string& text) const {
    return mistakes_of([&] { load(text); });
  }

  fs::path folder_ = fs::temp_directory_path() / ("trillion-expected-" + std::to_string(::getpid()));
};

TEST_F(LoadExpected, ACaseIsFiguresAndWhatIsSet) {
  const Expected expected = load(
      "defaults: {quantity: step.time_s, tolerance: 0.1, origin: paper, source: the paper}\n"
      "cases:\n"
      "  - {name: small, set: [plan.tensor_parallel=2, cluster.nodes=1], published: 1.42}\n"
      "  - name: large\n"
      "    known_gap: no overlap\n"
      "    published: 3\n"
      "    tolerance: 0.2\n"
      "  - name: both\n"
      "    figures:\n"
      "      - {published: 4}\n"
      "      - {quantity: memory.peak_bytes, published: 5, origin: vendor, source: a sheet}\n");
  ASSERT_EQ(expected.size(), 3u);
  EXPECT_EQ(expected[0].name, "small");
  EXPECT_THAT(expected[0].set, ElementsAre("plan.tensor_parallel=2", "cluster.nodes=1"));
  EXPECT_EQ(expected[0].figures.at(0).quantity, "step.time_s");
  EXPECT_EQ(expected[0].figures.at(0).tolerance, 0.1);
  EXPECT_EQ(expected[0].figures.at(0).provenance.source, "the paper");
  EXPECT_EQ(expected[1].figures.at(0).known_gap, "no overlap");
  EXPECT_EQ(expected[1].figures.at(0).tolerance, 0.2);
  EXPECT_EQ(expected[2].figures.at(1).provenance.origin, Origin::vendor);
}

TEST_F(LoadExpected, WhatIsMissingOrTwiceIsSaid) {
  EXPECT_THAT(mistakes("cases:\n  - {name: a, published: 1}\n"), testing::Contains(HasSubstr("quantity")));
  EXPECT_THAT(mistakes("defaults: {quantity: q, tolerance: 0.1, origin: paper, source: s}\n"
                       "cases:\n  - {name: a, published: 1}\n  - {name: a, published: 2}\n"),
              ElementsAre(HasSubstr("'a' names two cases")));
  EXPECT_THAT(mistakes("figures:\n  - {quantity: q, published: 0, tolerance: 2, origin: paper, source: s}\n"),
              testing::UnorderedElementsAre(HasSubstr("must not be zero"), HasSubstr("between 0 and 1")));
  EXPECT_THAT(mistakes("defaults: {tolerance: 0.1}\n"), ElementsAre(HasSubstr("no published figure")));
}

TEST(LoadExpectedShipped, FiguresLoad) {
  const Expected v3 = load_expected((kSource / "scenarios/deepseek-v3").string());
  ASSERT_EQ(v3.size(), 1u);
  ASSERT_EQ(v3[0].figures.size(), 2u);
  EXPECT_EQ(v3[0].figures[0].quantity, "answer.gpu_hours_per_trillion_tokens");
  EXPECT_EQ(v3[0].figures[0].published, 180e3);
  EXPECT_EQ(v3[0].figures[1].published, 2664e3);
  EXPECT_TRUE(has_expected((kSource / "scenarios/deepseek-v3").string()));
  EXPECT_FALSE(has_expected((kSource / "models").string()));
}

TEST(LoadExpectedShipped, EveryCaseIsAScenarioThatLoads) {
  for (const auto& entry : fs::directory_iterator(kSource / "scenarios")) {
    if (!has_expected(entry.path().string())) continue;
    for (const ExpectedCase& c : load_expected(entry.path().string())) {
      for (const std::string& mistake : mistakes_of([&] { load_scenario(entry.path().string(), c.set); })) {
        ADD_FAILURE() << entry.path() << ", case '" << c.name << "': " << mistake;
      }
    }
  }
}

}  // namespace
}  // namespace trillion::load_expected_test
