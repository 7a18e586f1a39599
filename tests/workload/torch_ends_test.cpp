// The two ends of a model in PyTorch. The algebra:
//   under autocast  a cast to BF16 before the output projection and one back for each value of the residual stream
//   else            none; and compiled code fuses both
#include <gtest/gtest.h>

#include "sim/workload/torch.h"
#include "tests/support/block_setting.h"

namespace trillion::torch_ends_test {
namespace {

using namespace testing_support;

Block head(std::int64_t master_weight_bytes, Framework framework) {
  BlockSetting s(dense_model(4));
  s.training.optimizer_state.master_weight_bytes = master_weight_bytes;
  BlockContext c = s.context();
  c.framework = framework;
  return make_block(BlockKind::head, c);
}

TEST(TorchEnds, AutocastCastsWhatTheOutputProjectionReads) {
  const Block autocast = head(4, Framework::torch_eager);
  EXPECT_DOUBLE_EQ(std::get<MemoryBound>(named(autocast.before_exchange, "head cast input").what).read.value(),
                   2 * std::get<MemoryBound>(named(autocast.before_exchange_backward, "head cast input backward").what).read.value());
  EXPECT_FALSE(has(head(0, Framework::torch_eager).before_exchange, "head cast input"));
  EXPECT_FALSE(has(head(4, Framework::torch_compiled).before_exchange, "head cast input"));
}

}  // namespace
}  // namespace trillion::torch_ends_test
