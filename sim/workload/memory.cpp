#include "sim/workload/memory.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "sim/workload/activation_walk.h"
#include "sim/workload/gradient_placeholders.h"
#include "sim/workload/passes.h"
#include "sim/workload/step_end.h"
#include "sim/workload/torch_allocations.h"
#include "sim/workload/torch_memory.h"
#include "sim/workload/torch_pipelining.h"

namespace trillion {

namespace {

using ModuleBytes = BlockMemory::ModuleBytes;

Bytes sum(const ModuleBytes& bytes) {
  Bytes all;
  for (const Bytes b : bytes) all += b;
  return all;
}

// What one micro-batch leaves behind in each stage.
class StageBlocks {
 public:
  StageBlocks(const MemoryInput& in, BlockMemory& blocks) : in_(in), blocks_(blocks) {
    for (const Stage& stage : in.cut.stages) {
      saved_of_stage_.push_back(saved_of(stage, false));
      host_of_stage_.push_back(saved_of(stage, true));
    }
  }
  const BlockContext& context() const { return blocks_.context(); }
  const Block& at(BlockKind k) const { return blocks_.of(k).block; }
  Bytes largest_gradients(BlockKind k) const { return blocks_.of(k).largest_gradients; }
  const std::vector<ModuleBytes>& saved_of_stage() const { return saved_of_stage_; }
  const std::vector<ModuleBytes>& host_of_stage() const { return host_of_stage_; }

  // Two layers' activations are on their way to the host or back.
  Bytes travelling(const Stage& stage) const {
    Bytes most;
    for (const BlockKind k : stage) {
      if (is_layer(k) && in_.scenario.plan.offloads(Offload::activations)) most = std::max(most, sum(blocks_.of(k).saved));
    }
    return 2 * most;
  }

  // The most that recomputation brings back at once in a stage.
  Bytes restored(const Stage& stage) const {
    Bytes most;
    double layers = 0;
    for (const BlockKind k : stage) {
      most = std::max(most, blocks_.of(k).restored);
      layers += is_layer(k) ? 1 : 0;
    }
    return most * (uniform() ? std::max(1.0, std::min(layers, static_cast<double>(unit()))) : 1.0);
  }

 private:
  bool uniform() const {
    return in_.scenario.plan.recomputes(RecomputeModule::layer) && in_.scenario.plan.recomputed_layers.method == RecomputeMethod::uniform;
  }
  std::int64_t unit() const { return in_.scenario.plan.recomputed_layers.count; }

  // Under recompute_method: uniform only the first layer of each unit keeps its input. `on_host`: what plan.offload takes away.
  ModuleBytes saved_of(const Stage& stage, bool on_host) const {
    ModuleBytes sum{};
    std::int64_t layer = 0;
    for (const BlockKind k : stage) {
      if (is_layer(k) && uniform() && layer++ % unit() != 0) continue;
      const bool leaves = is_layer(k) && in_.scenario.plan.offloads(Offload::activations);
      if (leaves != on_host) continue;
      for (std::size_t m = 0; m < kModuleCount; ++m) sum[m] += blocks_.of(k).saved[m];
    }
    return sum;
  }

  const MemoryInput& in_;
  BlockMemory& blocks_;
  std::vector<ModuleBytes> saved_of_stage_, host_of_stage_;
};

// What one rank holds of the model: its parameters, those whose optimizer state it keeps, and its largest pieces.
struct Holding {
  double whole = 0, shard = 0, largest_block = 0;
  std::array<double, kModuleCount> whole_of{}, shard_of{};  // the same by module
  Bytes largest_gradients, restored, travelling;
};

Holding holding(const MemoryInput& in, const StageBlocks& blocks, const GradientGroups& groups, const std::vector<std::int32_t>& stages) {
  Holding h;
  for (const std::int32_t stage : stages) {
    for (const BlockKind k : in.cut.stages[static_cast<std::size_t>(stage)]) {
      const Block& b = blocks.at(k);
      h.whole += b.parameters.total();
      h.shard += optimizer_shard(b.parameters, groups, in.scenario.plan);
      for (std::size_t m = 0; m < kModuleCount; ++m) {
        h.whole_of[m] += b.parameters_of[m].total();
        h.shard_of[m] += optimizer_shard(b.parameters_of[m], groups, in.scenario.plan);
      }
      h.largest_block = std::max(h.largest_block, b.parameters.total());
      h.largest_gradients = std::max(h.largest_gradients, blocks.largest_gradients(k));
    }
    h.restored = std::max(h.restored, blocks.restored(in.cut.stages[static_cast<std::size_t>(stage)]));
    h.travelling = std::max(h.travelling, blocks.travelling(in.cut.stages[static_cast<std::size_t>(stage)]));
  }
  return h;
}

std::vector<const Block*> blocks_of(const StageCut& cut, const StageBlocks& blocks, const std::vector<std::int32_t>& stages) {
  std::vector<const Block*> all;
  for (const std::int32_t stage : stages) {
    for (const BlockKind k : cut.stages[static_cast<std::size_t>(stage)]) all.push_back(&blocks.at(k));
  }
  return all;
}

void add_model_states(StageMemory& m, const Holding& h, const Scenario& s) {
  const Sharding sharding = s.plan.sharding;
  const bool sharded_gradients = reduces_every_micro_batch(s.plan);
  const double parameter_bytes = s.plan.precision == Precision::fp8 ? 3 : 2;
  // Under a pipeline, whose passes are many, what was gathered stays (gather_parameters in workload/lower_step_end.cpp).
  const double computing = sharding == Sharding::zero_3 && sharded_gradients ? std::min(h.whole, h.shard + 2 * h.largest_block) : h.whole;
  const double reduced = sharded_gradients ? std::min(h.whole, h.shard + h.largest_block) : h.whole;
  const OptimizerState& state = s.training.optimizer_state;
  m.parameters = Bytes{parameter_bytes * computing};
  m.gradients = Bytes{static_cast<double>(state.gradient_bytes)} * reduced;
  m.optimizer = Bytes{static_cast<double>(state.master_weight_bytes + 2 * state.moment_bytes)} * h.shard;
}

void add_model_states_by_module(StageMemory& m, const Holding& h) {
  const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
  for (std::size_t i = 0; i < kModuleCount; ++i) {
    m.modules[i].parameters = m.parameters * share(h.whole_of[i], h.whole);
    m.modules[i].gradients = m.gradients * share(h.whole_of[i], h.whole);
    m.modules[i].optimizer = m.optimizer * share(h.shard_of[i], h.shard);
  }
}

void add_activations(StageMemory& m, const FullestMoment& fullest, const std::vector<ModuleBytes>& saved_of_stage) {
  m.activations = fullest.saved;
  m.in_flight = fullest.in_flight;
  for (std::size_t stage = 0; stage < saved_of_stage.size(); ++stage) {
    for (std::size_t i = 0; i < kModuleCount; ++i) {
      m.modules[i].activations += static_cast<double>(fullest.held_of_stage[stage]) * saved_of_stage[stage][i];
    }
  }
}

// Parameters whose gradients DDP's buckets hold: those that other ranks hold as well, and hold whole.
double bucketed(const MemoryInput& in, const StageBlocks& blocks, const GradientGroups& groups, const std::vector<std::int32_t>& stages) {
  if (in.scenario.plan.sharding == Sharding::zero_3) return 0;
  double sum = 0;
  for (const Block* b : blocks_of(in.cut, blocks, stages)) {
    sum += (groups.dense.size > 1 ? b->parameters.dense : 0) + (groups.expert.size > 1 ? b->parameters.expert : 0);
  }
  return sum;
}

// What PyTorch's walk through a step found, in place of the parts that a fused stack has.
void take_over(StageMemory& m, const StageMemory& torch) {
  m.parameters = torch.parameters;
  m.gradients = torch.gradients;
  m.optimizer = torch.optimizer;
  const double held = m.activations.value() > 0 ? torch.activations / m.activations : 0;
  for (ModuleMemory& module : m.modules) module.activations *= held;
  m.activations = torch.activations;
  m.buffer_parts = torch.buffer_parts;
}

std::vector<StageHold> holds(const std::vector<ModuleBytes>& saved_of_stage) {
  std::vector<StageHold> all;
  for (const ModuleBytes& bytes : saved_of_stage) all.push_back({.saved = sum(bytes), .beside = {}, .split = {}, .gradients = {}});
  return all;
}

PipelinedStage pipelined(const MemoryInput& in, std::int32_t stage, const std::vector<std::int32_t>& of_rank) {
  return {.blocks = {},
          .first = stage == 0,
          .last = stage + 1 == in.schedule.stages,
          .next_is_here = std::find(of_rank.begin(), of_rank.end(), stage + 1) != of_rank.end()};
}

// With what torch.distributed.pipelining keeps, and gradients that are only there once a pass has left them.
std::vector<StageHold> torch_holds(const MemoryInput& in, const StageBlocks& blocks, const Holding& held,
                                   const std::vector<std::int32_t>& of_rank) {
  std::vector<StageHold> all = holds(blocks.saved_of_stage());
  const BlockContext& c = blocks.context();
  const Bytes each = gradient_bytes(c, held.whole > 0 ? held.shard / held.whole : 1);
  for (const std::int32_t stage : of_rank) {
    StageHold& hold = all[static_cast<std::size_t>(stage)];
    PipelinedStage here = pipelined(in, stage, of_rank);
    here.blocks = blocks_of(in.cut, blocks, {stage});
    for (const Block* b : here.blocks) hold.gradients += each * b->parameters.total();
    if (in.schedule.ranks.size() == 1) continue;
    const StageHold kept = kept_by_pipelining(here, Sizes(c).residual(), c.framework);
    hold.beside = kept.beside;
    hold.split = kept.split;
  }
  return all;
}

Bytes standing_buffers(const MemoryInput& in, const std::vector<std::int32_t>& of_rank, Bytes message) {
  Bytes all;
  for (const std::int32_t stage : of_rank) all += pipelining_buffers(pipelined(in, stage, of_rank), message, in.schedule.micro_batches);
  return all;
}

double parameters_with_gradients(const MemoryInput& in, const StageBlocks& blocks, const FullestMoment& fullest) {
  double all = 0;
  for (std::size_t stage = 0; stage < fullest.has_gradients.size(); ++stage) {
    if (!fullest.has_gradients[stage]) continue;
    for (const BlockKind k : in.cut.stages[stage]) all += blocks.at(k).parameters.total();
  }
  return all;
}

std::optional<Bytes> unused_of_torch(const MemoryInput& in, const StageBlocks& blocks, const GradientGroups& groups, std::int32_t rank) {
  const Stack& stack = in.scenario.calibration.stack;
  if (stack.framework.value == Framework::fused) return std::nullopt;
  const std::vector<std::int32_t> held = in.schedule.stages_of(rank);
  AllocationInput input{.actions = in.schedule.ranks[static_cast<std::size_t>(rank)],
                        .stages = std::vector<std::vector<const Block*>>(in.cut.stages.size()),
                        .context = blocks.context(),
                        .workspace = stack.workspace.value,
                        .expandable_segments = stack.sets(TorchMemorySetting::expandable_segments),
                        .reshards_ends = stack.sets(TorchMemorySetting::reshards_ends)};
  double whole = 0, shard = 0;
  for (const std::int32_t stage : held) {
    input.stages[static_cast<std::size_t>(stage)] = blocks_of(in.cut, blocks, {stage});
    for (const Block* b : input.stages[static_cast<std::size_t>(stage)]) {
      whole += b->parameters.total();
      shard += optimizer_shard(b->parameters, groups, in.scenario.plan);
    }
  }
  if (in.scenario.plan.sharding == Sharding::zero_3 && whole > 0) input.shard = shard / whole;
  input.bucketed = bucketed(in, blocks, groups, held) > whole / 2;
  return allocator_peaks(input).unused();
}

Bytes add_up(std::vector<NamedBytes>& parts) {
  parts.erase(std::remove_if(parts.begin(), parts.end(), [](const NamedBytes& p) { return p.bytes.value() == 0; }), parts.end());
  Bytes all;
  for (const NamedBytes& part : parts) all += part.bytes;
  return all;
}

// `unused`: what PyTorch's allocator has reserved beyond its tensors, where it was simulated.
void add_overhead(StageMemory& m, const Scenario& s, std::optional<Bytes> unused) {
  const Stack& stack = s.calibration.stack;
  const bool exchanges = s.model.moe && s.plan.expert_parallel > 1;
  const Bytes tensors = m.allocated();
  const bool torch = stack.framework.value != Framework::fused;  // whose workspaces are tensors of its allocator
  m.overhead_parts = {{"CUDA context", stack.context.value},
                      {"communicators", s.cluster.gpus() > 1 ? stack.collective_buffers.value : Bytes{}},
                      {"workspaces", torch ? Bytes{} : stack.workspace.value},
                      {"expert exchange", exchanges ? stack.expert_buffers.value : Bytes{}},
                      {kReservedUnused, unused.value_or(tensors * stack.fragmentation.value)}};
  m.overhead = add_up(m.overhead_parts);
}

}  // namespace

Bytes StageMemory::reserved() const {
  Bytes sum = allocated();
  for (const NamedBytes& part : overhead_parts) sum += part.name == kReservedUnused ? part.bytes : Bytes{};
  return sum;
}

Bytes mean_states(const Scenario& s, const DeviceMesh& mesh, BlockMemory& blocks) {
  const Plan& plan = s.plan;
  if (blocks.context().framework != Framework::fused || plan.schedule_file) return {};
  const std::int64_t copies = plan.schedule == ScheduleKind::dualpipe && plan.pipeline_parallel > 1 ? 2 : 1;
  const GradientGroups groups = gradient_groups(mesh, copies, plan);
  Holding all;
  for (const Stage& stage : make_stages(s.model, {s.model.num_hidden_layers})) {
    for (const BlockKind k : stage) {
      const BlockParameters& held = blocks.of(k).block.parameters;
      all.whole += held.total();
      all.shard += optimizer_shard(held, groups, plan);
    }
  }
  const double share = static_cast<double>(copies) / static_cast<double>(plan.pipeline_parallel);
  all.whole *= share;
  all.shard *= share;
  StageMemory m;
  add_model_states(m, all, s);
  if (plan.offloads(Offload::optimizer)) m.optimizer = {};
  add_overhead(m, s, std::nullopt);
  return m.peak();
}

std::vector<StageMemory> memory_of_ranks(const MemoryInput& in) {
  BlockMemory blocks(in.scenario, in.mesh, in.routing);
  return memory_of_ranks(in, blocks);
}

std::vector<StageMemory> memory_of_ranks(const MemoryInput& in, BlockMemory& made) {
  const BlockContext& context = made.context();
  const StageBlocks blocks(in, made);
  std::vector<std::vector<std::int32_t>> held_stages;
  std::int64_t copies = 0;
  for (std::size_t r = 0; r < in.schedule.ranks.size(); ++r) {
    held_stages.push_back(in.schedule.stages_of(static_cast<std::int32_t>(r)));
    copies += std::count(held_stages.back().begin(), held_stages.back().end(), 0);
  }
  const GradientGroups groups = gradient_groups(in.mesh, copies, in.scenario.plan);
  const bool neighbours = in.schedule.ranks.size() > 1;

  std::vector<StageMemory> ranks;
  for (std::size_t r = 0; r < in.schedule.ranks.size(); ++r) {
    StageMemory m;
    m.stage = static_cast<std::int64_t>(r);
    m.stages = held_stages[r];
    const Holding held = holding(in, blocks, groups, m.stages);
    add_model_states(m, held, in.scenario);
    const std::vector<Action>& actions = in.schedule.ranks[r];
    const bool torch = context.framework != Framework::fused;
    const FullestMoment fullest = fullest_moment(actions, torch ? torch_holds(in, blocks, held, m.stages) : holds(blocks.saved_of_stage()));
    add_activations(m, fullest, blocks.saved_of_stage());
    if (!torch) {
      m.buffer_parts = {{"gradients under way", held.largest_gradients},
                        {"recomputed in the backward pass", held.restored},
                        {"placeholders of weight gradients", gradient_placeholders(blocks_of(in.cut, blocks, m.stages), context)}};
    } else {
      const TorchRank rank{blocks_of(in.cut, blocks, m.stages),
                           fullest.saved,
                           held.shard,
                           bucketed(in, blocks, groups, m.stages),
                           parameters_with_gradients(in, blocks, fullest),
                           in.scenario.calibration.stack.sets(TorchMemorySetting::reshards_ends)};
      take_over(m, torch_memory(rank, context, in.scenario.calibration.stack.workspace.value));
    }
    m.buffer_parts.push_back({"activations on their way", held.travelling});
    const Bytes messages =
        torch ? fullest.beside + standing_buffers(in, m.stages, Sizes(context).residual()) : 4 * Sizes(context).residual();
    m.buffer_parts.push_back({torch ? "kept for the pipeline" : "pipeline messages", neighbours ? messages : Bytes{}});
    m.buffers = add_up(m.buffer_parts);
    if (in.scenario.plan.offloads(Offload::optimizer)) m.host = std::exchange(m.optimizer, Bytes{});
    add_model_states_by_module(m, held);
    if (in.scenario.plan.offloads(Offload::activations)) {
      m.host += fullest_moment(actions, holds(blocks.host_of_stage())).saved;
    }
    add_overhead(m, in.scenario, unused_of_torch(in, blocks, groups, static_cast<std::int32_t>(r)));
    ranks.push_back(std::move(m));
  }
  return ranks;
}

}  // namespace trillion
