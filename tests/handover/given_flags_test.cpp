// Flags where they stand: in a bare list, behind a launched program, in the variables of a fragment, in YAML.
#include "sim/handover/given_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::given_flags_test {
namespace {

using testing::HasSubstr;

std::string text_of(const GivenFlags& given) {
  std::string text;
  for (const GivenFlag& flag : given.flags) {
    text += (text.empty() ? "" : " ") + flag.name.text;
    for (const GivenWord& value : flag.values) text += " " + (value.unknown ? std::string("?") : value.text);
  }
  return text;
}

std::string script(const std::string& text) { return text_of(flags_of_script(text, "run.sh")); }

TEST(GivenFlags, OfABareList) { EXPECT_EQ(script("--a 1 --b \\\n --c x y --d=4"), "--a 1 --b --c x y --d 4"); }

TEST(GivenFlags, BehindTheProgramAlone) {
  EXPECT_EQ(script("srun --nodes=4 torchrun --nproc_per_node 8 pretrain_gpt.py --a 1 \"$@\" | tee --append log"), "--a 1");
  EXPECT_EQ(script("A=(--a 1)\nB=\"--b 2\"\npython x/train.py ${A[@]} $B --c"), "--a 1 --b 2 --c");
  EXPECT_EQ(script("CMD=\"python train.py --a 1\"\nsrun bash -c \"$CMD\""), "--a 1");
}

TEST(GivenFlags, OfVariablesWhereNothingRuns) { EXPECT_EQ(script("export X=1\nA=(--a 1)\nB=\"--b $X\"\necho done"), "--a 1 --b 1"); }

TEST(GivenFlags, OfYaml) {
  EXPECT_EQ(
      text_of(flags_of_file(
          "model_parallel:\n  tensor_model_parallel_size: 2\n  bf16: true\n  fp16: false\nx: null\nm: [a, b]\nq: 'true'\n", "c.yaml")),
      "--tensor-model-parallel-size 2 --bf16 --m a b --q true");
  EXPECT_EQ(text_of(flags_of_file("MODEL_ARGS:\n  --tp: ${TP}\n  --bf16: true\n", "c.yml")), "--tp ? --bf16");
}

TEST(GivenFlags, WhereTheyStand) {
  const GivenFlags given = flags_of_script("A=(\n  --a 1\n)\nif x; then\n  A+=(--b 2)\nfi\npython t.py ${A[@]} --c $X\n", "run.sh");
  ASSERT_EQ(given.flags.size(), 3u);
  EXPECT_EQ(given.flags[0].name.where.line, 2);
  EXPECT_EQ(given.flags[0].values[0].where.column, 7);
  EXPECT_EQ(given.flags[0].values[0].line, "  --a 1");
  EXPECT_FALSE(given.flags[0].conditional);
  EXPECT_TRUE(given.flags[1].conditional);
  EXPECT_TRUE(given.flags[2].values[0].unknown);
}

TEST(GivenFlags, NoneOrTwoCommandsAreRefused) {
  EXPECT_THROW(flags_of_script("echo hello", "run.sh"), InputError);
  EXPECT_THROW(flags_of_yaml("a: null\n", "c.yaml"), InputError);
  try {
    flags_of_script("python a.py --x\npython b.py --y\n", "run.sh");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_EQ(error.diagnostics().front().where.line, 2);
    EXPECT_THAT(error.what(), HasSubstr("second command"));
  }
}

}  // namespace
}  // namespace trillion::given_flags_test
