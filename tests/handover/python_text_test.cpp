// Values as Python writes them.
#include "sim/handover/python_text.h"

#include <gtest/gtest.h>

namespace trillion::python_text_test {
namespace {

TEST(PythonText, Values) {
  EXPECT_EQ(python_bool(true) + python_bool(false), "TrueFalse");
  EXPECT_EQ(python_text("a\"b\\c\nd"), "\"a\\\"b\\\\c\\nd\"");
  EXPECT_EQ(python_list({"a", "b"}), "[\"a\", \"b\"]");
  EXPECT_EQ(python_list({}), "[]");
  Settings s;
  s.add("model.tp", 8).turn("x.on", true).raw("y", "None");
  EXPECT_EQ(python_assignments(s, "cfg"), "    cfg.model.tp = 8\n    cfg.x.on = True\n    cfg.y = None\n");
}

}  // namespace
}  // namespace trillion::python_text_test
