// Megatron-LM's flags as a plan. The algebra:
//   inverse   a plan that Megatron-LM has words for comes back from its own flags unchanged, and the training stays what it is
//   place     whatever does not fit is said at its line and column, all of it at once
//   hostile   mutilated scripts end in a plan or in an InputError
#include "sim/handover/read_megatron.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/handover/given_flags.h"
#include "tests/handover/support/plans.h"

namespace trillion::read_megatron_test {
namespace {

using namespace testing_support;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ReadMegatronProperty, ExportAndImportAreInverses) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Scenario s = random_scenario(seed);
    const std::string text = in_megatron(handed(s));
    MegatronPlan read;
    try {
      read = read_megatron(flags_of_script(text, "run.sh"), s);
    } catch (const InputError& error) {
      FAIL() << error.what() << "\n" << text;
    }
    EXPECT_EQ(read.plan, expressed_in_megatron(s).plan) << text;
    EXPECT_EQ(read.overrides.size(), 1u) << "the plan, and nothing of the training";
    EXPECT_THAT(read.notes, IsEmpty());
    EXPECT_THAT(read.not_modelled, IsEmpty());
  }
}

Scenario moe_scenario(std::int64_t nodes = 4) {
  Model m = moe_model(48);
  m.moe->shared_intermediate_size = 0;
  Scenario s = linear_scenario(m, Plan{}, nodes, 256);
  return s;
}

MegatronPlan read(const std::string& text, const Scenario& s = moe_scenario()) { return read_megatron(flags_of_script(text, "run.sh"), s); }

std::vector<std::string> problems(const std::string& text, const Scenario& s = moe_scenario()) {
  try {
    read(text, s);
  } catch (const InputError& error) {
    std::vector<std::string> all;
    for (const Diagnostic& d : error.diagnostics()) all.push_back(to_text(d));
    return all;
  }
  return {};
}

TEST(ReadMegatron, TakesMegatronsDefaults) {
  const Plan p = read("--bf16 --micro-batch-size 1 --global-batch-size 256").plan;
  Plan expected;
  expected.data_parallel = 32;
  expected.layers_per_stage = {48};
  expected.sharding = Sharding::none;
  expected.overlap_gradient_reduce = false;
  EXPECT_EQ(p, expected);
  const Plan tensor = read("--bf16 --micro-batch-size 1 --tensor-model-parallel-size 2 --sequence-parallel").plan;
  EXPECT_EQ(tensor.expert_tensor_parallel, 2) << "left out, it is the tensor-parallel size";
  EXPECT_EQ(read("--bf16 --context-parallel-size 2").plan.context_parallel_method, ContextParallelMethod::ring);
  EXPECT_EQ(read("--bf16 --recompute-granularity selective").plan.recompute, std::vector{RecomputeModule::attention});
  EXPECT_EQ(read("--bf16 --use-megatron-fsdp").plan.sharding, Sharding::zero_3);
  EXPECT_EQ(read("--bf16 --sequence-parallel").plan.sequence_parallel, false) << "of one rank";
}

TEST(ReadMegatron, AScriptAsUsersHaveIt) {
  const MegatronPlan run = read(R"(#!/bin/bash
#SBATCH --nodes=4
export CUDA_DEVICE_MAX_CONNECTIONS=1
TP=${TP:-1}  EP=8
NNODES=4
GPUS=$((NNODES * 8))
MODEL_ARGS=(
    --num-layers 48 --hidden-size 4096   # as config.json
    --num-attention-heads 32 --group-query-attention --num-query-groups 8
    --swiglu --untie-embeddings-and-output-weights --normalization RMSNorm
)
MOE_ARGS=(--num-experts 64 --moe-router-topk 8 --moe-ffn-hidden-size 1536 --moe-permute-fusion
          --moe-router-load-balancing-type aux_loss --moe-router-force-load-balancing)
if [ -n "${WANDB_API_KEY}" ]; then
    MOE_ARGS+=(--wandb-project ${WANDB_PROJECT:-"moe"})
fi
srun torchrun --nproc_per_node 8 --nnodes $NNODES pretrain_gpt.py \
    ${MODEL_ARGS[@]} "${MOE_ARGS[@]}" \
    --tensor-model-parallel-size ${TP} --expert-model-parallel-size ${EP} \
    --micro-batch-size 2 --global-batch-size 512 --seq-length 8192 --data-path $DATA --lr 1e-4 \
    --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --bf16 "$@" 2>&1 | tee log.txt
)");
  EXPECT_EQ(run.plan.expert_parallel, 8);
  EXPECT_EQ(run.plan.micro_batch_size, 2);
  EXPECT_EQ(run.plan.data_parallel, 32);
  EXPECT_TRUE(run.plan.overlap_parameter_gather);
  EXPECT_EQ(run.plan.sharding, Sharding::zero_1);
  EXPECT_THAT(run.not_modelled, ElementsAre("--moe-permute-fusion"));
  EXPECT_EQ(run.without_effect, 4u) << "normalization, wandb-project, data-path, lr";
  EXPECT_THAT(run.overrides, testing::AllOf(Contains("training.global_batch_size=512"), Contains("training.sequence_length=8192")));
  EXPECT_THAT(run.notes, Contains(HasSubstr("training.global_batch_size is 512, the scenario has 256")));
}

TEST(ReadMegatron, AnotherModelIsAnErrorAtItsPlace) {
  const auto all = problems(
      "--bf16 --num-layers 48 --hidden-size 5120 \\\n  --num-attention-heads 32 --num-query-groups 8 --swiglu "
      "--untie-embeddings-and-output-weights --num-experts 128 --moe-router-topk 8 --multi-latent-attention");
  EXPECT_THAT(all, ElementsAre(testing::AllOf(HasSubstr("run.sh:1:24: error: --hidden-size 5120, but the scenario's model moe has 4096"),
                                              HasSubstr("--set model.hidden_size=5120")),
                               HasSubstr("run.sh:2:96: error: --num-experts 128"), HasSubstr("--multi-latent-attention")));
  EXPECT_THAT(problems("--bf16 --num-layers 48 --hidden-size 4096 --num-attention-heads 32 --num-query-groups 8 "
                       "--untie-embeddings-and-output-weights --num-experts 64 --moe-router-topk 8"),
              ElementsAre(HasSubstr("needs --swiglu")));
  EXPECT_THAT(problems("--bf16 --moe-layer-freq '([0]*1+[1]*47)'"), ElementsAre(HasSubstr("has its experts in ([1]*48)")));
}

TEST(ReadMegatron, TheDispatcherIsTheExchange) {
  const std::string experts = "--bf16 --micro-batch-size 1 --global-batch-size 256 --expert-model-parallel-size 8 ";
  EXPECT_EQ(read(experts + "--moe-token-dispatcher-type alltoall").plan.expert_exchange, ExpertExchange::all_to_all);
  EXPECT_EQ(read(experts + "--moe-token-dispatcher-type flex --moe-flex-dispatcher-backend hybridep").plan.expert_exchange,
            ExpertExchange::deduplicated);
  EXPECT_THAT(read(experts).notes, ElementsAre(HasSubstr("allgather")));
  EXPECT_EQ(read("--bf16 --moe-token-dispatcher-type alltoall").plan.expert_exchange, ExpertExchange::deduplicated) << "of one rank";
  EXPECT_THAT(problems(experts + "--moe-token-dispatcher-type deepep"), ElementsAre(HasSubstr("not one of allgather, alltoall, flex")));
}

TEST(ReadMegatron, MalformedFlagsAreErrors) {
  EXPECT_THAT(problems("--bf16 --tensor-model-parallel-size two"),
              ElementsAre(HasSubstr("run.sh:1:37: error: --tensor-model-parallel-size takes a whole number")));
  EXPECT_THAT(problems("--bf16 --micro-batch-size"), ElementsAre(HasSubstr("none follows")));
  EXPECT_THAT(problems("--bf16 --tensor-model-paralel-size 2"), ElementsAre(HasSubstr("did you mean --tensor-model-parallel-size?")));
  EXPECT_THAT(problems("--bf16 --micro_batch_size 2"), ElementsAre(HasSubstr("did you mean --micro-batch-size?")));
  EXPECT_THAT(problems("--bf16 --micro-batch-size $MBS"), ElementsAre(HasSubstr("does not settle")));
  EXPECT_THAT(problems("--bf16 --recompute-granularity half"), ElementsAre(HasSubstr("not one of selective, full")));
  EXPECT_THAT(problems("--bf16 --recompute-granularity full"), ElementsAre(HasSubstr("needs --recompute-method")));
  EXPECT_THAT(problems("--bf16 --recompute-granularity selective --recompute-modules gdn_norm_out"),
              ElementsAre(HasSubstr("not one of the modelled")));
  EXPECT_THAT(problems("--bf16 --recompute-granularity selective --recompute-modules moe moe_act"),
              ElementsAre(HasSubstr("part of 'moe'")));
  EXPECT_THAT(problems("--bf16 --overlap-param-gather"),
              ElementsAre(HasSubstr("needs --use-distributed-optimizer"), HasSubstr("needs --overlap-grad-reduce")));
  EXPECT_THAT(problems("--bf16 --tensor-model-parallel-size 2"), ElementsAre(HasSubstr("need --sequence-parallel")));
  EXPECT_THAT(problems("if a; then X=2; fi\npython t.py --bf16 --micro-batch-size $X"), ElementsAre(HasSubstr("run.sh:2:20")));
}

TEST(ReadMegatron, TheWorldIsTheClusters) {
  EXPECT_THAT(problems("--bf16 --tensor-model-parallel-size 3 --sequence-parallel"),
              Contains(HasSubstr("32 GPUs are no multiple of tensor x context x pipeline = 3")));
  EXPECT_THAT(problems("--bf16 --expert-model-parallel-size 64"),
              ElementsAre(HasSubstr("run.sh:1:8: error: the cluster's 32 GPUs are no multiple of expert")));
  EXPECT_THAT(problems("--bf16 --pipeline-model-parallel-size 1000000000000000"), Contains(HasSubstr("more pipeline stages")));
  const Plan p = read("--bf16 --pipeline-model-parallel-size 4 --expert-model-parallel-size 8").plan;
  EXPECT_EQ(p.data_parallel, 8);
}

TEST(ReadMegatron, RoutingAndNumberFormatsAreTheFiles) {
  Scenario s = moe_scenario();
  s.training.routing.balance = Balance::loss_free;
  EXPECT_THAT(read("--bf16 --moe-router-force-load-balancing", s).overrides, Contains("training.routing.balance=forced"));
  EXPECT_THAT(read("--bf16 --moe-router-load-balancing-type seq_aux_loss", s).overrides,
              Contains("training.routing.balance=auxiliary_sequence"));
  EXPECT_EQ(read("--bf16 --moe-router-enable-expert-bias --moe-router-load-balancing-type none", s).overrides.size(), 1u);
  EXPECT_THAT(problems("--bf16 --moe-router-load-balancing-type fair", s), ElementsAre(HasSubstr("'fair' is not one of")));
  EXPECT_THAT(read("--bf16 --moe-router-bias-update-rate 1e-2", s).overrides, Contains("training.routing.bias_update_speed=0.01"));
  EXPECT_THAT(read("--bf16 --moe-expert-capacity-factor 1.25 --moe-pad-expert-input-to-capacity", s).overrides,
              testing::IsSupersetOf({"training.routing.capacity_factor=1.25", "training.routing.pad_to_capacity=true"}));
  EXPECT_THAT(problems("--bf16 --moe-pad-expert-input-to-capacity", s), ElementsAre(HasSubstr("needs --moe-expert-capacity-factor")));
  EXPECT_THAT(read("--bf16 --moe-expert-capacity-factor -1", s).overrides, testing::Not(Contains(HasSubstr("capacity"))));
  Scenario dropping = s;
  dropping.training.routing.capacity_factor = 2;
  EXPECT_THAT(read("--bf16", dropping).overrides, Contains("training.routing.capacity_factor=null"))
      << "Megatron-LM's default drops nothing";
  const auto narrow = read("--bf16 --use-precision-aware-optimizer --exp-avg-dtype bf16 --exp-avg-sq-dtype bf16 --grad-reduce-in-bf16", s);
  EXPECT_THAT(narrow.overrides,
              testing::IsSupersetOf({"training.optimizer_state.moment_bytes=2", "training.optimizer_state.gradient_bytes=2",
                                     "training.optimizer_state.gradient_reduce_bytes=2"}));
  EXPECT_EQ(read("--bf16 --exp-avg-dtype bf16", s).overrides.size(), 1u) << "without --use-precision-aware-optimizer it does nothing";
}

TEST(ReadMegatron, MutilatedScriptsEndInAPlanOrAnInputError) {
  const Scenario s = dualpipe_scenario();
  const std::string good = in_megatron(handed(s));
  const std::string telling = "\"'`$(){}[]\\\n;|&<>#= -*0,\x01\xff";
  const Random random(3, good.size());
  int refused = 0;
  for (std::uint64_t i = 0; i < 1500; ++i) {
    std::string text = good;
    for (std::uint64_t change = 0; change <= i % 3; ++change) {
      const std::uint64_t draw = random.bits(8 * i + change);
      const std::size_t at = static_cast<std::size_t>(draw >> 8) % text.size();
      switch (draw % 4) {
        case 0: text.resize(std::max<std::size_t>(at, 1)); break;
        case 1: text[at] = telling[(draw >> 40) % telling.size()]; break;
        case 2: text.erase(at, 1 + (draw >> 50) % 20); break;
        default: text.insert(at, text.substr(at, 1 + (draw >> 50) % 40)); break;
      }
    }
    for (const char* file : {"run.sh", "run.yaml"}) {
      try {
        const MegatronPlan plan = read_megatron(flags_of_file(text, file), s);
        EXPECT_THAT(plan.plan.validate(), IsEmpty());
      } catch (const InputError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 1500) << "a shell script is no YAML";
}

}  // namespace
}  // namespace trillion::read_megatron_test
