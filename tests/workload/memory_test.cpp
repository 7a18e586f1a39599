// Peak memory of a rank. The algebra, for P parameters of the rank, D of them a shard's, activations A per micro-batch and stage:
//   model states  2 P (3 P in FP8) + gradient bytes x P + (master + 2 moments) x D;  ZeRO-1 divides D by the data-parallel group,
//                 ZeRO-2 the gradients too, ZeRO-3 the parameters too, each with a block or two in transit
//   activations   A x what the schedule keeps in flight: 1F1B p - r on rank r, GPipe all m; a pair of DualPipe stages together
//   monotone      a larger micro-batch or one more in flight never needs less
#include "sim/workload/memory.h"

#include <gtest/gtest.h>

#include <numeric>

#include "sim/workload/counts.h"
#include "tests/support/block_setting.h"
#include "tests/support/laid_out_step.h"

namespace trillion::memory_test {
namespace {

using namespace testing_support;

Scenario pipeline(ScheduleKind schedule, std::int64_t ranks, Model model = dense_model(16)) {
  Plan plan;
  plan.schedule = schedule;
  plan.pipeline_parallel = ranks;
  return linear_scenario(std::move(model), plan, 4, 32 * 32);
}

std::vector<StageMemory> memory_of(const Scenario& s) { return LaidOutStep(s).memory(); }

double sum(const std::vector<StageMemory>& ranks, Bytes StageMemory::*part) {
  return std::accumulate(ranks.begin(), ranks.end(), 0.0, [&](double so_far, const StageMemory& m) { return so_far + (m.*part).value(); });
}

TEST(Memory, ASmallCaseByHand) {
  Scenario s = linear_scenario(dense_model(1), {}, 1, 8);  // one rank of 8 replicas, one layer
  s.plan.sharding = Sharding::none;
  s.calibration.stack.context.value = Bytes{1e9};
  s.calibration.stack.collective_buffers.value = Bytes{2e9};
  s.calibration.stack.workspace.value = Bytes{3e9};
  s.calibration.stack.expert_buffers.value = Bytes{1e12};  // not for a model without experts
  s.calibration.stack.fragmentation.value = 0.05;
  const StageMemory m = memory_of(s).front();
  const double h = 4096, f = 14336, vocabulary = 32, tokens = 4096;
  const double p = vocabulary * h + (h * h * 2.5 + 3 * h * f + 2 * h) + h + vocabulary * h;  // qkv and o of 32 + 2 x 8 heads: 2.5 h h
  EXPECT_DOUBLE_EQ(m.parameters.value(), 2 * p);
  EXPECT_DOUBLE_EQ(m.gradients.value(), 4 * p);
  EXPECT_DOUBLE_EQ(m.optimizer.value(), 12 * p);
  // The layer of memory.md section 2 with its log-sum-exp, the head's norm and logits.
  const double layer = 8 * h + 4 * h + 4 * 1024 + 6 * f + 4 * 32, head = 4 * h + 2 * vocabulary;
  EXPECT_DOUBLE_EQ(m.activations.value(), tokens * (layer + head));
  EXPECT_EQ(m.in_flight, 1);
  // The activation's backward pass: the output's gradient in, the gradients of gate and up out; gate and up themselves are saved.
  EXPECT_DOUBLE_EQ(m.buffers.value(), tokens * f * (2 + 4));
  const double tensors = (m.parameters + m.gradients + m.optimizer + m.activations + m.buffers).value();
  EXPECT_DOUBLE_EQ(m.overhead.value(), 6e9 + 0.05 * tensors);
  EXPECT_DOUBLE_EQ(m.peak().value(), tensors + m.overhead.value());
}

TEST(Memory, EveryRankTogetherHoldsTheModelOnce) {
  const Scenario s = pipeline(ScheduleKind::one_f_one_b, 4);
  EXPECT_DOUBLE_EQ(sum(memory_of(s), &StageMemory::parameters), 2.0 * static_cast<double>(model_size(s.model).total));
}

TEST(Memory, DualPipeHoldsEveryStageTwice) {
  const std::vector<StageMemory> once = memory_of(pipeline(ScheduleKind::one_f_one_b, 4));
  const std::vector<StageMemory> twice = memory_of(pipeline(ScheduleKind::dualpipe, 4));
  for (std::size_t r = 0; r < 4; ++r) {
    EXPECT_EQ(twice[r].stages.size(), 2u);
    EXPECT_DOUBLE_EQ(twice[r].parameters.value(), (once[r].parameters + once[3 - r].parameters).value());
    EXPECT_DOUBLE_EQ(twice[r].gradients.value(), (once[r].gradients + once[3 - r].gradients).value());
    // Both copies share one set of optimizer states.
    EXPECT_DOUBLE_EQ(twice[r].optimizer.value(), (once[r].optimizer + once[3 - r].optimizer).value() / 2);
  }
}

// Of every schedule and sharding: the mean rank's states are at most the fullest rank's whole, and most of it where states are most.
TEST(Memory, TheMeanRanksStatesAreNoMoreThanTheFullestNeeds) {
  for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::dualpipe, ScheduleKind::zb_v}) {
    for (const Sharding sharding : {Sharding::none, Sharding::zero_1, Sharding::zero_2, Sharding::zero_3}) {
      Scenario s = pipeline(schedule, 4);
      s.plan.sharding = sharding;
      const LaidOutStep step(s);
      const LayerRouting even;
      BlockMemory blocks(s, step.mesh, even);
      Bytes fullest;
      for (const StageMemory& m : step.memory()) fullest = std::max(fullest, m.peak());
      const Bytes mean = mean_states(s, step.mesh, blocks);
      EXPECT_LE(mean, fullest);
      EXPECT_GT(mean.value(), (sharding == Sharding::none ? 0.3 : 0.05) * fullest.value());
    }
  }
}

TEST(Memory, OneFOneBKeepsWhatIsBetweenItAndTheEnd) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 4);
  const LaidOutStep step(s);
  const double layer = total_bytes(step.block(BlockKind::dense_layer).saved);
  const std::vector<StageMemory> ranks = step.memory();
  for (std::int64_t r = 0; r < 3; ++r) {
    EXPECT_EQ(ranks[static_cast<std::size_t>(r)].in_flight, 4 - r);
    EXPECT_DOUBLE_EQ(ranks[static_cast<std::size_t>(r)].activations.value(), static_cast<double>((4 - r) * 4) * layer);
  }
  EXPECT_EQ(ranks[3].in_flight, 1);
}

TEST(Memory, SchedulesKeepWhatTheyAreKnownFor) {
  const std::int64_t m = 1024 / (32 / 4);
  for (const StageMemory& rank : memory_of(pipeline(ScheduleKind::gpipe, 4))) EXPECT_EQ(rank.in_flight, m);
  for (const StageMemory& rank : memory_of(pipeline(ScheduleKind::zb_h1, 4))) EXPECT_LE(rank.in_flight, 4);
  for (const StageMemory& rank : memory_of(pipeline(ScheduleKind::zb_h2, 4))) EXPECT_LE(rank.in_flight, 2 * 4 - 1);
  for (const StageMemory& rank : memory_of(pipeline(ScheduleKind::dualpipe, 4))) EXPECT_LE(rank.in_flight, 4 + 1);
}

TEST(Memory, ActivationsGrowWithTheMicroBatchAndNothingShrinks) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 4);
  const std::vector<StageMemory> one = memory_of(s);
  s.plan.micro_batch_size = 2;
  const std::vector<StageMemory> two = memory_of(s);
  for (std::size_t r = 0; r < 4; ++r) {
    EXPECT_DOUBLE_EQ(two[r].activations.value(), 2 * one[r].activations.value());
    EXPECT_DOUBLE_EQ(two[r].buffers.value(), 2 * one[r].buffers.value());
    EXPECT_EQ(two[r].parameters, one[r].parameters);
  }
}

TEST(Memory, ZeroDividesStatesByTheirGroup) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 4);  // 8 replicas
  const auto with = [&](Sharding sharding) {
    s.plan.sharding = sharding;
    return memory_of(s)[1];
  };
  const StageMemory none = with(Sharding::none), one = with(Sharding::zero_1), two = with(Sharding::zero_2), three = with(Sharding::zero_3);
  EXPECT_DOUBLE_EQ(one.optimizer.value(), none.optimizer.value() / 8);
  EXPECT_EQ(one.gradients, none.gradients);
  EXPECT_EQ(two.gradients, one.gradients) << "a pipeline reduces them once a step";
  EXPECT_EQ(two.parameters, none.parameters);
  EXPECT_EQ(three.parameters, none.parameters) << "a pipeline keeps what it has gathered";
  EXPECT_EQ(three.optimizer, one.optimizer);
}

TEST(Memory, WithoutAPipelineGradientsAreAShardAndTheBlockAtHand) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 1);
  s.plan.sharding = Sharding::none;
  const double whole = memory_of(s)[0].gradients.value(), parameters = memory_of(s)[0].parameters.value();
  for (const Sharding sharding : {Sharding::zero_2, Sharding::zero_3}) {
    s.plan.sharding = sharding;
    const double held = memory_of(s)[0].gradients.value();
    EXPECT_LT(held, whole);
    EXPECT_GT(held, whole / static_cast<double>(DeviceMesh(s.plan, s.cluster).data_parallel()));
    EXPECT_EQ(memory_of(s)[0].parameters.value() < parameters, sharding == Sharding::zero_3);
  }
}

TEST(Memory, ExpertsAreShardedOverTheirOwnReplicas) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 4, moe_model(16));
  s.plan.expert_parallel = 8;
  const LaidOutStep step(s);
  const BlockParameters layer = step.block(BlockKind::moe_layer).parameters;
  EXPECT_DOUBLE_EQ(step.memory()[1].optimizer.value(), 12 * 4 * (layer.dense / 8 + layer.expert / 1));
}

TEST(Memory, FP8KeepsTheQuantisedCopyBesideTheWeights) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 4);
  const double bf16 = memory_of(s)[1].parameters.value();
  s.plan.precision = Precision::fp8;
  EXPECT_DOUBLE_EQ(memory_of(s)[1].parameters.value(), bf16 / 2 * 3);
}

TEST(Memory, RoutedActivationsFollowTheBusiestRank) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 4, moe_model(16));
  s.plan.expert_parallel = 8;
  LaidOutStep step(s);
  double routed = 0;
  for (const SavedTensor& t : step.block(BlockKind::moe_layer).saved) routed += t.scale == LoadScale::rank_load ? t.bytes.value() : 0;
  const double even = step.memory()[1].activations.value();
  step.load.mean.rank_load_max_over_mean = 1.5;
  EXPECT_NEAR(step.memory()[1].activations.value(), even + 0.5 * routed * 4 * 3, 1e-3);  // 4 layers, 3 in flight
}

TEST(Memory, OnlyAPipelineHasNeighboursToSendTo) {
  const StageMemory alone = memory_of(pipeline(ScheduleKind::one_f_one_b, 1)).front();
  const StageMemory first = memory_of(pipeline(ScheduleKind::one_f_one_b, 4)).front();
  EXPECT_DOUBLE_EQ((first.buffers - alone.buffers).value(), 4 * 2.0 * 4096 * 4096);
}

// What comes back while the backward pass runs is there once, whatever is in flight.
TEST(Memory, RecomputationBringsOneLayerBackAtATime) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 4);
  const double layer = total_bytes(LaidOutStep(s).block(BlockKind::dense_layer).saved), input = 2.0 * 4096 * 4096;
  const StageMemory kept = memory_of(s)[1];
  s.plan.recompute = {RecomputeModule::layer};
  const StageMemory one = memory_of(s)[1];
  EXPECT_DOUBLE_EQ(one.activations.value(), 3 * 4 * input);  // three in flight, four layers
  EXPECT_DOUBLE_EQ((one.buffers - kept.buffers).value(), layer);
  s.plan.recomputed_layers.count = 2;
  const StageMemory two = memory_of(s)[1];
  EXPECT_DOUBLE_EQ(two.activations.value(), 3 * 2 * input);
  EXPECT_DOUBLE_EQ((two.buffers - kept.buffers).value(), 2 * (one.buffers - kept.buffers).value());
  s.plan.recomputed_layers = {RecomputeMethod::block, 3};
  EXPECT_NEAR(memory_of(s)[1].activations.value(), 3 * (3 * input + layer), 1);
  s.plan.recomputed_layers = {};
  s.plan.recompute = {RecomputeModule::norm};
  EXPECT_DOUBLE_EQ((memory_of(s)[1].buffers - kept.buffers).value(), 2 * input);  // the outputs of the layer's two norms
}

TEST(Memory, ModulesAndPartsAddUp) {
  Scenario s = pipeline(ScheduleKind::one_f_one_b, 4, moe_model(16));
  s.plan.expert_parallel = 8;
  s.calibration.stack.context.value = Bytes{1e9};
  s.calibration.stack.fragmentation.value = 0.05;
  for (const Sharding sharding : {Sharding::none, Sharding::zero_1, Sharding::zero_3}) {
    s.plan.sharding = sharding;
    for (const StageMemory& m : memory_of(s)) {
      ModuleMemory sum;
      for (const ModuleMemory& module : m.modules) {
        sum.parameters += module.parameters;
        sum.gradients += module.gradients;
        sum.optimizer += module.optimizer;
        sum.activations += module.activations;
      }
      EXPECT_NEAR(sum.parameters / m.parameters, 1, 1e-12);
      EXPECT_NEAR(sum.gradients / m.gradients, 1, 1e-12);
      EXPECT_NEAR(sum.optimizer / m.optimizer, 1, 1e-12);
      EXPECT_NEAR(sum.activations / m.activations, 1, 1e-12);
      Bytes buffers, overhead;
      for (const NamedBytes& part : m.buffer_parts) buffers += part.bytes;
      for (const NamedBytes& part : m.overhead_parts) overhead += part.bytes;
      EXPECT_EQ(buffers, m.buffers);
      EXPECT_EQ(overhead, m.overhead);
    }
  }
  const StageMemory first = memory_of(s).front(), last = memory_of(s).back();
  const auto of = [](const StageMemory& m, Module module) { return m.modules[static_cast<std::size_t>(module)]; };
  EXPECT_GT(of(first, Module::embedding).parameters, Bytes{});
  EXPECT_EQ(of(last, Module::embedding).parameters, Bytes{});
  EXPECT_GT(of(last, Module::head).activations, Bytes{});  // the logits
}

// Korthikanti et al. 2022, table 2 and figure 1: bytes of a GPT layer with t-way tensor parallelism, s b tokens, h hidden. With fused
// attention nothing of the scores is kept ("selective"), but the log-sum-exp, 4 a a token. We keep no dropout masks, 2 h.
struct GptCase {
  const char* model;
  std::int64_t ranks, virtual_stages, micro_batch;
  double states_gib, activations_gib;  // figure 1: parameters with gradients and optimizer; sequence parallel with selective recompute
};
constexpr GptCase kGpt[] = {{"megatron-22b", 1, 1, 4, 45.56, 9.56},
                            {"gpt3-175b", 8, 3, 1, 45.56, 12.35},
                            {"megatron-530b", 35, 3, 1, 31.64, 23.08},
                            {"megatron-1t", 64, 1, 1, 32.96, 26.56}};

Scenario gpt(const GptCase& c) {
  Plan plan;
  plan.tensor_parallel = 8;
  plan.sequence_parallel = true;
  plan.pipeline_parallel = c.ranks;
  plan.schedule = c.virtual_stages > 1 ? ScheduleKind::interleaved_1f1b : ScheduleKind::one_f_one_b;
  plan.virtual_pipeline_stages = c.virtual_stages;
  plan.micro_batch_size = c.micro_batch;
  plan.sharding = Sharding::none;
  Scenario s = linear_scenario(shipped_model(c.model), plan, c.ranks, 4 * c.ranks * c.micro_batch);
  s.training.sequence_length = 2048;
  return s;
}

TEST(Memory, GptLayersKeepWhatTheFormulasSay) {
  for (const GptCase& c : kGpt) {
    Scenario s = gpt(c);
    const double h = static_cast<double>(s.model.hidden_size), a = static_cast<double>(s.model.num_attention_heads);
    const double tokens = 2048.0 * static_cast<double>(c.micro_batch);
    const auto layer = [&] { return total_bytes(LaidOutStep(s).block(BlockKind::dense_layer).saved); };
    EXPECT_NEAR(layer() / (tokens * ((34 - 2) * h + 4 * a) / 8), 1, 1e-9) << c.model;
    s.plan.recompute = {RecomputeModule::layer};
    EXPECT_NEAR(layer() / (tokens * 2 * h / 8), 1, 1e-9) << c.model;
    s.plan.recompute = {};
    s.plan.sequence_parallel = false;
    EXPECT_NEAR(layer() / (tokens * ((10 - 2) * h + 24 * h / 8 + 4 * a / 8)), 1, 1e-9) << c.model;
    s.plan.tensor_parallel = 1;
    s.cluster.nodes *= 8;
    s.training.global_batch_size *= 64;
    EXPECT_NEAR(layer() / (tokens * ((34 - 2) * h + 4 * a)), 1, 1e-9) << c.model;
  }
}

TEST(Memory, PublishedGptModelsHoldWhatWasPublished) {
  for (const GptCase& c : kGpt) {
    const std::vector<StageMemory> ranks = memory_of(gpt(c));
    Bytes states;
    for (const StageMemory& m : ranks) states += m.parameters + m.gradients + m.optimizer;
    EXPECT_NEAR(states / kGiB / static_cast<double>(c.ranks) / c.states_gib, 1, 0.02) << c.model;  // mean rank; the paper pads vocabularies
    const StageMemory& first = ranks.front();
    Bytes layers;
    for (const Module m : {Module::norms, Module::attention, Module::feed_forward}) {
      layers += first.modules[static_cast<std::size_t>(m)].activations;
    }
    EXPECT_NEAR(layers / kGiB / (c.activations_gib * 32 / 34), 1, 0.01) << c.model;  // without the dropout masks
  }
}

}  // namespace
}  // namespace trillion::memory_test
