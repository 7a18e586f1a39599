#include <string>

#include "sim/handover/hand_over.h"
#include "sim/handover/header_comment.h"
#include "sim/handover/megatron_flags.h"
#include "sim/handover/megatron_words.h"

namespace trillion {
namespace {

constexpr std::size_t kColumns = 110;

std::string array_text(const FlagGroup& group) {
  std::string text = group.name + "_ARGS=(\n", line = " ";
  for (const Flag& flag : group.flags) {
    const std::string word = flag_text(flag);
    if (line.size() > 1 && line.size() + 1 + word.size() > kColumns) {
      text += line + "\n";
      line = " ";
    }
    line += " " + word;
  }
  return text + line + "\n)\n";
}

}  // namespace

std::string in_megatron(const HandedPlan& plan) {
  const Scenario& s = plan.scenario;
  const Expressed nearest = expressed_in_megatron(s);
  const MegatronFlags flags = megatron_flags(s, nearest.plan);
  std::string text = "#!/usr/bin/env bash\n";
  text += header_comment(plan, std::string("Megatron-LM flags (") + kMegatronVersion + ")", nearest, flags.notes);
  text += "set -euo pipefail\n\n";
  // Hopper and before need it for the order of collectives beside products; FSDP forbids it.
  const bool fsdp = nearest.plan.sharding == Sharding::zero_2 || nearest.plan.sharding == Sharding::zero_3;
  if (!fsdp && (nearest.plan.tensor_parallel > 1 || nearest.plan.context_parallel > 1)) text += "export CUDA_DEVICE_MAX_CONNECTIONS=1\n\n";
  std::string all;
  for (const FlagGroup& group : flags.groups) {
    text += array_text(group);
    all += " \"${" + group.name + "_ARGS[@]}\"";
  }
  text += "\n# Data, tokenizer, learning rate and checkpoints are yours: \"$@\" takes them. torchrun runs once on every node.\n";
  text += "torchrun --nnodes " + std::to_string(s.cluster.nodes) + " --nproc-per-node " + std::to_string(s.cluster.gpus_per_node) +
          " --node-rank \"${NODE_RANK:-0}\" --master-addr \"${MASTER_ADDR:-localhost}\" --master-port 6000 \\\n  pretrain_gpt.py" + all +
          " \"$@\"\n";
  return text;
}

}  // namespace trillion
