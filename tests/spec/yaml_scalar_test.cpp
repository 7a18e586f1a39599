// One value at a time: what each type takes and what it says about the rest.
#include "sim/spec/yaml_scalar.h"

#include "tests/spec/mistakes.h"

namespace trillion::yaml_scalar_test {
namespace {

using testing::HasSubstr;

YamlNode scalar(std::string text, bool quoted = false) {
  YamlNode node;
  node.kind = YamlNode::Kind::scalar;
  node.text = std::move(text);
  node.quoted = quoted;
  return node;
}

template <class T>
std::string complaint(std::optional<Complaint> (*parse)(const YamlNode&, T&), const YamlNode& node) {
  T value{};
  const auto found = parse(node, value);
  return found ? found->message + " | " + found->hint : "";
}

TEST(YamlScalar, IntegersAreDigits) {
  std::int64_t value = 0;
  EXPECT_FALSE(parse_integer(scalar("-12"), value));
  EXPECT_EQ(value, -12);
  EXPECT_FALSE(parse_integer(scalar("9223372036854775807"), value));
  EXPECT_THAT(complaint(parse_integer, scalar("9223372036854775808")), HasSubstr("64-bit"));
  EXPECT_THAT(complaint(parse_integer, scalar("4096.0")), HasSubstr("write 4096"));
  EXPECT_THAT(complaint(parse_integer, scalar("1e3")), HasSubstr("write 1000"));
  EXPECT_THAT(complaint(parse_integer, scalar("2.5")), HasSubstr("expected a whole number, found '2.5'"));
  EXPECT_THAT(complaint(parse_integer, scalar("12", true)), HasSubstr("leave out the quotes"));
  for (const char* text : {"010", "1_000", "12:30", "0x10", "yes", "1,000", "nan", "1e999", "", "12 GiB"}) {
    EXPECT_NE(complaint(parse_integer, scalar(text)), "") << text;
  }
}

TEST(YamlScalar, NumbersAreFinite) {
  double value = 0;
  EXPECT_FALSE(parse_double(scalar("1e-06"), value));
  EXPECT_EQ(value, 1e-6);
  for (const char* text : {".nan", ".inf", "-.inf", "1e999", "inf", "NaN"}) {
    EXPECT_NE(complaint(parse_double, scalar(text)), "") << text;
  }
}

TEST(YamlScalar, BooleansAreTrueAndFalse) {
  bool value = false;
  EXPECT_FALSE(parse_bool(scalar("true"), value));
  EXPECT_TRUE(value);
  EXPECT_THAT(complaint(parse_bool, scalar("True")), HasSubstr("did you mean 'true'?"));
  for (const char* text : {"yes", "no", "on", "off", "y", "N", "YES"})
    EXPECT_THAT(complaint(parse_bool, scalar(text)), HasSubstr("ambiguous"));
  EXPECT_NE(complaint(parse_bool, scalar("1")), "");
  EXPECT_NE(complaint(parse_bool, scalar("true", true)), "");
}

TEST(YamlScalar, TextThatLooksLikeSomethingElseNeedsQuotes) {
  std::string value;
  EXPECT_FALSE(parse_text(scalar("8 GPUs"), value));
  EXPECT_FALSE(parse_text(scalar("12", true), value));
  EXPECT_EQ(value, "12");
  for (const char* text : {"12", "true", "no", "1e5"})
    EXPECT_THAT(complaint(parse_text, scalar(text)), HasSubstr("put it in quotes")) << text;
}

TEST(YamlScalar, ListsAndMappingsAreNoScalars) {
  for (const auto kind : {YamlNode::Kind::list, YamlNode::Kind::mapping}) {
    YamlNode node;
    node.kind = kind;
    const std::string found = kind == YamlNode::Kind::list ? "found a list" : "found a mapping";
    EXPECT_THAT(complaint(parse_integer, node), HasSubstr(found));
    EXPECT_THAT(complaint(parse_double, node), HasSubstr(found));
    EXPECT_THAT(complaint(parse_bool, node), HasSubstr(found));
    EXPECT_THAT(complaint(parse_text, node), HasSubstr(found));
    double value = 0;
    EXPECT_THAT(parse_of_dimension(Dimension::bytes)(node, value)->message, HasSubstr(found));
  }
}

TEST(YamlScalar, NamesHaveNeighbours) {
  const std::vector<std::string> names = {"gpipe", "1f1b", "dualpipe"};
  std::size_t index = 0;
  EXPECT_FALSE(parse_of_names(names)(scalar("1f1b"), index));
  EXPECT_EQ(index, 1u);
  const auto found = parse_of_names(names)(scalar("dualpip"), index);
  EXPECT_EQ(found->message, "found 'dualpip'; accepted is one of gpipe, 1f1b, dualpipe");
  EXPECT_EQ(found->hint, "did you mean 'dualpipe'?");
}

TEST(YamlScalar, LongValuesAreCutInMessages) { EXPECT_LT(found_text(scalar(std::string(1000, 'x'))).size(), 80u); }

}  // namespace
}  // namespace trillion::yaml_scalar_test
