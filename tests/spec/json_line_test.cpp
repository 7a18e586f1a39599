// JSON lines: strict where libraries are lenient.
#include "sim/spec/json_line.h"

#include <gtest/gtest.h>

namespace trillion::json_line_test {
namespace {

TEST(JsonLine, RejectsWhatLibrariesLetPass) {
  const auto parse = [](const std::string& text) { return parse_json_line(text, {"f", 1, 1}); };
  EXPECT_EQ(parse(R"({"a":"x\"\\\u00e9\n","b":[1,-2.5e3],"c":true})").find("a")->text, "x\"\\\xC3\xA9\n");
  for (const char* bad : {R"({"a":1,"a":2})", R"({"a":NaN})", R"({"a":1} x)", R"({"a":01})", R"({"a":})", R"({"a")", R"({"a":"x)", R"([1])",
                          "", R"({"a":1e999})", R"({'a':1})", R"({"a":1,})"}) {
    EXPECT_THROW(parse(bad), InputError) << bad;
  }
  EXPECT_THROW(parse("{\"a\":" + std::string(200, '[')), InputError);
}

TEST(JsonLine, QuotingIsUndoneByReading) {
  const std::string text = "a \"quoted\" back\\slash\ttab \x01 \xC3\xA9";
  EXPECT_EQ(parse_json_line("{\"k\":" + json_quoted(text) + "}", {"f", 1, 1}).find("k")->text, text);
}

TEST(JsonLine, AMissingNumberIsZeroAndAMissingTextEmpty) {
  const JsonLine line = parse_json_line(R"({"a": 2.5, "b": "x"})", {"f", 1, 1});
  EXPECT_EQ(number_of(line, "a"), 2.5);
  EXPECT_EQ(number_of(line, "b"), 0) << "no number";
  EXPECT_EQ(number_of(line, "c"), 0);
  EXPECT_EQ(text_of(line, "b"), "x");
  EXPECT_EQ(text_of(line, "a"), "");
}

TEST(JsonLine, KeepsColumnsAndNumbersAsWritten) {
  const JsonLine line = parse_json_line(R"({"a": 9007199254740993, "b": [1, 2]})", {"f", 1, 1});
  EXPECT_EQ(line.find("a")->text, "9007199254740993");
  EXPECT_EQ(line.find("b")->items.size(), 2u);
  EXPECT_EQ(line.find("b")->column, 30);
  EXPECT_EQ(line.find("c"), nullptr);
}

}  // namespace
}  // namespace trillion::json_line_test
