#include "sim/base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::error_test {
namespace {

using testing::HasSubstr;

TEST(Error, ADiagnosticShowsPlaceLineCaretAndHint) {
  const Diagnostic d{{"a.yaml", 3, 7}, "expected a number", "size: many", "write 8"};
  EXPECT_EQ(to_text(d), "a.yaml:3:7: error: expected a number\n    size: many\n          ^\n    write 8");
}

TEST(Error, WhatIsUnknownIsLeftOut) {
  EXPECT_EQ(to_text({{"--set a=b", 0, 0}, "unknown key", "", ""}), "--set a=b: error: unknown key");
  EXPECT_EQ(to_text({{}, "nothing to do", "", ""}), "error: nothing to do");
}

TEST(Error, TheCaretKeepsTabs) { EXPECT_THAT(to_text({{"a", 1, 3}, "m", "\tx y", ""}), HasSubstr("    \tx y\n    \t ^")); }

TEST(Error, InputErrorCarriesAllDiagnostics) {
  const InputError error(std::vector<Diagnostic>{{{"a", 1, 1}, "first", "", ""}, {{"a", 2, 1}, "second", "", ""}});
  EXPECT_EQ(error.diagnostics().size(), 2u);
  EXPECT_STREQ(error.what(), "a:1:1: error: first\na:2:1: error: second");
  EXPECT_EQ(InputError("alone").diagnostics().at(0).message, "alone");
}

TEST(Error, CheckThrowsWithItsCondition) {
  const auto message = [](bool holds) -> std::string {
    try {
      CHECK(holds, "because");
    } catch (const InternalError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(message(true), "");
  EXPECT_THAT(message(false), HasSubstr("error_test.cpp"));
  EXPECT_THAT(message(false), HasSubstr("check failed: holds (because)"));
  EXPECT_THROW(CHECK(1 > 2), InternalError);
}

}  // namespace
}  // namespace trillion::error_test
