#include "sim/spec/scenario.h"

#include <algorithm>

#include <numeric>

#include "sim/spec/problems.h"

namespace trillion {

namespace {

void check_layers_per_stage(const Scenario& s, Problems& p) {
  if (!s.plan.layers_per_stage) return;
  const std::vector<std::int64_t>& layers = *s.plan.layers_per_stage;
  const std::int64_t sum = std::accumulate(layers.begin(), layers.end(), std::int64_t{0});
  p.require(sum == s.model.num_hidden_layers, "plan.layers_per_stage",
            "adds up to " + std::to_string(sum) + " layers; model.num_hidden_layers is " + std::to_string(s.model.num_hidden_layers));
}

void check_extent(const Scenario& s, Problems& p) {
  if (s.extent == Extent::step) {
    p.require(s.pair_layers == 0, "pair_layers", "belongs to extent: overlapped_pair");
    return;
  }
  p.within("pair_layers", s.pair_layers, 1, s.model.num_hidden_layers);
  const bool pairs = s.plan.schedule == ScheduleKind::dualpipe || s.plan.schedule == ScheduleKind::dualpipe_v;
  p.require(pairs, "plan.schedule", "extent: overlapped_pair needs dualpipe or dualpipe-v");
}

// A module that the model does not have cannot be computed again.
void check_recompute(const Scenario& s, Problems& p) {
  using enum RecomputeModule;
  const Model& m = s.model;
  const auto needs = [&](RecomputeModule module, bool there, const char* what) {
    const std::string name(kRecomputeModuleNames[static_cast<std::size_t>(module)]);
    p.require(there || !s.plan.recomputes(module), "plan.recompute", "'" + name + "': the model has no " + what);
  };
  needs(mla_up_projection, m.mla.has_value(), "latent attention");
  needs(mlp, !m.moe || std::find(m.moe_layers.begin(), m.moe_layers.end(), false) != m.moe_layers.end(), "dense feed-forward network");
  needs(moe, m.moe.has_value(), "experts");
  needs(moe_activation, m.moe.has_value(), "experts");
  needs(shared_experts, m.moe && m.moe->shared_intermediate_size > 0, "shared experts");
}

// What the PyTorch stacks are modelled for (workload/torch.h).
void check_framework(const Scenario& s, Problems& p) {
  const Framework framework = s.calibration.stack.framework.value;
  if (framework == Framework::fused) {
    p.require(!s.plan.recomputes(RecomputeModule::products), "plan.recompute",
              "'products' is what PyTorch's stacks drop (calibration.stack.framework: torch-eager, torch-compiled)");
    return;
  }
  const std::string is = "calibration.stack.framework is " + std::string(kFrameworkNames[static_cast<std::size_t>(framework)]) + ", which ";
  p.require(!s.model.mla, "model", is + "is not modelled with latent attention; accepted is grouped-query attention");
  p.require(s.plan.precision == Precision::bf16 || framework == Framework::torch_compiled, "plan.precision",
            is + "is modelled in bf16 only; torch-compiled also in fp8");
  const std::vector<RecomputeModule>& r = s.plan.recompute;
  const bool known = r.empty() || (r.size() == 1 && (r.front() == RecomputeModule::layer || r.front() == RecomputeModule::products));
  p.require(known, "plan.recompute", is + "recomputes whole layers or all but every second product; accepted are none, full, [products]");
  p.require(!s.plan.recomputes(RecomputeModule::products) || !s.model.moe, "plan.recompute",
            is + "recomputes [products] of dense layers only");
}

}  // namespace

std::vector<std::string> Scenario::validate() const {
  Problems p;
  check_framework(*this, p);
  if (!model.moe) {
    p.require(plan.expert_parallel == 1, "plan.expert_parallel",
              "the model has no experts; accepted is 1, found " + std::to_string(plan.expert_parallel));
    p.require(plan.expert_tensor_parallel == 1, "plan.expert_tensor_parallel",
              "the model has no experts; accepted is 1, found " + std::to_string(plan.expert_tensor_parallel));
  }
  p.require(!calibration.stack.runs_apart(UnfusedPart::attention) || plan.context_parallel == 1, "plan.context_parallel",
            "a stack without FlashAttention (stack.unfused of the calibration) does not split the sequence");
  check_recompute(*this, p);
  p.require(extent == Extent::step || perturbations.none(), "perturbations", "extent: overlapped_pair looks at one undisturbed GPU");
  p.require(!plan.schedule_file || !training.batch_size_schedule, "plan.schedule_file",
            "a written schedule runs one number of micro-batches, training.batch_size_schedule asks for several");
  p.require(plan.precision != Precision::fp8 || cluster.gpu.peak_fp8.value() > 0, "plan.precision",
            "fp8: " + cluster.gpu.name + " has no FP8 (gpu.peak_fp8)");
  if (model.position_encoding == PositionEncoding::learned) {
    p.require(training.sequence_length <= model.max_position_embeddings, "training.sequence_length",
              std::to_string(training.sequence_length) + " is more than the model's learned positions, max_position_embeddings " +
                  std::to_string(model.max_position_embeddings));
  }
  check_layers_per_stage(*this, p);
  check_extent(*this, p);
  return p.take();
}

}  // namespace trillion
