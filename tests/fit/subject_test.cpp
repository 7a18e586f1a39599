// What a profile is of: the files' own GPU or facts.yaml's word; borrowed files have no say.
#include "calibration/fit/subject.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "tests/fit/bench_points.h"

namespace trillion::subject_test {
namespace {

TEST(Subject, IsTheOneGpuThatOwnFilesName) {
  RawFile lent = bench_file("A100");
  lent.borrowed = true;
  const Subject subject = find_subject({bench_file("H100"), lent});
  EXPECT_EQ(subject.gpu, "H100");
  EXPECT_EQ(subject.software, "bench");
  EXPECT_EQ(subject.chip.sms, 132);
}

TEST(Subject, FactsNameItInsteadAndGiveItsChip) {
  RawFile facts;
  facts.facts = Facts{};
  facts.facts->gpu = "Unheard-of 9000";
  facts.facts->chip = find_subject({bench_file()}).chip;
  facts.facts->chip->sms = 7;
  const Subject subject = find_subject({bench_file(), facts});
  EXPECT_EQ(subject.gpu, "Unheard-of 9000");
  EXPECT_EQ(subject.chip.sms, 7);
}

TEST(Subject, NoneOrTwoAreRefused) {
  EXPECT_THROW(find_subject({bench_file("")}), InputError);
  EXPECT_THROW(find_subject({bench_file("H100"), bench_file("A100")}), InputError);
  EXPECT_THROW(find_subject({bench_file("Unheard-of 9000")}), InputError);
  RawFile facts;
  facts.facts = Facts{};
  EXPECT_THROW(find_subject({bench_file(), facts, facts}), InputError);
}

}  // namespace
}  // namespace trillion::subject_test
