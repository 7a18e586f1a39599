// A reader of flags: what was asked for, what it was, and what was wrong with it and where.
#include "sim/handover/flag_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::flag_reader_test {
namespace {

using testing::HasSubstr;

TEST(FlagReader, ReadsAndRemembers) {
  const GivenFlags given = flags_of_script("--n 4 --n 8 --on --words a b --t x --factor -1.25", "f");
  FlagReader r(given);
  EXPECT_EQ(r.integer("--n"), 8) << "the later one holds";
  EXPECT_EQ(r.integer("--absent"), std::nullopt);
  EXPECT_EQ(r.integer_or("--absent", 3), 3);
  EXPECT_TRUE(r.has("--on"));
  EXPECT_FALSE(r.has("--off"));
  EXPECT_EQ(r.words("--words").size(), 2u);
  EXPECT_EQ(r.text("--t"), "x");
  EXPECT_EQ(r.number("--factor"), -1.25);
  EXPECT_EQ(r.number("--absent"), std::nullopt);
  static constexpr std::array<std::pair<int, std::string_view>, 2> kWords = {{{1, "x"}, {2, "y"}}};
  EXPECT_EQ(r.choice("--t", kWords), 1);
  EXPECT_TRUE(r.diagnostics().empty());
  EXPECT_TRUE(r.asked().contains("--off"));
}

TEST(FlagReader, SaysWhatIsWrongAndWhere) {
  const GivenFlags given =
      flags_of_script("--none --two 1 2 --word abc --low 0 --huge 99999999999999999999 --on 1 --unset $X --kind yy --share nan", "f");
  FlagReader r(given);
  static constexpr std::array<std::pair<int, std::string_view>, 1> kWords = {{{1, "yes"}}};
  r.integer("--none");
  r.integer("--two");
  r.integer("--word");
  r.integer("--low");
  r.integer("--huge");
  r.has("--on");
  r.integer("--unset");
  r.choice("--kind", kWords);
  r.number("--share");
  const std::vector<std::string> expected = {"none follows",    "takes one value", "whole number, found 'abc'",
                                             "at least 1",      "whole number",    "is a switch",
                                             "does not settle", "not one of yes",  "takes a number, found 'nan'"};
  ASSERT_EQ(r.diagnostics().size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_THAT(r.diagnostics()[i].message, HasSubstr(expected[i]));
    EXPECT_EQ(r.diagnostics()[i].where.line, 1);
    EXPECT_GT(r.diagnostics()[i].where.column, 0);
  }
}

TEST(FlagReader, WhatDependsOnTheRunIsNoValue) {
  const GivenFlags given = flags_of_script("if x; then\n A=(--n 4)\nfi\npython t.py ${A[@]}", "f");
  FlagReader r(given);
  r.integer("--n");
  r.integer("--n");
  ASSERT_EQ(r.diagnostics().size(), 1u) << "said once";
  EXPECT_EQ(r.diagnostics().front().where.line, 2);
}

}  // namespace
}  // namespace trillion::flag_reader_test
