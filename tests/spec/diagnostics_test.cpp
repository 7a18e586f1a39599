// Mistakes gathered: thrown together, each file's in the order of its lines, files in the order of their first mistake.
#include "sim/spec/diagnostics.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace trillion::diagnostics_test {
namespace {

TEST(Diagnostics, NothingIsThrownWhereNothingIsWrong) {
  const Diagnostics none;
  EXPECT_TRUE(none.empty());
  EXPECT_NO_THROW(none.throw_if_any());
}

TEST(Diagnostics, ComeInTheOrderOfFilesAndLines) {
  Diagnostics d;
  d.add(Diagnostic{{"b.yaml", 7, 1}, "b7", "", ""});
  d.add(InputError(Diagnostic{{"a.yaml", 2, 1}, "a2", "", ""}));
  d.add(Diagnostic{{"b.yaml", 3, 9}, "b3 9", "", ""});
  d.add(Diagnostic{{"b.yaml", 3, 2}, "b3 2", "", ""});
  ASSERT_EQ(d.size(), 4u);
  std::vector<std::string> messages;
  try {
    d.throw_if_any();
  } catch (const InputError& error) {
    for (const Diagnostic& one : error.diagnostics()) messages.push_back(one.message);
  }
  EXPECT_EQ(messages, (std::vector<std::string>{"b3 2", "b3 9", "b7", "a2"}));
}

}  // namespace
}  // namespace trillion::diagnostics_test
