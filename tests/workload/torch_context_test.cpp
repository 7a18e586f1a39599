// Attention over n ranks as PyTorch rotates it. The algebra:
//   work      n kernels a pass, each of 1/n of the rank's work, whichever way blocks rotate
//   wires     all_gather: k and v of all ranks once a pass; ring: k and v n - 1 hops; either way FP32 gradients of k and v n hops;
//             compiled code keeps k and v for the backward pass
//   merges    each step after the first in FP32; compiled in one kernel
//   order     eager: exchanges run beside the next step, and what reads them waits; compiled: everything is a chain
#include "sim/workload/torch_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::torch_context_test {
namespace {

using namespace testing_support;

struct Rotation {
  Rotation(Framework framework, ContextParallelMethod method, std::int64_t ranks) : setting(dense_model(1)) {
    setting.plan.context_parallel = ranks;
    setting.plan.context_parallel_method = method;
    BlockContext c = setting.context();
    c.framework = framework;
    core = core_attention(c, c.model.head_dim, c.model.head_dim);
    kv = 2 * 2 * setting.tokens() * static_cast<double>(core.kv_heads * core.qk_dim);
    forward = torch_ring_forward(c, core);
    backward = torch_ring_backward(c, core);
    applies = rotates_in_torch(c);
    compiled = framework == Framework::torch_compiled;
  }
  BlockSetting setting;
  CoreAttention core;
  double kv = 0;  // bytes of a rank's keys and values
  Operations forward, backward;
  bool applies = false, compiled = false;
};

std::vector<Rotation> every(std::int64_t ranks) {
  std::vector<Rotation> all;
  for (const Framework framework : {Framework::torch_eager, Framework::torch_compiled}) {
    for (const ContextParallelMethod method : {ContextParallelMethod::all_gather, ContextParallelMethod::ring}) {
      all.emplace_back(framework, method, ranks);
    }
  }
  return all;
}

double wires(const Operations& ops, CollectiveKind kind) {
  double sum = 0;
  for (const Collective& c : of_type<Collective>(ops)) sum += c.kind == kind ? c.bytes.value() : 0;
  return sum;
}

TEST(TorchContext, StepsShareTheWorkEvenly) {
  for (const Rotation& r : every(4)) {
    for (const Operations* ops : {&r.forward, &r.backward}) {
      const std::vector<Attention> steps = of_type<Attention>(*ops);
      ASSERT_EQ(steps.size(), 4u);
      for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_DOUBLE_EQ(flops(steps[i]).value(), flops(steps[0]).value());
        EXPECT_EQ(steps[i].causal, i == 0);
      }
    }
    EXPECT_TRUE(r.applies);
  }
}

TEST(TorchContext, KeysAndValuesGoOutAndTheirGradientsComeHomeInFp32) {
  for (const std::int64_t n : {2, 4}) {
    const double ranks = static_cast<double>(n);
    for (const Rotation& r : every(n)) {
      const bool gathers = r.setting.plan.context_parallel_method == ContextParallelMethod::all_gather;
      EXPECT_DOUBLE_EQ(wires(r.forward, CollectiveKind::all_gather), gathers ? ranks * r.kv : 0);
      EXPECT_DOUBLE_EQ(wires(r.forward, CollectiveKind::send_recv), gathers ? 0 : (ranks - 1) * r.kv);
      const double again = r.compiled ? 0 : 1;
      EXPECT_DOUBLE_EQ(wires(r.backward, CollectiveKind::all_gather), gathers ? again * ranks * r.kv : 0);
      EXPECT_DOUBLE_EQ(wires(r.backward, CollectiveKind::send_recv), ranks * 2 * r.kv + (gathers ? 0 : again * (ranks - 1) * r.kv));
    }
  }
}

TEST(TorchContext, CompiledCodeMergesInOneKernelAndWaitsForItsExchanges) {
  const Rotation eager(Framework::torch_eager, ContextParallelMethod::all_gather, 2);
  const Rotation compiled(Framework::torch_compiled, ContextParallelMethod::all_gather, 2);
  EXPECT_GT(of_type<MemoryBound>(eager.forward).size(), of_type<MemoryBound>(compiled.forward).size() + 8);
  for (const Operations* ops : {&compiled.forward, &compiled.backward}) {
    for (const Operation& op : *ops) EXPECT_EQ(op.order, Order::chain) << op.label;
  }
}

// What leaves is met, once, in the order in which it left.
TEST(TorchContext, EagerCodeMeetsEveryExchange) {
  for (const std::int64_t n : {2, 3, 8}) {
    for (const ContextParallelMethod method : {ContextParallelMethod::all_gather, ContextParallelMethod::ring}) {
      const Rotation r(Framework::torch_eager, method, n);
      for (const Operations* ops : {&r.forward, &r.backward}) {
        int under_way = 0;
        for (const Operation& op : *ops) {
          if (op.order == Order::ahead) ++under_way;
          if (op.order == Order::meets) --under_way;
          EXPECT_GE(under_way, 0) << op.label;
        }
        EXPECT_EQ(under_way, 0);
      }
    }
  }
}

TEST(TorchContext, OtherStacksAndUlyssesKeepTheirOwn) {
  EXPECT_FALSE(Rotation(Framework::fused, ContextParallelMethod::ring, 2).applies);
  EXPECT_FALSE(Rotation(Framework::torch_eager, ContextParallelMethod::all_to_all, 2).applies);
  EXPECT_FALSE(Rotation(Framework::torch_eager, ContextParallelMethod::ring, 1).applies);
}

}  // namespace
}  // namespace trillion::torch_context_test
