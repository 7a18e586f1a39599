// What a block depends on, as values, and questions about the kernels that came out.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/spec/load.h"
#include "sim/workload/block.h"
#include "tests/support/linear_machine.h"

namespace trillion::testing_support {

// models/<name>.yaml, as shipped.
inline Model shipped_model(const std::string& name) { return load_model(std::string(TRILLION_SOURCE_DIR) + "/models/" + name + ".yaml"); }

// Owns what a BlockContext refers to: nodes of 8, sequences of 4096 tokens. Change the members, then ask for the context.
struct BlockSetting {
  explicit BlockSetting(Model m, Plan p = {}) : model(std::move(m)), plan(std::move(p)) { training.sequence_length = 4096; }

  BlockContext context() const {
    const auto group = [](std::int64_t size) { return Group{size, 1, std::min<std::int64_t>(size, 8)}; };
    const Group tensor = group(plan.tensor_parallel), context = group(plan.context_parallel), expert = group(plan.expert_parallel);
    BlockContext all{model, plan, training, routing, fp8_type, fuses_residual_with_norm, tensor, context, expert};
    all.unfused = unfused;
    all.micro_batches = micro_batches;
    return all;
  }
  Block block(BlockKind kind) const { return make_block(kind, context()); }
  double tokens() const {
    return static_cast<double>(plan.micro_batch_size * training.sequence_length) / static_cast<double>(plan.context_parallel);
  }

  Model model;
  Plan plan;
  Training training;
  LayerRouting routing;
  DType fp8_type = DType::fp8_block;
  bool fuses_residual_with_norm = false;
  std::vector<UnfusedPart> unfused;
  std::int64_t micro_batches = 1;
};

// All BF16, as a PyTorch stack runs it.
inline BlockContext torch_context(BlockSetting& setting, Framework framework = Framework::torch_eager) {
  setting.training.optimizer_state = {0, 2, 2, 2};
  BlockContext c = setting.context();
  c.framework = framework;
  return c;
}

// DeepSeek-V3 as it trains in FP8, a token on 3.1 other nodes.
inline BlockSetting deepseek_v3(std::int64_t expert_parallel) {
  BlockSetting setting(shipped_model("deepseek-v3"));
  setting.plan.expert_parallel = expert_parallel;
  setting.plan.precision = Precision::fp8;
  setting.plan.recompute = {RecomputeModule::norm, RecomputeModule::mla_up_projection, RecomputeModule::activation};
  setting.routing.remote_nodes_per_token = 3.1;
  setting.routing.local_ranks_per_token = 6.5;
  return setting;
}

// The kernels of one type, in order.
template <class What>
std::vector<What> of_type(const Operations& ops) {
  std::vector<What> out;
  for (const Operation& op : ops) {
    if (const auto* what = std::get_if<What>(&op.what)) out.push_back(*what);
  }
  return out;
}

// FLOPs of the kernels of one type.
template <class What>
double work(const Operations& ops) {
  Flops sum;
  for (const What& what : of_type<What>(ops)) sum += flops(what);
  return sum.value();
}

inline std::vector<std::string> labels(const Operations& ops) {
  std::vector<std::string> out;
  for (const Operation& op : ops) out.push_back(op.label);
  return out;
}

inline bool has(const Operations& ops, std::string_view label) {
  return std::any_of(ops.begin(), ops.end(), [&](const Operation& op) { return op.label == label; });
}

// The first operation of that name; an empty one when there is none.
inline Operation named(const Operations& ops, std::string_view label) {
  const auto found = std::find_if(ops.begin(), ops.end(), [&](const Operation& op) { return op.label == label; });
  return found == ops.end() ? Operation{} : *found;
}

inline std::size_t count(const Operations& ops, Category category) {
  return static_cast<std::size_t>(std::count_if(ops.begin(), ops.end(), [&](const Operation& op) { return op.category == category; }));
}

inline double total_bytes(const std::vector<SavedTensor>& saved) {
  double sum = 0;
  for (const SavedTensor& t : saved) sum += t.bytes.value();
  return sum;
}

inline bool keeps(const std::vector<SavedTensor>& saved, std::string_view name) {
  return std::any_of(saved.begin(), saved.end(), [&](const SavedTensor& t) { return t.name == name; });
}

}  // namespace trillion::testing_support
