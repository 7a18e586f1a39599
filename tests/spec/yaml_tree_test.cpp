// Files, overrides and overlays: whatever is put together, every value still knows where it was written.
#include "sim/spec/yaml_tree.h"

#include <filesystem>
#include <fstream>

#include "tests/spec/mistakes.h"

namespace trillion::yaml_tree_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

YamlDocument document(const std::string& text) { return YamlDocument::from_text(text, "file.yaml"); }

TEST(YamlTree, PositionsCountFromOne) {
  const YamlDocument d = document("a: 1\nsub:\n  b: [x, y]\n");
  const YamlEntry& sub = d.root().entries[1];
  EXPECT_EQ(sub.position.line, 2);
  EXPECT_EQ(sub.position.column, 1);
  const YamlNode& y = sub.value.find("b")->items[1];
  EXPECT_EQ(y.position.line, 3);
  EXPECT_EQ(y.position.column, 10);
  EXPECT_EQ(d.source_line(y.position), "  b: [x, y]");
  EXPECT_EQ(d.location(y.position).file, "file.yaml");
}

TEST(YamlTree, DuplicatesAreKept) { EXPECT_EQ(document("a: 1\na: 2\n").root().entries.size(), 2u); }

TEST(YamlTree, OverridesSetAndAdd) {
  YamlDocument d = document("plan:\n  tp: 1\n  list: [1]\n");
  d.apply_override("plan.tp=8", "--set plan.tp=8");
  d.apply_override("plan.list=[1, 2]", "--set plan.list=[1, 2]");
  d.apply_override("new.deep.key=400 Gbps", "--set ...");
  d.apply_override("text=a: b = c", "--set ...");
  d.apply_override("nothing=", "--set ...");
  const YamlNode& plan = *d.root().find("plan");
  EXPECT_EQ(plan.find("tp")->text, "8");
  EXPECT_EQ(plan.find("list")->items.size(), 2u);
  EXPECT_EQ(d.root().find("new")->find("deep")->find("key")->text, "400 Gbps");
  EXPECT_EQ(d.root().find("text")->text, "a: b = c");
  EXPECT_EQ(d.root().find("nothing")->kind, YamlNode::Kind::null);
  const SourceLocation where = d.location(plan.find("tp")->position);
  EXPECT_EQ(where.file, "--set plan.tp=8");
  EXPECT_EQ(where.line, 0);
  EXPECT_EQ(d.source_line(plan.find("tp")->position), "");
}

TEST(YamlTree, BadOverridesSayWhy) {
  const auto mistake = [](const std::string& text) {
    return mistakes_of([&] { document("a: 1\nlist: [1]\n").apply_override(text, "--set " + text); });
  };
  EXPECT_THAT(mistake("a"), ElementsAre(HasSubstr("there is no '='")));
  EXPECT_THAT(mistake("=3"), ElementsAre(HasSubstr("a key is empty")));
  EXPECT_THAT(mistake("a..b=3"), ElementsAre(HasSubstr("a key is empty")));
  EXPECT_THAT(mistake("a.b=3"), ElementsAre(HasSubstr("'a' has no keys of its own")));
  EXPECT_THAT(mistake("list.0=3"), ElementsAre(HasSubstr("set 'list' as a whole")));
  EXPECT_THAT(mistake("a=[1, 2"), ElementsAre(HasSubstr("is a bracket not closed?")));
  EXPECT_THAT(mistake("a=[\xff]"), ElementsAre(HasSubstr("not UTF-8")));
  EXPECT_THAT(mistake(std::string(1000, 'a') + std::string(1000, '.') + "=1"), ElementsAre(HasSubstr("a key is empty")));
}

TEST(YamlTree, OverlaysReplaceMappingByMapping) {
  YamlDocument d = document("a: 1\nsub: {x: 1, y: 2}\n");
  d.overlay(YamlDocument::from_text("sub: {y: 3}\nb: 4\n", "top.yaml"));
  EXPECT_EQ(d.root().find("sub")->find("x")->text, "1");
  EXPECT_EQ(d.root().find("sub")->find("y")->text, "3");
  EXPECT_EQ(d.location(d.root().find("sub")->find("y")->position).file, "top.yaml");
  EXPECT_EQ(d.source_line(d.root().find("sub")->find("y")->position), "sub: {y: 3}");
  EXPECT_EQ(d.location(d.root().find("a")->position).file, "file.yaml");
  d.overlay(YamlDocument::from_text("c: 1\nc: 2\n", "twice.yaml"));
  EXPECT_EQ(d.root().entries.size(), 5u) << "duplicates are kept for the reader to complain about";
  d.remove("c");
  EXPECT_EQ(d.root().entries.size(), 3u);
}

TEST(YamlTree, FilesThatCannotBeReadSayWhy) {
  const auto mistake = [](const std::string& path) { return mistakes_of([&] { YamlDocument::from_file(path); }); };
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "yaml_tree_test";
  std::filesystem::create_directories(folder);
  EXPECT_THAT(mistake((folder / "absent.yaml").string()), ElementsAre(HasSubstr("no such file")));
  EXPECT_THAT(mistake(folder.string()), ElementsAre(HasSubstr("a folder")));
  EXPECT_THAT(mistake("/dev/zero"), ElementsAre(HasSubstr("not a regular file")));
  std::ofstream(folder / "empty.yaml").flush();
  EXPECT_THAT(mistake((folder / "empty.yaml").string()), ElementsAre(HasSubstr("empty")));
}

}  // namespace
}  // namespace trillion::yaml_tree_test
