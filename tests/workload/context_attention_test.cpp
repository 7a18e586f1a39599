// Attention of one of n context-parallel ranks, t tokens of s in all. The algebra:
//   work   whatever the method, the ranks together do the work of the whole sequence, and a ring's steps do equal parts of it
//   wires  all_gather: the whole sequence's k and v there, there again, and their gradients back
//          ring: k and v n - 1 hops there; n - 1 there again and their gradients n hops back
//          all_to_all: q, k, v there and o back; the same for the gradients
//   order  a ring's block arrives while the one before it is attended to; a step waits for its own block and for no later one
#include "sim/workload/context_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/engine/engine.h"
#include "tests/support/block_setting.h"
#include "tests/support/laid_out_step.h"

namespace trillion::context_attention_test {
namespace {

using namespace testing_support;
using enum ContextParallelMethod;

BlockSetting setting_of(const Model& model, ContextParallelMethod method, std::int64_t ranks, std::int64_t tensor = 1) {
  BlockSetting setting(model);
  setting.plan.context_parallel = ranks;
  setting.plan.context_parallel_method = method;
  setting.plan.tensor_parallel = tensor;
  return setting;
}

CoreAttention core_of(const BlockContext& c) {
  return c.model.mla ? core_attention(c, c.model.mla->qk_nope_head_dim + c.model.mla->qk_rope_head_dim, c.model.mla->v_head_dim)
                     : core_attention(c, c.model.head_dim, c.model.head_dim);
}

double bytes_of(const Operations& ops, CollectiveKind kind) {
  double sum = 0;
  for (const Collective& c : of_type<Collective>(ops)) sum += c.kind == kind ? c.bytes.value() : 0;
  return sum;
}

struct Tensors {
  explicit Tensors(const BlockSetting& setting) {
    const CoreAttention core = core_of(setting.context());
    const double t = 2 * setting.tokens();
    q = t * static_cast<double>(core.heads * core.qk_dim);
    kv = t * static_cast<double>(core.kv_heads * (core.qk_dim + core.v_dim));
    o = t * static_cast<double>(core.heads * core.v_dim);
  }
  double q, kv, o;  // bytes of one rank's tokens
};

TEST(ContextAttention, RanksTogetherDoTheWorkOfTheWholeSequence) {
  for (const Model& model : {dense_model(1), shipped_model("deepseek-v3"), shipped_model("gpt-oss-120b")}) {
    for (const std::int64_t tensor : {1, 2}) {
      const BlockSetting alone = setting_of(model, all_gather, 1, tensor);
      for (const ContextParallelMethod method : {all_gather, ring, all_to_all}) {
        for (const std::int64_t ranks : {2, 4}) {
          const BlockSetting setting = setting_of(model, method, ranks, tensor);
          const BlockContext c = setting.context(), whole = alone.context();
          const double there = work<Attention>(core_forward(whole, core_of(whole))),
                       back = work<Attention>(core_backward(whole, core_of(whole)));
          const double n = static_cast<double>(ranks);
          EXPECT_NEAR(n * work<Attention>(core_forward(c, core_of(c))) / there, 1, 2e-3) << model.name;
          EXPECT_NEAR(n * work<Attention>(core_backward(c, core_of(c))) / back, 1, 2e-3) << model.name;
        }
      }
    }
  }
}

TEST(ContextAttention, ARingsStepsAreAlike) {
  const BlockSetting setting = setting_of(dense_model(1), ring, 4);
  const BlockContext c = setting.context();
  const std::vector<Attention> steps = of_type<Attention>(core_forward(c, core_of(c)));
  ASSERT_EQ(steps.size(), 4u);
  for (const Attention& step : steps) {
    EXPECT_DOUBLE_EQ(flops(step).value(), flops(steps.front()).value());
    EXPECT_EQ(step.queries, 1024);
  }
  EXPECT_TRUE(steps.front().causal);
  EXPECT_EQ(steps.front().keys, 1024);
  EXPECT_FALSE(steps.back().causal);
  EXPECT_EQ(steps.back().keys, 512);  // all queries meet half of the block, or half of the queries all of it
}

TEST(ContextAttention, WiresCarryWhatTheMethodSays) {
  for (const Model& model : {dense_model(1), shipped_model("deepseek-v3")}) {
    for (const std::int64_t ranks : {2, 4, 8}) {
      const double n = static_cast<double>(ranks);
      {
        const BlockSetting setting = setting_of(model, all_gather, ranks);
        const BlockContext c = setting.context();
        const Tensors t(setting);
        EXPECT_DOUBLE_EQ(bytes_of(core_forward(c, core_of(c)), CollectiveKind::all_gather), n * t.kv);
        EXPECT_DOUBLE_EQ(bytes_of(core_backward(c, core_of(c)), CollectiveKind::all_gather), n * t.kv);
        EXPECT_DOUBLE_EQ(bytes_of(core_backward(c, core_of(c)), CollectiveKind::reduce_scatter), n * t.kv);
      }
      {
        const BlockSetting setting = setting_of(model, ring, ranks);
        const BlockContext c = setting.context();
        const Tensors t(setting);
        EXPECT_DOUBLE_EQ(bytes_of(core_forward(c, core_of(c)), CollectiveKind::send_recv), (n - 1) * t.kv);
        EXPECT_DOUBLE_EQ(bytes_of(core_backward(c, core_of(c)), CollectiveKind::send_recv), (n - 1) * t.kv + n * t.kv);
      }
      const BlockSetting setting = setting_of(model, all_to_all, ranks);
      const BlockContext c = setting.context();
      const Tensors t(setting);
      for (const Operations& ops : {core_forward(c, core_of(c)), core_backward(c, core_of(c))}) {
        EXPECT_DOUBLE_EQ(bytes_of(ops, CollectiveKind::all_to_all), t.q + t.kv + t.o);
      }
    }
  }
}

TEST(ContextAttention, AloneThereIsNobodyToTalkTo) {
  for (const ContextParallelMethod method : {all_gather, ring, all_to_all}) {
    const BlockSetting setting = setting_of(dense_model(1), method, 1);
    const BlockContext c = setting.context();
    EXPECT_EQ(core_forward(c, core_of(c)).size(), 1u);
    EXPECT_EQ(core_backward(c, core_of(c)).size(), 3u);
  }
}

TEST(ContextAttention, TradedHeadsSeeTheWholeSequence) {
  const BlockSetting setting = setting_of(dense_model(1), all_to_all, 4, 2);
  const BlockContext c = setting.context();
  const Attention a = of_type<Attention>(core_forward(c, core_of(c))).front();
  EXPECT_EQ(a.heads, 32 / 2 / 4);
  EXPECT_EQ(a.kv_heads, 8 / 2 / 4);
  EXPECT_EQ(a.queries, 4096);
  EXPECT_TRUE(a.causal);
}

TEST(ContextAttention, ADroppedAttentionTalksAgain) {
  BlockSetting setting = setting_of(dense_model(1), ring, 4);
  setting.plan.recompute = {RecomputeModule::attention};
  const Passes p = grouped_query_attention(setting.context());
  EXPECT_EQ(of_type<Attention>(p.backward).size(), 8u);
  EXPECT_TRUE(has(p.backward, "attention pass on keys and values again"));
}

// One layer, forward, on the linear machine: what the ring exposes is what its sends take longer than the steps beside them.
Scenario one_layer(ContextParallelMethod method, double nvlink) {
  Plan plan;
  plan.context_parallel = 8;
  plan.context_parallel_method = method;
  Scenario s = linear_scenario(dense_model(1), plan, 1, 1);
  s.training.sequence_length = 65536;
  s.cluster.scale_up.bandwidth = BytesPerSecond{nvlink};
  return s;
}

TEST(ContextAttention, ARingHidesItsSendsBehindItsSteps) {
  const auto starts = [](const LoweredStep& step, Lane lane, const std::string& label, const std::vector<SimTime>& at) {
    std::vector<SimTime> out;
    for (const TaskId t : step.graph.tasks_of(step.streams[0][static_cast<std::size_t>(lane)])) {
      if (step.graph.kind_of(t).label == label) out.push_back(at[t.value]);
    }
    return out;
  };
  for (const double nvlink : {200e9, 1e9}) {  // fast: hidden; slow: steps wait
    const LoweredStep step = LaidOutStep(one_layer(ring, nvlink)).lowered();
    const Trace trace = run(step.graph);
    const auto begin = starts(step, Lane::compute, "attention", trace.start), end = starts(step, Lane::compute, "attention", trace.end);
    const auto sent = starts(step, Lane::context, "attention pass on keys and values", trace.start);
    const auto there = starts(step, Lane::context, "attention pass on keys and values", trace.end);
    ASSERT_EQ(begin.size(), 8u);
    ASSERT_EQ(sent.size(), 7u);
    for (std::size_t i = 0; i + 1 < 8; ++i) {
      EXPECT_LE(sent[i], begin[i]) << "it leaves while step " << i << " runs";
      EXPECT_GE(begin[i + 1], there[i]) << "step " << i + 1 << " has its block";
    }
    const bool waits = begin[1] > end[0] + SimTime::from(Seconds{1e-3});
    EXPECT_EQ(waits, nvlink < 2e9);
  }
}

}  // namespace
}  // namespace trillion::context_attention_test
