// What is not accepted as YAML, and where the complaint points.
#include "sim/spec/yaml_parse.h"

#include "tests/spec/mistakes.h"

namespace trillion::yaml_parse_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<std::string> mistakes(const std::string& text) {
  return mistakes_of([&] { YamlDocument::from_text(text, "file.yaml"); });
}

TEST(YamlParse, WhatHidesValuesIsRefused) {
  EXPECT_THAT(mistakes("a: 1\nb: &x 2\n"), ElementsAre(StartsWith("2:4 anchors")));
  EXPECT_THAT(mistakes("a: &x [*x]\n"), ElementsAre(StartsWith("1:4 anchors")));
  EXPECT_THAT(mistakes("a: *x\n"), ElementsAre(HasSubstr("1:")));
  EXPECT_THAT(mistakes("a: !!int 3\n"), ElementsAre(StartsWith("1:4 tags")));
  EXPECT_THAT(mistakes("a:\n  <<: {b: 1}\n"), ElementsAre(StartsWith("2:3 merge keys")));
  EXPECT_THAT(mistakes("a: 1\n---\nb: 2\n"), ElementsAre(StartsWith("2:1 a second document")));
  EXPECT_THAT(mistakes("? [1, 2]\n: 3\n"), ElementsAre(StartsWith("1:3 a key must be a word")));
  EXPECT_THAT(mistakes("~: 1\n"), ElementsAre(StartsWith("1:1 a key is missing")));
}

TEST(YamlParse, WhatIsNotYamlSaysWhere) {
  EXPECT_THAT(mistakes("a: 1\nb: c: d\n"), ElementsAre(StartsWith("2:5 not valid YAML")));
  EXPECT_THAT(mistakes("a: [1, 2\n"), ElementsAre(HasSubstr("a bracket is not closed")));
  EXPECT_THAT(mistakes("a: \"b"), ElementsAre(HasSubstr("a quote is not closed")));
  EXPECT_THAT(mistakes("a:\n  - 1\n  b: 2\n"), ElementsAre(StartsWith("3:3 not valid YAML")));
  EXPECT_THAT(mistakes("a: @b\n"), ElementsAre(StartsWith("1:4 not valid YAML")));
}

TEST(YamlParse, WhatIsNoTextIsRefused) {
  EXPECT_THAT(mistakes("a: 1\nb: \xff\n"), ElementsAre(StartsWith("2:4 this is not UTF-8")));
  EXPECT_THAT(mistakes("a: \xc0\x80\n"), ElementsAre(StartsWith("1:4 this is not UTF-8"))) << "overlong";
  EXPECT_THAT(mistakes("a: \xed\xa0\x80\n"), ElementsAre(StartsWith("1:4 this is not UTF-8"))) << "surrogate";
  EXPECT_THAT(mistakes(std::string("a: \0\n", 5)), ElementsAre(StartsWith("1:4 a control character")));
  EXPECT_THAT(mistakes("a: \x1b[31m\n"), ElementsAre(StartsWith("1:4 a control character")));
  EXPECT_THAT(mistakes("a: gr\xc3\xbc\xc3\x9f\n"), ElementsAre());
}

TEST(YamlParse, TheRootIsAMapping) {
  EXPECT_THAT(mistakes(""), ElementsAre(HasSubstr("empty")));
  EXPECT_THAT(mistakes("# nothing\n"), ElementsAre(HasSubstr("empty")));
  EXPECT_THAT(mistakes("- 1\n"), ElementsAre(StartsWith("1:1 expected 'key: value' lines, found a list")));
  EXPECT_THAT(mistakes("word\n"), ElementsAre(HasSubstr("found a single value")));
}

TEST(YamlParse, DepthIsBounded) {
  for (const char bracket : {'[', '{'}) {
    EXPECT_EQ(mistakes("a: " + std::string(100000, bracket)).size(), 1u);
    EXPECT_EQ(mistakes(std::string(100000, bracket)).size(), 1u);
  }
  std::string nested;
  for (std::size_t i = 0; i <= kMaxYamlDepth; ++i) nested += std::string(i, ' ') + "a:\n";
  EXPECT_THAT(mistakes(nested + std::string(kMaxYamlDepth + 1, ' ') + "b: 1\n"), ElementsAre(HasSubstr("nested deeper")));
  std::string list = "a: " + std::string(kMaxYamlDepth - 1, '[') + std::string(kMaxYamlDepth - 1, ']');
  EXPECT_THAT(mistakes(list), ElementsAre());
  list = "a: " + std::string(kMaxYamlDepth, '[') + std::string(kMaxYamlDepth, ']');
  EXPECT_THAT(mistakes(list), ElementsAre(HasSubstr("nested deeper")));
}

TEST(YamlParse, JsonIsYaml) {
  const YamlDocument d = YamlDocument::from_text(
      "\xef\xbb\xbf{\n\t\"a\":1,\n\t\"b\": [1,\t2],\"c\":{\"d\":\"x\\/\\ud83d\\ude00\\t\"}, \"e\": null}", "x.json");
  EXPECT_EQ(d.root().find("a")->text, "1");
  EXPECT_EQ(d.root().find("b")->items.size(), 2u);
  EXPECT_EQ(d.root().find("c")->find("d")->text, "x/\xf0\x9f\x98\x80\t");
  EXPECT_TRUE(d.root().find("c")->find("d")->quoted);
  EXPECT_EQ(d.root().find("e")->kind, YamlNode::Kind::null);
  EXPECT_EQ(d.root().find("b")->position.line, 3);
  EXPECT_EQ(d.root().find("b")->position.column, 7);
}

TEST(YamlParse, LinesCountFromOneAndLoseTheirEnd) {
  EXPECT_EQ(line_of("a\r\nb\nc", 1), "a");
  EXPECT_EQ(line_of("a\r\nb\nc", 3), "c");
  EXPECT_EQ(line_of("a\r\nb\nc", 4), "");
}

}  // namespace
}  // namespace trillion::yaml_parse_test
