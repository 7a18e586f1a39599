// A script's words. The algebra:
//   place       every character of a word stands in the file where it says it does, unless a variable's arithmetic made it
//   variables   a word through a variable is the word itself; unknown ones are never guessed
//   hostile     cut, doubled and flipped text ends in words or in an InputError, never otherwise
#include "sim/handover/shell_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/random.h"

namespace trillion::shell_words_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Words = std::vector<std::string>;

std::vector<Words> commands(const std::string& text) {
  std::vector<Words> all;
  for (const ShellCommand& command : read_shell(text, "run.sh").commands) {
    Words words;
    for (const ShellWord& word : command.words) words.push_back(word.text);
    all.push_back(words);
  }
  return all;
}

Words command(const std::string& text) {
  const std::vector<Words> all = commands(text);
  EXPECT_EQ(all.size(), 1u) << text;
  return all.empty() ? Words{} : all.front();
}

std::string unknown() { return std::string(1, kUnknown); }

TEST(ShellWords, QuotesCommentsAndLineEnds) {
  EXPECT_EQ(command("a 'b c' \"d e\" f\\ g # h"), (Words{"a", "b c", "d e", "f g"}));
  EXPECT_EQ(command("--x 1 \\\n  --y \\\r\n 2"), (Words{"--x", "1", "--y", "2"}));
  EXPECT_EQ(command("a#b '' \"\""), (Words{"a#b", "", ""}));
  EXPECT_EQ(command(R"(echo "a \"b\" \$c" 'x\y')"), (Words{"echo", "a \"b\" $c", "x\\y"}));
  EXPECT_TRUE(commands("# nothing\n\n").empty());
}

TEST(ShellWords, CommandsEndAtOperatorsAndRedirectionsAreNoWords) {
  EXPECT_EQ(commands("a 1; b 2 && c 3 | d\ne"), (std::vector<Words>{{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d"}, {"e"}}));
  EXPECT_EQ(command("run x 2>&1 > log.txt 12"), (Words{"run", "x", "12"}));
  EXPECT_EQ(command("run x &> log"), (Words{"run", "x"}));
  EXPECT_EQ(commands("cat <<EOF\n--bf16\nEOF\nrun"), (std::vector<Words>{{"cat"}, {"run"}}));
}

TEST(ShellWords, VariablesStandForTheirWords) {
  EXPECT_EQ(command("A=8\nrun $A ${A}x \"$A\" '$A'"), (Words{"run", "8", "8x", "8", "$A"}));
  EXPECT_EQ(command("A='x y'\nrun $A \"$A\""), (Words{"run", "x", "y", "x y"}));
  EXPECT_EQ(command("export A=1 B=2\nrun $A$B"), (Words{"run", "12"}));
  EXPECT_EQ(command("A=1\nA+=2\nrun $A"), (Words{"run", "12"}));
  EXPECT_EQ(command("L=(a 'b c' # no\n d)\nL+=(e)\nrun \"${L[@]}\" ${L[@]}"),
            (Words{"run", "a", "b c", "d", "e", "a", "b", "c", "d", "e"}));
  EXPECT_EQ(command("L=(a b)\nS=\"${L[@]} c\"\nrun $S"), (Words{"run", "a", "b", "c"}));
  EXPECT_EQ(command("L=()\nrun \"${L[@]}\" x"), (Words{"run", "x"}));
  EXPECT_EQ(command("run \"$@\" x $* $@"), (Words{"run", "x"})) << "run without arguments";
}

TEST(ShellWords, DefaultsAndArithmetic) {
  EXPECT_EQ(command("run ${A:-8} ${A-7} \"${A:-x y}\" ${A:+no}"), (Words{"run", "8", "7", "x y"}));
  EXPECT_EQ(command("A=4\nrun ${A:-8} ${A:+yes}"), (Words{"run", "4", "yes"}));
  EXPECT_EQ(commands("A=${A:-${B:-3}}\n: ${C:=5}\nrun $A $C").back(), (Words{"run", "3", "5"}));
  EXPECT_EQ(command("N=4 G=8\nrun $((N * G)) $(( $N + (G - 2) / 3 )) $((N % 3))"), (Words{"run", "32", "6", "1"}));
}

TEST(ShellWords, WhatOnlyARunKnowsIsNeverGuessed) {
  for (const char* text : {"$X", "${X}", "$(date)", "`date`", "$1", "${X%.*}", "${#X}", "$((X + 1))", "$((1 / 0))"}) {
    EXPECT_EQ(command(std::string("run ") + text), (Words{"run", unknown()})) << text;
  }
  const ShellScript script = read_shell("A=$X\nrun a${A}b", "run.sh");
  EXPECT_FALSE(script.commands.front().words[1].known());
}

TEST(ShellWords, WhatMayNotRunIsMarked) {
  const std::string text = "A=1\nif [ $B ]; then\n A=2\nfi\nrun $A\nfor x in 1 2; do run2 $x; done\n[[ $B ]] && A=3\nf() {\n A=4\n}\n";
  const ShellScript script = read_shell(text, "run.sh");
  const auto conditional = [&](const std::string& what) { return script.is_conditional(static_cast<std::uint32_t>(text.find(what))); };
  EXPECT_FALSE(conditional("A=1"));
  EXPECT_TRUE(conditional("A=2"));
  EXPECT_FALSE(conditional("run $A"));
  EXPECT_TRUE(conditional("run2"));
  EXPECT_TRUE(conditional("A=3"));
  EXPECT_TRUE(conditional("A=4"));
  EXPECT_TRUE(read_shell("if true; then\nA=1", "x").is_conditional(14)) << "an open block reaches to the end";
}

TEST(ShellWords, EveryCharacterKnowsItsPlace) {
  const std::string text = "A=8\nARGS=(--tensor ${A} 'q r')\n\nrun \"${ARGS[@]}\" \\\n  --last\n";
  for (const ShellCommand& c : read_shell(text, "run.sh").commands) {
    for (const ShellWord& word : c.words) {
      ASSERT_EQ(word.text.size(), word.at.size());
      for (std::size_t i = 0; i < word.text.size(); ++i) EXPECT_EQ(text[word.at[i]], word.text[i]) << word.text;
    }
  }
  const SourceLocation where = shell_location(text, text.find("--last"), "run.sh");
  EXPECT_EQ(where.line, 5);
  EXPECT_EQ(where.column, 3);
  EXPECT_EQ(shell_line(text, text.find("--last")), "  --last");
}

TEST(ShellWords, WhatIsNotClosedSaysWhereItOpens) {
  for (const char* text : {"a 'b", "a\nA=(b", "a \"b", "a ${b", "a $(b", "a `b", "cat <<"}) {
    EXPECT_THROW(read_shell(text, "run.sh"), InputError) << text;
  }
  try {
    read_shell("a\nb 'c", "run.sh");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_EQ(error.diagnostics().front().where.line, 2);
    EXPECT_EQ(error.diagnostics().front().where.column, 3);
    EXPECT_THAT(error.what(), HasSubstr("not closed"));
  }
}

TEST(ShellWords, WhatExpandsWithoutEndIsRefused) {
  std::string text = "A=aaaaaaaaaaaaaaaa\n";
  for (int i = 0; i < 40; ++i) text += "A=$A$A\n";
  EXPECT_THROW(read_shell(text, "run.sh"), InputError);
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "${A:-";
  EXPECT_THROW(read_shell("run " + deep + std::string(1000, '}'), "run.sh"), InputError);
  EXPECT_THROW(read_shell(std::string("a\0b", 3), "run.sh"), InputError);
}

TEST(ShellWords, MutilatedScriptsEndInWordsOrAnInputError) {
  const std::string good =
      "#!/bin/bash\n#SBATCH --nodes=4\nexport TP=${TP:-8}\nARGS=(\n  --bf16 # yes\n  --x \"$TP\" 'a b'\n)\nif [ -n \"$W\" ]; then\n"
      "  ARGS+=(--w $((TP * 2)))\nfi\nfor i in 1 2; do echo $i; done\nsrun torchrun a.py \"${ARGS[@]}\" \\\n  --z `id` $(id) 2>&1 | tee l\n"
      "cat <<EOF\nbody\nEOF\nf() { echo ${A[@]}; }\n";
  const std::string telling = "\"'`$(){}[]\\\n;|&<>#= -:\x01\xff";
  const Random random(11, good.size());
  for (std::uint64_t i = 0; i < 4000; ++i) {
    std::string text = good;
    for (std::uint64_t change = 0; change <= i % 4; ++change) {
      const std::uint64_t draw = random.bits(8 * i + change);
      const std::size_t at = static_cast<std::size_t>(draw >> 8) % text.size();
      switch (draw % 4) {
        case 0: text.resize(std::max<std::size_t>(at, 1)); break;
        case 1: text[at] = telling[(draw >> 40) % telling.size()]; break;
        case 2: text.insert(at, 1, telling[(draw >> 40) % telling.size()]); break;
        default: text.insert(at, text.substr(at, (draw >> 50) % 30)); break;
      }
    }
    try {
      for (const ShellCommand& c : read_shell(text, "run.sh").commands) {
        for (const ShellWord& word : c.words) {
          ASSERT_EQ(word.text.size(), word.at.size()) << text;
        }
      }
    } catch (const InputError&) {
    }
  }
}

}  // namespace
}  // namespace trillion::shell_words_test
