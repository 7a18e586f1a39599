// What a routed layer sends. The algebra, with h channels and k experts per token:
//   wires     per token: h x (1 + 4/128) bytes out to each remote node in FP8 (2 in BF16), h x 2 back
//   PyTorch   within a node k x h x 2 bytes per token each way, by NCCL's all-to-all
//   copies    k + 1 rows read and written per token, four times a layer, only where every copy travels alone and something is sent
#include "sim/workload/expert_exchange.h"

#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::expert_exchange_test {
namespace {

using namespace testing_support;

TEST(ExpertExchange, DispatchTravelsInFP8AndCombineInBF16) {
  const BlockSetting setting = deepseek_v3(64);
  const Exchanges e = exchanges(setting.context());
  const auto per_token = [](const std::optional<Operation>& op) { return std::get<Collective>(op->what).bytes.value() / 4096; };
  EXPECT_DOUBLE_EQ(per_token(e.dispatch), 7168 * 1.03125 * 3.1);
  EXPECT_DOUBLE_EQ(per_token(e.combine), 7168 * 2 * 3.1);
  EXPECT_DOUBLE_EQ(per_token(e.combine_backward), per_token(e.dispatch));  // gradients take the same way back
  EXPECT_DOUBLE_EQ(per_token(e.dispatch_backward), per_token(e.combine));
  EXPECT_DOUBLE_EQ(std::get<Collective>(e.dispatch->what).scale_up_bytes.value() / 4096, 7168 * 1.03125 * (6.5 + 1));
  EXPECT_EQ(std::get<Collective>(e.combine_backward->what).kind, CollectiveKind::expert_dispatch);
  EXPECT_EQ(std::get<Collective>(e.dispatch_backward->what).kind, CollectiveKind::expert_combine);
}

// Megatron-LM's alltoall dispatcher: every token is laid out for each of its 8 experts and summed back, in both passes.
TEST(ExpertExchange, CopiesOfTheAllToAllDispatcherAreLaidOutAndSummed) {
  BlockSetting setting = deepseek_v3(64);
  const auto moved = [&] {
    const Passes g = gate(setting.context()), f = routed_feed_forward(setting.context());
    double sum = 0;
    for (const Operations* ops : {&g.forward, &g.backward, &f.forward, &f.backward}) {
      for (const MemoryBound& m : of_type<MemoryBound>(*ops)) {
        if (m.kernel == MemoryKernel::permute || m.kernel == MemoryKernel::unpermute) sum += (m.read + m.written).value();
      }
    }
    return sum;
  };
  const double once = moved();
  setting.plan.expert_exchange = ExpertExchange::all_to_all;
  EXPECT_NEAR(moved() - once, 4 * (1 + 8) * 2.0 * 4096 * 7168, 1);
  setting.plan.expert_parallel = 1;  // nothing is sent
  const double alone = moved();
  setting.plan.expert_exchange = ExpertExchange::deduplicated;
  EXPECT_DOUBLE_EQ(alone, moved());
}

TEST(ExpertExchange, PyTorchSendsEveryCopyByNcclWithinANode) {
  BlockSetting setting = deepseek_v3(8);
  setting.plan.expert_exchange = ExpertExchange::all_to_all;
  BlockContext c = setting.context();
  EXPECT_EQ(std::get<Collective>(exchanges(c).dispatch->what).kind, CollectiveKind::expert_dispatch);
  c.framework = Framework::torch_eager;
  const Exchanges e = exchanges(c);
  for (const auto* op : {&e.dispatch, &e.combine, &e.combine_backward, &e.dispatch_backward}) {
    const auto& sent = std::get<Collective>((*op)->what);
    EXPECT_EQ(sent.kind, CollectiveKind::all_to_all);
    EXPECT_DOUBLE_EQ(sent.bytes.value(), 2.0 * 4096 * 8 * 7168);  // those that stay at home among them
    EXPECT_GT((*op)->host_calls, 0);
  }
}

TEST(ExpertExchange, GradientsAreCastOnTheCommunicationStreamInFP8Only) {
  BlockSetting setting = deepseek_v3(64);
  ASSERT_TRUE(exchanges(setting.context()).combine_backward_cast);
  EXPECT_EQ(exchanges(setting.context()).combine_backward_cast->lane, Lane::expert);
  setting.plan.precision = Precision::bf16;
  EXPECT_FALSE(exchanges(setting.context()).combine_backward_cast);
  setting.plan.expert_parallel = 1;
  EXPECT_FALSE(exchanges(setting.context()).dispatch);
}

}  // namespace
}  // namespace trillion::expert_exchange_test
