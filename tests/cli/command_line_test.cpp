// Words on the command line:
//   an unknown verb or option is exit 2, on standard error, with the nearest word, and nothing on standard output
//   --help has examples and a glossary; every verb has its own
#include "sim/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/support/session.h"

namespace trillion::command_line_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

void expect_refused(const std::vector<std::string>& words, const std::string& because) {
  const Ended ended = trillion_with(words);
  EXPECT_EQ(ended.code, kExitBadInput) << ended.err;
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, HasSubstr(because));
}

TEST(CommandLine, UnknownVerbsNameTheNearest) {
  expect_refused({"simulat", "x"}, "unknown verb 'simulat'\n    did you mean 'simulate'?");
  expect_refused({"Validate"}, "did you mean 'validate'?");
  expect_refused({"zebra"}, "known are simulate, plan, compare, explain, validate, time, calibrate, check");
}

TEST(CommandLine, UnknownOptionsNameTheNearest) {
  expect_refused({"simulate", "x", "--jsn", "-"}, "unknown option '--jsn' of trillion simulate\n    did you mean '--json'?");
  expect_refused({"simulate", "x", "--output=a", "--fidelty=full"}, "did you mean '--fidelity'?");
  expect_refused({"simulate", "--otput", "dir"}, "did you mean '--output'?");
  expect_refused({"time", "x", "--calibraton", "y"}, "did you mean '--calibration'?");
  expect_refused({"check", "x", "--json", "-"}, "unknown option '--json' of trillion check");
}

TEST(CommandLine, WhatIsMissingOrTooMuchIsSaid) {
  expect_refused({}, "no verb");
  expect_refused({"simulate"}, "scenario is required");
  expect_refused({"simulate", "a", "b"}, "'b' is one argument too many");
  expect_refused({"time", "shapes.jsonl"}, "--calibration is required");
  expect_refused({"--json", "-", "simulate", "x"}, "option '--json' before the verb");
}

TEST(CommandLine, ValuesAreChecked) {
  expect_refused({"simulate", "x", "--seed", "abc"}, "--seed");
  expect_refused({"simulate", "x", "--seed", "-1"}, "--seed");
  expect_refused({"simulate", "x", "--threads", "1.5"}, "--threads");
  expect_refused({"simulate", "x", "--fidelity", "half"}, "--fidelity");
  expect_refused({"simulate", "x", "--set"}, "--set");
}

TEST(CommandLine, HelpHasExamplesAndAGlossary) {
  const Ended ended = trillion_with({"--help"});
  EXPECT_EQ(ended.code, kExitDone);
  EXPECT_THAT(ended.out, AllOf(HasSubstr("trillion simulate scenarios/deepseek-v3"), HasSubstr("Glossary:"), HasSubstr("MFU"),
                               HasSubstr("Exit codes")));
  EXPECT_EQ(ended.err, "");
}

TEST(CommandLine, EveryVerbExplainsItself) {
  for (const char* verb : {"simulate", "compare", "validate", "time", "calibrate", "check"}) {
    const Ended ended = trillion_with({verb, "--help"});
    EXPECT_EQ(ended.code, kExitDone) << verb;
    EXPECT_THAT(ended.out, HasSubstr(std::string("trillion ") + verb)) << verb;
  }
}

TEST(CommandLine, VersionIsOneLine) {
  const Ended ended = trillion_with({"--version"});
  EXPECT_EQ(ended.code, kExitDone);
  EXPECT_EQ(ended.out, "trillion 0.1.0\n");
}

TEST(CommandLine, AFullDiskBehindStandardOutputIsNoSuccess) {
  std::istringstream in;
  std::ostringstream out, err;
  out.setstate(std::ios::badbit);
  const Streams streams{in, out, err, {}, {}, false, false, "."};
  EXPECT_EQ(run_command_line({"--version"}, streams), kExitBadInput);
  EXPECT_THAT(err.str(), HasSubstr("cannot write standard output"));
}

}  // namespace
}  // namespace trillion::command_line_test
