// Words that grow and split. What scripts make of them is in shell_words_test.cpp.
#include "sim/handover/shell_expansion.h"

#include <gtest/gtest.h>

namespace trillion::shell_expansion_test {
namespace {

ShellWord word(const std::string& text) {
  ShellWord w{text, {}, 0};
  for (std::size_t i = 0; i < text.size(); ++i) w.at.push_back(static_cast<std::uint32_t>(i));
  return w;
}

TEST(ShellFields, QuotedStaysWholeAndUnquotedSplits) {
  ShellFields fields;
  fields.character('<', 0);
  fields.quoted(word("a b"), 0);
  fields.close();
  fields.split(word("c  d"));
  fields.character('>', 0);
  const auto words = fields.take();
  ASSERT_EQ(words.size(), 3u);
  EXPECT_EQ(words[0].text, "<a b");
  EXPECT_EQ(words[1].text, "c");
  EXPECT_EQ(words[2].text, "d>");
}

TEST(ShellReader, AssignmentsAreRememberedInTheirOrder) {
  const std::string file = "f", text = "B=1 A=(2 '3 4') B+=5";
  ShellReader reader(text, file);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(reader.assignment());
    reader.skip_blanks();
  }
  EXPECT_TRUE(reader.done());
  std::string all;
  for (const ShellWord& w : reader.assigned()) all += w.text + " ";
  EXPECT_EQ(all, "15 2 3 4 ");
  ShellReader other("a b", file);
  EXPECT_FALSE(other.assignment());
  EXPECT_EQ(other.place(), 0u);
}

}  // namespace
}  // namespace trillion::shell_expansion_test
