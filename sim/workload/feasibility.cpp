#include "sim/workload/feasibility.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "sim/base/number_text.h"
#include "sim/net/fabric.h"
#include "sim/workload/schedule.h"
#include "sim/workload/stage.h"

namespace trillion {

namespace {

// The accepted numbers nearest to `wanted` from below and above, none above `most`: "4 or 8". REQUIRES: 1 is accepted.
template <class Accepts>
std::string nearest(std::int64_t wanted, std::int64_t most, const Accepts& accepts) {
  std::int64_t below = std::max<std::int64_t>(1, std::min(wanted, most)), above = std::max<std::int64_t>(1, wanted);
  while (!accepts(below)) --below;
  while (above <= most && !accepts(above)) ++above;
  return above > most || above == below ? std::to_string(below) : std::to_string(below) + " or " + std::to_string(above);
}

// The same where 1 may not do, but `most` does.
template <class Accepts>
std::string nearest_at_most(std::int64_t wanted, std::int64_t most, const Accepts& accepts) {
  std::int64_t above = std::min(std::max<std::int64_t>(1, wanted), most);
  while (!accepts(above)) ++above;
  return std::to_string(above);
}

std::string does_not_divide(const char* key, std::int64_t parts, const char* what, std::int64_t whole) {
  return "plan." + std::string(key) + " " + std::to_string(parts) + " does not divide the " + std::to_string(whole) + " " + what;
}

std::string would_do(const char* key, const std::string& values) { return "plan." + std::string(key) + ": " + values + " would"; }

std::optional<Infeasible> must_divide(const char* key, std::int64_t parts, const char* what, std::int64_t whole) {
  if (parts > 0 && whole % parts == 0) return std::nullopt;
  const auto divides = [&](std::int64_t d) { return whole % d == 0; };
  return Infeasible{does_not_divide(key, parts, what, whole), {would_do(key, nearest(parts, whole, divides))}};
}

// Heads and channels at once, so that what the help offers splits all of them. More ranks than key-value heads share them.
std::optional<Infeasible> why_tensors_do_not_split(const Model& m, std::int64_t ranks) {
  const std::int64_t heads = m.num_attention_heads, channels = m.intermediate_size;
  const std::int64_t key_heads = m.mla ? heads : m.num_key_value_heads;
  const auto splits_heads = [&](std::int64_t r) { return heads % r == 0; };
  const auto splits_key_heads = [&](std::int64_t r) { return key_heads % r == 0 || r % key_heads == 0; };
  const auto splits_channels = [&](std::int64_t r) { return channels % r == 0; };
  const auto splits = [&](std::int64_t r) { return splits_heads(r) && splits_key_heads(r) && splits_channels(r); };
  if (splits(ranks)) return std::nullopt;
  constexpr const char* kKey = "tensor_parallel";
  const std::string reason = !splits_heads(ranks)       ? does_not_divide(kKey, ranks, "attention heads", heads)
                             : !splits_key_heads(ranks) ? does_not_divide(kKey, ranks, "key-value heads", key_heads)
                                                        : does_not_divide(kKey, ranks, "channels of intermediate_size", channels);
  return Infeasible{reason, {would_do(kKey, nearest(ranks, heads, splits))}};
}

// With all_to_all every context-parallel rank takes one slice of each sequence and a part of the heads; otherwise two slices, one
// from either end.
std::optional<Infeasible> why_sequence_does_not_split(const Scenario& s) {
  const std::int64_t ranks = s.plan.context_parallel, tokens = s.training.sequence_length;
  if (ranks == 1) return std::nullopt;
  if (s.plan.context_parallel_method == ContextParallelMethod::all_to_all) {
    const std::int64_t heads = s.model.num_attention_heads / s.plan.tensor_parallel;
    const std::int64_t key_heads = s.model.mla ? heads : std::max<std::int64_t>(1, s.model.num_key_value_heads / s.plan.tensor_parallel);
    const auto splits = [&](std::int64_t r) { return heads % r == 0 && key_heads % r == 0 && tokens % r == 0; };
    if (splits(ranks)) return std::nullopt;
    const std::string reason =
        heads % ranks != 0       ? does_not_divide("context_parallel", ranks, "attention heads of a tensor-parallel rank", heads)
        : key_heads % ranks != 0 ? does_not_divide("context_parallel", ranks, "key-value heads of a tensor-parallel rank", key_heads)
                                 : does_not_divide("context_parallel", ranks, "tokens of a sequence", tokens);
    return Infeasible{reason + ", as context_parallel_method: all_to_all must (ring and all_gather need not)",
                      {would_do("context_parallel", nearest(ranks, heads, splits))}};
  }
  if (tokens % 2 == 0) return must_divide("context_parallel", ranks, "tokens of half a sequence (two slices a rank)", tokens / 2);
  return Infeasible{"plan.context_parallel " + std::to_string(ranks) + " needs an even training.sequence_length, which is " +
                        std::to_string(tokens) + " (two slices a rank)",
                    {would_do("context_parallel", "1")}};
}

// Ranks need not divide the experts: some then hold one more.
std::optional<Infeasible> why_ranks_without_experts(const Plan& p, const MixtureOfExperts& moe) {
  const std::int64_t experts = moe.n_routed_experts + p.redundant_experts;
  if (p.expert_parallel > experts) {
    const std::string redundant = p.redundant_experts > 0 ? " and " + std::to_string(p.redundant_experts) + " redundant ones" : "";
    return Infeasible{"plan.expert_parallel " + std::to_string(p.expert_parallel) + " is more than the " +
                          std::to_string(moe.n_routed_experts) + " routed experts" + redundant,
                      {would_do("expert_parallel", "at most " + std::to_string(experts))}};
  }
  if (p.redundant_experts > 0 && p.expert_parallel == 1) {
    return Infeasible{
        "plan.redundant_experts " + std::to_string(p.redundant_experts) + ", but all experts are on one rank, which no copy relieves",
        {"plan.redundant_experts: 0"}};
  }
  return std::nullopt;
}

std::optional<Infeasible> why_model_does_not_split(const Scenario& s) {
  const Plan& p = s.plan;
  const Model& m = s.model;
  if (auto why = why_tensors_do_not_split(m, p.tensor_parallel)) return why;
  if (auto why = why_sequence_does_not_split(s)) return why;
  if (p.sequence_parallel) {
    const std::int64_t tokens = p.micro_batch_size * s.training.sequence_length / p.context_parallel;
    if (auto why = must_divide("tensor_parallel", p.tensor_parallel, "tokens of a micro-batch, which sequence_parallel splits", tokens)) {
      return why;
    }
  }
  if (m.moe) {
    const std::int64_t shared = m.moe->shared_intermediate_size;
    if (shared > 0) {
      if (auto why = must_divide("tensor_parallel", p.tensor_parallel, "channels of the shared experts", shared)) return why;
    }
    if (auto why = why_ranks_without_experts(p, *m.moe)) return why;
    return must_divide("expert_tensor_parallel", p.expert_tensor_parallel, "channels of an expert", m.moe->moe_intermediate_size);
  }
  for (const auto& [key, ranks] : {std::pair{"expert_parallel", p.expert_parallel}, {"expert_tensor_parallel", p.expert_tensor_parallel}}) {
    if (ranks == 1) continue;
    return Infeasible{"plan." + std::string(key) + " " + std::to_string(ranks) + ", but " + m.name + " has no experts",
                      {"plan." + std::string(key) + ": 1"}};
  }
  return std::nullopt;
}

std::optional<Infeasible> why_stages_do_not_fit(const Scenario& s) {
  const Plan& p = s.plan;
  const std::int64_t stages = stage_count(p);
  if (!p.layers_per_stage) {
    // The embedding and the head may each have a stage of their own.
    const std::int64_t most = s.model.num_hidden_layers + 2;
    if (stages <= most) return std::nullopt;
    std::int64_t ranks = std::max<std::int64_t>(1, most * p.pipeline_parallel / stages);
    while (s.cluster.gpus() % (p.tensor_parallel * p.context_parallel * ranks) != 0 && ranks > 1) --ranks;
    return Infeasible{std::to_string(stages) + " pipeline stages, but " + s.model.name + " has " +
                          std::to_string(s.model.num_hidden_layers) + " layers, an embedding and a head",
                      {"plan.pipeline_parallel: at most " + std::to_string(ranks)}};
  }
  const auto& split = *p.layers_per_stage;
  if (static_cast<std::int64_t>(split.size()) != stages) {
    return Infeasible{"plan.layers_per_stage lists " + std::to_string(split.size()) + " stages, the plan has " + std::to_string(stages),
                      {}};
  }
  const std::int64_t sum = std::accumulate(split.begin(), split.end(), std::int64_t{0});
  if (sum == s.model.num_hidden_layers) return std::nullopt;
  return Infeasible{"plan.layers_per_stage adds up to " + std::to_string(sum) + " layers, " + s.model.name + " has " +
                        std::to_string(s.model.num_hidden_layers),
                    {}};
}

// Both kinds of parameters have as many copies of what is sharded.
std::optional<Infeasible> why_states_do_not_split(const Scenario& s, const DeviceMesh& mesh) {
  if (!s.plan.sharding_group) return std::nullopt;
  const std::int64_t group = *s.plan.sharding_group, dense = mesh.data().size, expert = s.model.moe ? mesh.expert_data().size : dense;
  const auto splits = [&](std::int64_t g) { return g <= dense && dense % g == 0 && expert % (dense / g) == 0; };
  if (splits(group)) return std::nullopt;
  std::string reason = "plan.sharding_group " + std::to_string(group) + " does not divide the " + std::to_string(dense) +
                       " replicas of dense parameters (context x data)";
  if (dense % group == 0) {
    reason = "plan.sharding_group " + std::to_string(group) + " makes " + std::to_string(dense / group) +
             " copies of what is sharded, which do not divide the " + std::to_string(expert) + " replicas of the experts";
  }
  return Infeasible{reason, {would_do("sharding_group", nearest_at_most(group, dense, splits))}};
}

}  // namespace

std::optional<Infeasible> why_layout_impossible(const Scenario& s) {
  if (const std::vector<std::string> misfits = Fabric::misfits(s.cluster); !misfits.empty()) return Infeasible{misfits.front(), {}};
  if (s.extent == Extent::overlapped_pair) return why_model_does_not_split(s);
  if (auto why = why_mesh_impossible(s.plan, s.cluster)) return why;
  if (auto why = why_model_does_not_split(s)) return why;
  if (auto why = why_stages_do_not_fit(s)) return why;
  const DeviceMesh mesh(s.plan, s.cluster);
  const std::int64_t sequences = mesh.data_parallel() * s.plan.micro_batch_size;
  if (s.training.global_batch_size % sequences != 0) {
    return Infeasible{
        "training.global_batch_size " + std::to_string(s.training.global_batch_size) + " is not a multiple of data_parallel " +
            std::to_string(mesh.data_parallel()) + " x micro_batch_size " + std::to_string(s.plan.micro_batch_size),
        {"training.global_batch_size: " + std::to_string(std::max<std::int64_t>(1, s.training.global_batch_size / sequences) * sequences)}};
  }
  if (auto why = why_no_schedule(s.plan, micro_batches(s))) return why;
  return why_states_do_not_split(s, mesh);
}

std::int64_t micro_batches(const Scenario& s) {
  const DeviceMesh mesh(s.plan, s.cluster);
  return s.training.global_batch_size / (mesh.data_parallel() * s.plan.micro_batch_size);
}

std::optional<Infeasible> why_memory_short(const std::vector<StageMemory>& memory, const Gpu& gpu) {
  const auto worst =
      std::max_element(memory.begin(), memory.end(), [](const StageMemory& a, const StageMemory& b) { return a.peak() < b.peak(); });
  if (worst == memory.end() || worst->peak() <= gpu.usable_memory) return std::nullopt;
  return Infeasible{"pipeline rank " + std::to_string(worst->stage) + " needs " + bytes_text(worst->peak()) + ", " +
                        bytes_text(worst->peak() - gpu.usable_memory) + " more than the " + bytes_text(gpu.usable_memory) + " usable on " +
                        gpu.name + " (activations " + bytes_text(worst->activations) + ", parameters " + bytes_text(worst->parameters) +
                        ", gradients " + bytes_text(worst->gradients) + ", optimizer " + bytes_text(worst->optimizer) + ")",
                    {}};
}

}  // namespace trillion
