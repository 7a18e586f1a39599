#include "sim/workload/lower.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "sim/spec/chip_spread.h"
#include "sim/workload/experts.h"
#include "sim/workload/lowering.h"

namespace trillion {

namespace {

Conditions conditions_of(const LoweringInput& in) {
  Conditions conditions = kernel_conditions(in.scenario, in.timing);
  conditions.clock_mhz = in.clock_mhz;
  if (in.of_a_step) conditions.slowest_clock = slowest_step_clock(in.scenario);
  return conditions;
}

}  // namespace

Lowering::Lowering(const LoweringInput& in, Detail detail)
    : in_(in), places_(in.schedule), kinds_(out_.graph, in.timing, conditions_of(in), issue_costs(in.scenario.calibration.stack)) {
  const std::size_t ranks = in.schedule.ranks.size();
  out_.folding = fold(in.scenario, in.mesh);
  out_.replicas = out_.folding.class_count();
  const std::size_t gpus = ranks * static_cast<std::size_t>(out_.replicas);
  for (std::size_t g = 0; g < gpus; ++g) add_gpu(static_cast<std::int32_t>(g));
  resolver_.emplace(kinds_, in.load, views_, detail, in.blocks);
  const BlockContext context = block_context(in.scenario, in.mesh, in.load.mean);
  for (const Stage& s : in.cut.stages) {
    for (const BlockKind k : s) {
      if (!resolver_->has(k)) resolver_->add(k, make_block(k, context));
    }
  }
  copies_ = in.scenario.extent == Extent::step ? copies_of_a_stage(in.schedule) : in.copies;
  groups_ = gradient_groups(in.mesh, copies_, in.scenario.plan);
  sms_set_aside_ = kernel_conditions(in.scenario, in.timing).sms < in.scenario.cluster.gpu.sms;
  const Stack& stack = in.scenario.calibration.stack;
  exchanges_in_order_ = stack.framework.value != Framework::fused;
  host_waits_for_arrivals_ = stack.framework.value == Framework::fused && stack.runs_apart(UnfusedPart::launches);
  sends_hold_sms_ = ranks > 1 && in.mesh.pipeline().ranks_per_node > 1;
  const Plan& plan = in.scenario.plan;
  aligns_chunks_ = aligns_chunks(plan);
  aligned_ = aligns_chunks_ && in.scenario.extent == Extent::step && plan.overlap_parameter_gather && plan.sharding != Sharding::zero_3;
  if (in.scenario.model.moe) groups_.replicas = replica_pair(in.scenario.model, in.scenario.plan, in.mesh.expert());
  const std::size_t slots = static_cast<std::size_t>(in.schedule.stages) * static_cast<std::size_t>(in.schedule.micro_batches);
  arrived_forward_.resize(slots * static_cast<std::size_t>(out_.replicas));
  arrived_backward_.resize(slots * static_cast<std::size_t>(out_.replicas));
  block_start_.resize(gpus);
  forwards_.resize(gpus);
  passed_.resize(gpus);
  reduced_.resize(gpus);
  host_lead_ = in.host_lead;
  host_lead_.resize(gpus);
  host_waits_for_.resize(gpus);
  last_weight_.resize(gpus);
  last_sent_.resize(gpus);
  backward_start_.resize(gpus);
  unreduced_.resize(gpus);
  late_.resize(gpus);
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

// One simulated GPU: its streams, its links, and what sets it apart.
void Lowering::add_gpu(std::int32_t g) {
  const Cluster& cluster = in_.scenario.cluster;
  const ReplicaClass& replicas = out_.folding.classes[static_cast<std::size_t>(replica(g))];
  const std::int64_t number = in_.mesh.gpu(rank(g) % in_.mesh.pipeline().size, replicas.replica);
  const GpuCondition condition = condition_of(in_.scenario.perturbations, number, in_.scenario.seed);
  const std::string name = out_.replicas > 1 ? "GPU " + std::to_string(number) : "rank " + std::to_string(g);
  auto& lanes = out_.streams.emplace_back();
  const DeviceId device = out_.graph.add_device();
  for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
    lanes[lane] = out_.graph.add_stream(name + " " + std::string(kLaneNames[lane]), device);
  }
  RankLinks links;
  links.nvlink = out_.graph.add_link(name + " nvlink", cluster.scale_up.bandwidth * condition.nvlink);
  if (cluster.scale_out.nics_per_node > 0) {  // a single node needs none
    const BytesPerSecond nic = cluster.scale_out.nic_bandwidth *
                               (static_cast<double>(cluster.scale_out.nics_per_node) / static_cast<double>(cluster.gpus_per_node));
    links.nic_send = out_.graph.add_link(name + " nic send", nic * condition.nic);
    links.nic_receive = out_.graph.add_link(name + " nic receive", nic * condition.nic);
  }
  const bool own_tokens = in_.scenario.fidelity == Fidelity::full && in_.scenario.extent == Extent::step;
  const auto expert_rank = static_cast<std::int32_t>(in_.mesh.expert().place(number));
  views_.push_back({links, {condition.slowdown, own_tokens ? expert_rank : Runner::kBusiest}});
}

void Lowering::reserve() {
  if (in_.scenario.extent != Extent::step) return;  // a few actions
  // Every micro-batch runs each block's passes once; exchanges, sends and what they wait for come on top.
  std::size_t per_micro_batch = 0;
  for (std::size_t stage = 0; stage < in_.cut.stages.size(); ++stage) {
    for (const BlockKind k : in_.cut.stages[stage]) {
      const ResolvedBlock& b = resolver_->kernels(k, in_.cut.first_layer[stage], 0);
      per_micro_batch += 8 + resolver_->exchanges(k, in_.cut.first_layer[stage], 0, 0).recompute.size() + b.before_exchange.size() +
                         b.experts.size() + b.experts_backward.size() + b.before_exchange_backward.size() + b.experts_weight.size() +
                         b.before_exchange_weight.size();
    }
  }
  const std::size_t tasks =
      per_micro_batch * static_cast<std::size_t>(in_.schedule.micro_batches) * static_cast<std::size_t>(out_.replicas);
  out_.graph.reserve(tasks, tasks / (out_.replicas == 1 ? 4 : 3));
}

void Lowering::emit(const ScheduledAction& scheduled) {
  for (auto& parts : meetings_) {
    for (std::vector<RendezvousId>& of_action : parts) of_action.clear();
  }
  for (std::int32_t q = 0; q < out_.replicas; ++q) emit_on(scheduled, scheduled.rank * out_.replicas + q);
  const Action& action = in_.schedule.ranks[static_cast<std::size_t>(scheduled.rank)][static_cast<std::size_t>(scheduled.position)];
  for (const Pass* p : {&action.first, action.second ? &*action.second : nullptr}) {
    const bool has_weights = p && (p->kind == ActionKind::backward || p->kind == ActionKind::weight_gradient);
    if (has_weights) --weights_left_[{scheduled.rank, p->stage}];
  }
}

void Lowering::emit_on(const ScheduledAction& scheduled, std::int32_t gpu) {
  next_meeting_ = {};
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

RendezvousId Lowering::meeting(std::int32_t gpu, Lane lane) {
  if (lane != Lane::expert && lane != Lane::tensor && lane != Lane::context) return {};
  const Meeting kind = lane == Lane::expert ? Meeting::expert : lane == Lane::tensor ? Meeting::tensor : Meeting::context;
  if (!out_.folding.meets(kind, replica(gpu))) return {};
  auto& parts = meetings_[static_cast<std::size_t>(kind)];
  parts.resize(out_.folding.members[static_cast<std::size_t>(kind)].size());
  std::vector<RendezvousId>& of_action = parts[static_cast<std::size_t>(part(kind, gpu))];
  std::size_t& next = next_meeting_[static_cast<std::size_t>(kind)];
  if (next == of_action.size()) of_action.push_back(out_.graph.add_rendezvous());
  return of_action[next++];
}

LoweredStep Lowering::run() {
  if (in_.scenario.extent == Extent::overlapped_pair) {
    // What comes before and after is outside of what is asked: every rank's first action is looked at alone.
    for (std::int32_t r = 0; r < static_cast<std::int32_t>(in_.schedule.ranks.size()); ++r) emit({r, 0});
  } else {
    for (const ScheduledAction& a : execution_order(in_.schedule)) emit(a);
  }
  out_.step_end = TaskId{static_cast<std::uint32_t>(out_.graph.task_count())};
  if (in_.scenario.extent == Extent::step) {
    const RendezvousId norm = out_.graph.add_rendezvous();
    for (std::size_t g = 0; g < out_.streams.size(); ++g) end_step(static_cast<std::int32_t>(g), norm);
  }
  out_.evidence = kinds_.evidence();
  out_.clock_mhz = in_.clock_mhz;
  out_.parts = kinds_.parts();
  return std::move(out_);
}

LoweredStep lower(const LoweringInput& input, Detail detail) { return Lowering(input, detail).run(); }

namespace {

// Compiled code runs a checkpointed function eagerly when its graph breaks, and a router's torch.bincount breaks it (workload/torch.h).
// Under fully_shard layers are compiled before they are wrapped.
Framework framework_of(const Scenario& scenario) {
  const Framework framework = scenario.calibration.stack.framework.value;
  const Plan& plan = scenario.plan;
  const bool checkpointed = plan.recomputes(RecomputeModule::layer) || plan.recomputes(RecomputeModule::products);
  const bool breaks = framework == Framework::torch_compiled && scenario.model.moe && checkpointed && plan.sharding != Sharding::zero_3;
  return breaks ? Framework::torch_eager : framework;
}

}  // namespace

BlockContext block_context(const Scenario& scenario, const DeviceMesh& mesh, const LayerRouting& routing) {
  const std::vector<std::string>& fused = scenario.calibration.stack.fused.value;
  const bool joined = std::find(fused.begin(), fused.end(), "add+rms_norm") != fused.end();
  const Stack& stack = scenario.calibration.stack;
  std::vector<UnfusedPart> unfused = stack.unfused.value;
  if (stack.fp8.value != DType::fp8) std::erase(unfused, UnfusedPart::maximum);  // blocks have maxima of their own
  const std::int64_t replicas = mesh.data_parallel() * scenario.plan.micro_batch_size;
  return {.model = scenario.model,
          .plan = scenario.plan,
          .training = scenario.training,
          .routing = routing,
          .fp8_type = stack.fp8.value,
          .fuses_residual_with_norm = joined,
          .tensor = mesh.tensor(),
          .context = mesh.context(),
          .expert = mesh.expert(),
          .expert_tensor = mesh.expert_tensor(),
          .framework = framework_of(scenario),
          .attention = stack.attention.value,
          .micro_batches = std::max<std::int64_t>(1, scenario.training.global_batch_size / replicas),
          .unfused = std::move(unfused)};
}

bool alternates_chunks(const Plan& p) {
  if (p.schedule_file) return p.schedule_file->text.find('(') != std::string::npos;
  return p.schedule == ScheduleKind::dualpipe || p.schedule == ScheduleKind::dualpipe_v;
}

bool aligns_chunks(const Plan& p) {
  return !p.schedule_file && p.schedule == ScheduleKind::interleaved_1f1b && p.virtual_pipeline_stages > 1;
}

Conditions kernel_conditions(const Scenario& scenario, const Timing& timing) {
  const Plan& p = scenario.plan;
  const bool pairs = alternates_chunks(p) && (p.pipeline_parallel > 1 || scenario.extent == Extent::overlapped_pair);
  const bool exchanges = scenario.model.moe && p.expert_parallel > 1 && pairs;
  const std::int64_t sms = scenario.cluster.gpu.sms - (exchanges ? timing.sms_held(CollectiveKind::expert_dispatch) : 0);
  return {.sms = sms, .load = Load::sustained, .slowest_clock = scenario.extent == Extent::step ? slowest_step_clock(scenario) : 1};
}

double slowest_step_clock(const Scenario& scenario) {
  const Calibration& calibration = scenario.calibration;
  return calibration.power.known() ? 1 : slowest_clock(calibration.stack.chip_spread.value, scenario.cluster.gpus());
}

}  // namespace trillion
