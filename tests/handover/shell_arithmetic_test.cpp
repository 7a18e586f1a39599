// Integers as bash counts them, and nothing where bash would stop.
#include "sim/handover/shell_arithmetic.h"

#include <gtest/gtest.h>

namespace trillion::shell_arithmetic_test {
namespace {

std::optional<std::int64_t> of(const std::string& expression) {
  return shell_arithmetic(expression, {{"N", "4"}, {"GPUS_PER_NODE", "8"}, {"TEXT", "x"}});
}

TEST(ShellArithmetic, RanksOperatorsAsUsual) {
  EXPECT_EQ(of("1 + 2 * 3"), 7);
  EXPECT_EQ(of("(1 + 2) * 3"), 9);
  EXPECT_EQ(of("20 / 3 % 4 - 1"), 1);
  EXPECT_EQ(of("-5 + 7"), 2);
  EXPECT_EQ(of("N*GPUS_PER_NODE"), 32);
  EXPECT_EQ(of("$N * ${GPUS_PER_NODE}"), 32);
}

TEST(ShellArithmetic, NothingWhereItCannotBeKnown) {
  for (const char* text : {"", "1 +", "X", "TEXT", "1 / 0", "1 % 0", "(1", "1)", "9223372036854775807 + 1", "2 ** 3", "1.5", "${N"}) {
    EXPECT_EQ(of(text), std::nullopt) << text;
  }
  EXPECT_EQ(of(std::string(1000, '(') + "1" + std::string(1000, ')')), std::nullopt);
}

}  // namespace
}  // namespace trillion::shell_arithmetic_test
