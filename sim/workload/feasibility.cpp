#include "sim/workload/feasibility.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "sim/base/number_text.h"
#include "sim/net/fabric.h"
#include "sim/workload/schedule.h"
#include "sim/workload/stage.h"

namespace trillion {

namespace {

// The divisors of `whole` nearest to `wanted` from below and above, as "4 or 8".
std::string nearest_divisors(std::int64_t whole, std::int64_t wanted) {
  std::int64_t below = 1, above = whole;
  for (std::int64_t d = 1; d <= whole; ++d) {
    if (whole % d != 0) continue;
    if (d <= wanted) below = d;
    if (d >= wanted) {
      above = d;
      break;
    }
  }
  return below == above ? std::to_string(below) : std::to_string(below) + " or " + std::to_string(above);
}

std::optional<Infeasible> must_divide(const char* key, std::int64_t parts, const char* what, std::int64_t whole) {
  if (parts > 0 && whole % parts == 0) return std::nullopt;
  return Infeasible{"plan." + std::string(key) + " " + std::to_string(parts) + " does not divide the " + std::to_string(whole) + " " + what,
                    {"plan." + std::string(key) + ": " + nearest_divisors(whole, parts) + " would"}};
}

std::optional<Infeasible> why_model_does_not_split(const Scenario& s) {
  const Plan& p = s.plan;
  const Model& m = s.model;
  if (auto why = must_divide("tensor_parallel", p.tensor_parallel, "attention heads", m.num_attention_heads)) return why;
  if (!m.mla && p.tensor_parallel > m.num_key_value_heads && p.tensor_parallel % m.num_key_value_heads != 0) {
    return must_divide("tensor_parallel", p.tensor_parallel, "key-value heads", m.num_key_value_heads);
  }
  if (auto why = must_divide("tensor_parallel", p.tensor_parallel, "channels of intermediate_size", m.intermediate_size);
      m.intermediate_size > 0 && why) {
    return why;
  }
  if (auto why =
          must_divide("context_parallel", 2 * p.context_parallel, "tokens of a sequence (two slices a rank)", s.training.sequence_length);
      p.context_parallel > 1 && why) {
    return why;
  }
  if (m.moe) {
    if (auto why = must_divide("expert_parallel", p.expert_parallel, "routed experts", m.moe->n_routed_experts)) return why;
    return must_divide("expert_tensor_parallel", p.expert_tensor_parallel, "channels of an expert", m.moe->moe_intermediate_size);
  }
  if (p.expert_parallel > 1 || p.expert_tensor_parallel > 1) {
    return Infeasible{"plan.expert_parallel " + std::to_string(p.expert_parallel) + ", but " + m.name + " has no experts",
                      {"plan.expert_parallel: 1"}};
  }
  return std::nullopt;
}

std::optional<Infeasible> why_stages_do_not_fit(const Scenario& s) {
  const Plan& p = s.plan;
  const std::int64_t stages = stage_count(p);
  if (!p.layers_per_stage) {
    if (stages <= s.model.num_hidden_layers) return std::nullopt;
    return Infeasible{
        std::to_string(stages) + " pipeline stages, but " + s.model.name + " has " + std::to_string(s.model.num_hidden_layers) + " layers",
        {"plan.pipeline_parallel: at most " + std::to_string(s.model.num_hidden_layers * p.pipeline_parallel / stages)}};
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
  if (auto why = why_not(s.plan.schedule, s.plan.pipeline_parallel, micro_batches(s), s.plan.virtual_pipeline_stages)) {
    return Infeasible{*why, {}};
  }
  return std::nullopt;
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
