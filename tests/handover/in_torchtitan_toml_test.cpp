// The TOML of torchtitan v0.2.2, which counted batches in sequences.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::in_torchtitan_toml_test {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::HasSubstr;

TEST(InTorchtitanToml, SectionsOfItsTime) {
  EXPECT_THAT(
      in_torchtitan_toml(handed(dualpipe_scenario())),
      AllOf(HasSubstr("[training]\nseq_len = 4096\nlocal_batch_size = 8\nglobal_batch_size = 128\n"), HasSubstr("[parallelism]\n"),
            HasSubstr("pipeline_parallel_microbatch_size = 1\n"), HasSubstr("\"norm\", \"output\"]"), HasSubstr("mode = \"selective\""),
            HasSubstr("enable_async_tensor_parallel = false\n"), HasSubstr("moe_force_load_balance = true\n")));
}

}  // namespace
}  // namespace trillion::in_torchtitan_toml_test
