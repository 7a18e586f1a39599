// Every mistake gets one complaint with its place; what was asked for and is right is read in spite of the rest.
#include "sim/spec/yaml_reader.h"

#include "tests/spec/mistakes.h"

namespace trillion::yaml_reader_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

enum class Fabric { fat_tree, rail_only };
constexpr std::array<std::string_view, 2> kFabrics = {"fat-tree", "rail-only"};

TEST(YamlReader, ReadsEveryType) {
  read_text(
      "i: -3\nd: 0.5\nc: 14.8T\nb: true\nt: some text\nq: 80 GiB\ne: rail-only\nli: [1, 2]\nld: [0.5, 1e3]\nlt: [a, b]\nlq: [1 s, 2 ms]\n"
      "le: [fat-tree]\nm: {x: 1}\nlm: [{x: 1}, {x: 2}]\np: {origin: vendor, source: here}\n",
      [](YamlReader& r) {
        EXPECT_EQ(r.integer("i"), -3);
        EXPECT_EQ(r.number("d"), 0.5);
        EXPECT_EQ(r.count("c"), 14.8e12);
        EXPECT_TRUE(r.boolean("b"));
        EXPECT_EQ(r.text("t"), "some text");
        EXPECT_EQ(r.quantity<Bytes>("q"), 80 * kGiB);
        EXPECT_EQ(r.choice<Fabric>("e", kFabrics), Fabric::rail_only);
        EXPECT_THAT(*r.integers("li"), ElementsAre(1, 2));
        EXPECT_THAT(*r.numbers("ld"), ElementsAre(0.5, 1000));
        EXPECT_THAT(*r.texts("lt"), ElementsAre("a", "b"));
        EXPECT_EQ(r.quantities<Seconds>("lq")->at(1), Seconds{2e-3});
        EXPECT_THAT(*r.choices<Fabric>("le", kFabrics), ElementsAre(Fabric::fat_tree));
        EXPECT_EQ(r.mapping("m").integer("x"), 1);
        std::vector<YamlReader> list = r.mappings("lm");
        EXPECT_EQ(list.at(0).integer("x"), 1);
        EXPECT_EQ(list.at(1).integer("x"), 2);
        const Provenance p = r.mapping("p").provenance();
        EXPECT_EQ(p.origin, Origin::vendor);
        EXPECT_EQ(p.source, "here");
      });
}

TEST(YamlReader, FallbacksAreTakenAndListed) {
  Diagnostics diagnostics;
  YamlReader r = YamlReader::open(YamlDocument::from_text("a: 1\nsub: {}\nnothing: null\n", "file.yaml"), diagnostics);
  EXPECT_EQ(r.integer("a", 7), 1);
  EXPECT_EQ(r.integer("absent", 7), 7);
  EXPECT_EQ(r.integer("nothing", 8), 8);
  EXPECT_EQ(r.quantity<Bytes>("bytes", 2 * kGiB), 2 * kGiB);
  EXPECT_EQ(r.choice<Fabric>("fabric", kFabrics, Fabric::fat_tree), Fabric::fat_tree);
  YamlReader sub = r.mapping("sub");
  EXPECT_FALSE(sub.boolean("flag", false));
  EXPECT_FALSE(r.integers("list"));
  EXPECT_FALSE(r.optional_mapping("none"));
  EXPECT_THAT(r.mappings("many"), IsEmpty());
  r.finish();
  EXPECT_TRUE(diagnostics.empty());
  EXPECT_THAT(r.defaults(), ElementsAre("absent: 7", "nothing: 8", "bytes: 2 GiB", "fabric: fat-tree", "sub.flag: false"));
}

TEST(YamlReader, AMisspeltRequiredKeyIsOneMistake) {
  EXPECT_THAT(mistakes_in("hiden_size: 3\n", [](YamlReader& r) { r.integer("hidden_size"); }),
              ElementsAre("1:1 unknown key 'hiden_size' | did you mean 'hidden_size'?"));
}

TEST(YamlReader, MissingUnknownAndDuplicateKeysOfAllLevels) {
  const auto found = mistakes_in("a: 1\na: 2\nsub:\n  x: 1\n  zzzzzz: 2\n", [](YamlReader& r) {
    r.integer("a");
    r.integer("quite_absent");
    YamlReader sub = r.mapping("sub");
    sub.integer("x");
    sub.integer("another_one");
    r.mapping("no_mapping").integer("silent");
  });
  EXPECT_THAT(found, ElementsAre("1:1 missing key 'quite_absent'", "1:1 missing key 'no_mapping'",
                                 "2:1 duplicate key 'a', first on line 1 | keep one of the two", "4:3 missing key 'sub.another_one'",
                                 "5:3 unknown key 'sub.zzzzzz' | accepted are x, another_one"));
}

TEST(YamlReader, WrongTypesPointAtTheValue) {
  const auto found = mistakes_in("i: 010\nq: 400\nm: 3\nl: 4\nll: [1, x]\ne: rail\nt: [a]\nn: null\nlm: [1]\n", [](YamlReader& r) {
    r.integer("i");
    r.quantity<BytesPerSecond>("q");
    r.mapping("m");
    r.integers("l");
    r.integers("ll");
    r.choice<Fabric>("e", kFabrics);
    r.text("t");
    r.integer("n");
    r.mappings("lm");
  });
  EXPECT_THAT(found,
              ElementsAre(StartsWith("1:4 'i': expected a whole number: '010' is ambiguous"), StartsWith("2:4 'q': '400' has no unit"),
                          "3:4 'm': expected a mapping, found '3'", StartsWith("4:4 'l': expected a list"),
                          StartsWith("5:9 'll[1]': expected"), StartsWith("6:4 'e': found 'rail'; accepted is one of fat-tree, rail-only"),
                          "7:4 't': expected text, found a list", "8:4 'n' has no value", "9:6 'lm[0]': expected a mapping, found '1'"));
}

TEST(YamlReader, IgnoredKeysAreKnownButNotOffered) {
  const auto found = mistakes_in("dropout: 1\nother: 2\ndropot: 3\n", [](YamlReader& r) {
    r.integer("size", 1);
    r.ignore({"dropout"});
  });
  EXPECT_THAT(found, ElementsAre("2:1 unknown key 'other' | accepted are size", "3:1 unknown key 'dropot' | did you mean 'dropout'?"));
}

TEST(YamlReader, ProblemsLandOnTheirKey) {
  const auto found = mistakes_in("n_embd: 3\nsub:\n  x: 1\n", [](YamlReader& r) {
    r.integer(r.spelling({"hidden_size", "n_embd"}));
    r.mapping("sub").integer("x");
    r.report({"hidden_size: must be even", "sub.x: too small", "layers: unheard of", "all of it is wrong"});
  });
  EXPECT_THAT(found,
              ElementsAre("1:1 'layers': unheard of", "1:1 all of it is wrong", "1:9 'n_embd': must be even", "3:6 'sub.x': too small"));
}

TEST(YamlReader, WhatFollowsFromAMistakeIsNotReported) {
  const auto found = mistakes_in("heads: x\nkv_heads: 3\n", [](YamlReader& r) {
    r.integer("heads");
    r.integer("kv_heads");
    r.report({"heads: must be at least 1, found 0", "kv_heads: 3 does not divide heads", "kv_heads: must be even"});
  });
  EXPECT_THAT(found, ElementsAre(StartsWith("1:8 'heads': expected a whole number"), "2:11 'kv_heads': must be even"));
}

TEST(YamlReader, OverridesAreJudgedLikeTheFile) {
  Diagnostics diagnostics;
  YamlDocument document = YamlDocument::from_text("plan: {tensor_parallel: 1}\n", "file.yaml");
  document.apply_override("plan.tensor_paralel=8", "--set plan.tensor_paralel=8");
  document.apply_override("plan.tensor_parallel=x", "--set plan.tensor_parallel=x");
  YamlReader r = YamlReader::open(std::move(document), diagnostics);
  r.mapping("plan").integer("tensor_parallel");
  r.finish();
  const auto found = diagnostics_of([&] { diagnostics.throw_if_any(); });
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(to_text(found[0]), HasSubstr("--set plan.tensor_parallel=x: error: 'plan.tensor_parallel': expected a whole number"));
  EXPECT_THAT(to_text(found[1]), HasSubstr("--set plan.tensor_paralel=8: error: unknown key 'plan.tensor_paralel'"));
  EXPECT_EQ(found[1].hint, "did you mean 'tensor_parallel'?");
}

TEST(YamlReader, TheTextShowsLineAndCaret) {
  const auto found =
      diagnostics_of([] { read_text("ok: 1\n  \nsize: many\n", [](YamlReader& r) { r.integer("ok"), r.integer("size"); }); });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(to_text(found[0]),
              HasSubstr("file.yaml:3:7: error: 'size': expected a whole number: 'many' is not a number\n    size: many\n          ^"));
}

}  // namespace
}  // namespace trillion::yaml_reader_test
