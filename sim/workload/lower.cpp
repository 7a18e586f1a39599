#include "sim/workload/lower.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "sim/workload/lowering.h"

namespace trillion {

Lowering::Lowering(const LoweringInput& in, Detail detail)
    : in_(in),
      places_(in.schedule),
      kinds_(out_.graph, in.timing, kernel_conditions(in.scenario, in.timing), in.scenario.calibration.stack.kernel_gap.value) {
  const std::size_t ranks = in.schedule.ranks.size();
  const Cluster& cluster = in.scenario.cluster;
  const BytesPerSecond nic =
      cluster.scale_out.nic_bandwidth * (static_cast<double>(cluster.scale_out.nics_per_node) / static_cast<double>(cluster.gpus_per_node));
  const bool everyone = in.scenario.fidelity == Fidelity::full && in.scenario.extent == Extent::step;
  if (everyone) out_.replicas = static_cast<std::int32_t>(in.mesh.gpus() / static_cast<std::int64_t>(ranks));
  const std::size_t gpus = ranks * static_cast<std::size_t>(out_.replicas);
  for (std::size_t g = 0; g < gpus; ++g) {
    const std::string name = everyone ? "GPU " + std::to_string(g) : "rank " + std::to_string(g);
    auto& lanes = out_.streams.emplace_back();
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) lanes[lane] = out_.graph.add_stream(name + " " + std::string(kLaneNames[lane]));
    RankLinks links;
    links.nvlink = out_.graph.add_link(name + " nvlink", cluster.scale_up.bandwidth);
    if (cluster.scale_out.nics_per_node > 0) {  // a single node needs none
      links.nic_send = out_.graph.add_link(name + " nic send", nic);
      links.nic_receive = out_.graph.add_link(name + " nic receive", nic);
    }
    out_.links.push_back(links);
  }
  resolver_.emplace(kinds_, in.load, out_.links, detail);
  const BlockContext context = block_context(in.scenario, in.mesh, in.load.mean);
  for (const Stage& s : in.cut.stages) {
    for (const BlockKind k : s) resolver_->add(k, make_block(k, context));
  }
  for (std::size_t r = 0; r < ranks; ++r) {
    const auto held = in.schedule.stages_of(static_cast<std::int32_t>(r));
    copies_ += std::count(held.begin(), held.end(), 0);
  }
  groups_ = gradient_groups(in.mesh, copies_);
  const std::size_t slots = static_cast<std::size_t>(in.schedule.stages) * static_cast<std::size_t>(in.schedule.micro_batches);
  arrived_forward_.resize(slots * static_cast<std::size_t>(out_.replicas));
  arrived_backward_.resize(slots * static_cast<std::size_t>(out_.replicas));
  block_start_.resize(gpus);
  reduced_.resize(gpus);
  reserve();
  for (std::size_t r = 0; r < ranks; ++r) {
    for (const Action& a : in.schedule.ranks[r]) {
      for (const Pass* p : {&a.first, a.second ? &*a.second : nullptr}) {
        const bool has_weights = p && (p->kind == ActionKind::backward || p->kind == ActionKind::weight_gradient);
        if (has_weights) ++weights_left_[{static_cast<std::int32_t>(r), p->stage}];
      }
    }
  }
}

void Lowering::reserve() {
  // Every micro-batch runs each block's passes once; exchanges, sends and what they wait for come on top.
  std::size_t per_micro_batch = 0;
  for (std::size_t stage = 0; stage < in_.cut.stages.size(); ++stage) {
    for (const BlockKind k : in_.cut.stages[stage]) {
      const ResolvedBlock& b = resolver_->kernels(k, in_.cut.first_layer[stage], 0);
      per_micro_batch += 8 + resolver_->block(k).recompute.size() + b.before_exchange.size() + b.experts.size() +
                         b.experts_backward.size() + b.before_exchange_backward.size() + b.experts_weight.size() +
                         b.before_exchange_weight.size();
    }
  }
  const std::size_t tasks =
      per_micro_batch * static_cast<std::size_t>(in_.schedule.micro_batches) * static_cast<std::size_t>(out_.replicas);
  out_.graph.reserve(tasks, tasks / (out_.replicas == 1 ? 4 : 3));
}

void Lowering::emit(const ScheduledAction& scheduled) {
  for (std::int32_t q = 0; q < out_.replicas; ++q) emit_on(scheduled, scheduled.rank * out_.replicas + q);
  const Action& action = in_.schedule.ranks[static_cast<std::size_t>(scheduled.rank)][static_cast<std::size_t>(scheduled.position)];
  for (const Pass* p : {&action.first, action.second ? &*action.second : nullptr}) {
    const bool has_weights = p && (p->kind == ActionKind::backward || p->kind == ActionKind::weight_gradient);
    if (has_weights) --weights_left_[{scheduled.rank, p->stage}];
  }
}

void Lowering::emit_on(const ScheduledAction& scheduled, std::int32_t gpu) {
  for (const Lane lane : {Lane::expert, Lane::tensor, Lane::context}) {
    Meetings& m = meetings_[static_cast<std::size_t>(lane)];
    if (replica(gpu) == 0) m.of_action.assign(static_cast<std::size_t>(out_.replicas), {});
    m.next = 0;
  }
  const Action& action = in_.schedule.ranks[static_cast<std::size_t>(scheduled.rank)][static_cast<std::size_t>(scheduled.position)];
  const TaskId first{static_cast<std::uint32_t>(out_.graph.task_count())};
  if (action.second) {
    run_pair(action.first, *action.second, gpu);
  } else if (action.first.kind == ActionKind::weight_gradient) {
    weights_alone(action.first, gpu);
  } else {
    run_alone(action.first, gpu);
  }
  out_.spans.push_back({gpu, scheduled.position, first, TaskId{static_cast<std::uint32_t>(out_.graph.task_count())}});
}

Group Lowering::group(Lane lane) const {
  switch (lane) {
    case Lane::expert: return in_.mesh.expert();
    case Lane::tensor: return in_.mesh.tensor();
    case Lane::context: return in_.mesh.context();
    default: return {};
  }
}

std::size_t Lowering::group_index(const Group& g, std::int32_t replica) {
  return static_cast<std::size_t>(replica / (g.size * g.stride) * g.stride + replica % g.stride);
}

RendezvousId Lowering::meeting(std::int32_t gpu, Lane lane) {
  if (out_.replicas == 1) return {};
  const Group g = group(lane);
  if (g.size == 1) return {};
  Meetings& m = meetings_[static_cast<std::size_t>(lane)];
  std::vector<RendezvousId>& own = m.of_action[group_index(g, replica(gpu))];
  if (m.next == own.size()) own.push_back(out_.graph.add_rendezvous());
  return own[m.next++];
}

LoweredStep Lowering::run() {
  if (in_.scenario.extent == Extent::overlapped_pair) {
    emit({0, 0});  // what comes before and after the pair is outside of what is asked
  } else {
    for (const ScheduledAction& a : execution_order(in_.schedule)) emit(a);
  }
  out_.step_end = TaskId{static_cast<std::uint32_t>(out_.graph.task_count())};
  if (in_.scenario.extent == Extent::step) {
    const RendezvousId norm = out_.graph.add_rendezvous();
    for (std::size_t g = 0; g < out_.streams.size(); ++g) end_step(static_cast<std::int32_t>(g), norm);
  }
  out_.evidence = kinds_.evidence();
  out_.parts = kinds_.parts();
  return std::move(out_);
}

LoweredStep lower(const LoweringInput& input, Detail detail) { return Lowering(input, detail).run(); }

BlockContext block_context(const Scenario& scenario, const DeviceMesh& mesh, const LayerRouting& routing) {
  const std::vector<std::string>& fused = scenario.calibration.stack.fused.value;
  const bool joined = std::find(fused.begin(), fused.end(), "add+rms_norm") != fused.end();
  return {scenario.model, scenario.plan, scenario.training, routing,       scenario.calibration.stack.fp8.value,
          joined,         mesh.tensor(), mesh.context(),    mesh.expert(), mesh.expert_tensor()};
}

Conditions kernel_conditions(const Scenario& scenario, const Timing& timing) {
  const bool exchanges = scenario.model.moe && scenario.plan.expert_parallel > 1;
  const std::int64_t sms = scenario.cluster.gpu.sms - (exchanges ? timing.sms_held(CollectiveKind::expert_dispatch) : 0);
  return {.sms = sms, .load = Load::sustained};
}

}  // namespace trillion
