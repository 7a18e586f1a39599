// The grammar. The algebra first:
//   parse(text(s)) = s for every schedule, and text(parse(t)) = t for every t that text() could have written;
//   idle cells, spaces, carriage returns, blank lines and PyTorch's pair suffix change nothing;
//   whatever else is written is an InputError with line and column, never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/workload/schedule.h"

namespace trillion::schedule_text_test {
namespace {

using testing::HasSubstr;

Diagnostic error_of(std::string_view text) {
  try {
    parse_schedule(text, "orders.csv");
  } catch (const InputError& error) {
    return error.diagnostics().at(0);
  }
  ADD_FAILURE() << "accepted: " << text;
  return {};
}

void expect_error(std::string_view text, int line, int column, const std::string& message) {
  const Diagnostic found = error_of(text);
  EXPECT_EQ(found.where.file, "orders.csv");
  EXPECT_EQ(found.where.line, line) << text;
  EXPECT_EQ(found.where.column, column) << text;
  EXPECT_THAT(found.message, HasSubstr(message)) << text;
  EXPECT_FALSE(found.hint.empty()) << text;
}

TEST(ScheduleTextTest, ActionsReadAsPyTorchWritesThem) {
  EXPECT_EQ(to_text(Action{{ActionKind::forward, 2, 0}, {}}), "2F0");
  EXPECT_EQ(to_text(Action{{ActionKind::backward, 12, 34}, {}}), "12B34");
  EXPECT_EQ(to_text(Action{{ActionKind::input_gradient, 0, 7}, {}}), "0I7");
  EXPECT_EQ(to_text(Action{{ActionKind::weight_gradient, 0, 7}, {}}), "0W7");
  EXPECT_EQ(to_text(Action{{ActionKind::forward, 1, 3}, Pass{ActionKind::backward, 2, 0}}), "(1F3;2B0)");
}

TEST(ScheduleTextTest, CsvOfPyTorchReadsAsItIs) {
  const std::string plain = "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n";
  const PipelineSchedule schedule = parse_schedule(plain);
  EXPECT_EQ(schedule.stages, 2);
  EXPECT_EQ(schedule.micro_batches, 2);
  EXPECT_EQ(to_text(schedule), plain);
  EXPECT_EQ(parse_schedule("0F0,0F1,,,0B0,,0B1\r\n,1F0,1B0,1F1,1B1,,\r\n"), schedule);
  EXPECT_EQ(parse_schedule("\n  0F0 , 0F1,0B0,0B1\n\n\t1F0,1B0,\"1F1\",1B1"), schedule);
  EXPECT_EQ(parse_schedule("0F0,0F1,(0F2;0B0)OVERLAP_F_B,0B1,0B2"), parse_schedule("0F0,0F1,( 0F2 ; 0B0 ),0B1,0B2"));
}

TEST(ScheduleTextTest, MistakesAreShownWhereTheyAre) {
  expect_error("", 0, 0, "no action");
  expect_error(" \n\t\n", 0, 0, "no action");
  expect_error("0F0,0B0\n,,\n", 2, 1, "this rank has no action");
  expect_error("0F0,0X0", 1, 6, "unknown kind of action 'X'");
  expect_error("0F0\n0SEND_F0", 2, 2, "unknown kind of action 'SEND_F'");
  expect_error("0F0,f", 1, 5, "not an action");
  expect_error("0F0,0B", 1, 5, "not an action");
  expect_error("0F0,0", 1, 5, "not an action");
  expect_error("0F0,-1B0", 1, 5, "not an action");
  expect_error("0F0 0B0", 1, 5, "expected a comma");
  expect_error("0F99999999999", 1, 3, "number too large");
  expect_error("0F1000000", 1, 3, "number too large");
  expect_error("(0F0,0B0)", 1, 5, "expected ';'");
  expect_error("(0F0;0B0", 1, 9, "expected ')'");
  expect_error("(0B0;0F1)", 1, 2, "a forward and a whole backward");
  expect_error("0F1,(0F0;0I1)", 1, 6, "a forward and a whole backward");
}

TEST(ScheduleTextTest, EveryPassOnceAndNoneMissing) {
  expect_error("0F0,0B0,0F0", 1, 9, "0F0 is scheduled twice");
  expect_error("0F0,0B0\n0B0", 2, 1, "0B0 is scheduled twice");
  expect_error("0F0,0I0", 1, 1, "0W0 is missing");
  expect_error("0F0,0W0", 1, 1, "0I0 is missing");
  expect_error("0F0", 1, 1, "0B0 is missing");
  expect_error("0F0,0F1,0B1", 1, 1, "0B0 is missing");
  expect_error("0F1,0B1", 1, 1, "0F0 is missing");
  expect_error("0F0,1F0,0B0", 1, 5, "1B0 is missing");
  expect_error("0F0,0B0,7F0", 1, 9, "1F0 is missing");
  expect_error("0F0,0B0,999999F999999", 1, 9, "1F0 is missing");
  expect_error("0F0,0B0,0I0", 1, 1, "0B0 already contains the split backward");
}

TEST(ScheduleTextPropertyTest, DamagedTextIsReadOrRefusedNeverWorse) {
  const std::uint64_t seed = 20250403;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Random random(seed, 0);
  std::uint64_t draw = 0;
  const std::string alphabet = "0123456789FBIW(;),\n \r\tx\"-";
  const std::string intact = to_text(make_schedule(ScheduleKind::dualpipe_v, 2, 4, 1));
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = intact;
    const auto edits = 1 + random.bits(draw++) % 3;
    for (std::uint64_t edit = 0; edit < edits; ++edit) {
      const std::size_t at = random.bits(draw++) % text.size();
      const char letter = alphabet[random.bits(draw++) % alphabet.size()];
      switch (random.bits(draw++) % 3) {
        case 0: text[at] = letter; break;
        case 1: text.insert(at, 1, letter); break;
        default: text.erase(at, 1);
      }
    }
    try {
      const PipelineSchedule schedule = parse_schedule(text);
      EXPECT_EQ(parse_schedule(to_text(schedule)), schedule);
      find_deadlock(schedule);
    } catch (const InputError& error) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_LT(refused, 3000);
}

}  // namespace
}  // namespace trillion::schedule_text_test
