#include "sim/workload/lower.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "sim/workload/passes.h"
#include "sim/workload/resolved_block.h"
#include "sim/workload/schedule_index.h"
#include "sim/workload/step_end.h"

namespace trillion {

namespace {

// Where a chain of dependent tasks stands: a micro-batch's activations, or its gradients, on their way through the blocks.
struct Chain {
  TaskId last;
  StreamId stream;
  TaskId parameters;  // the gather that the next kernel waits for as well
};

// One chunk on its way: which pass, on which rank, at which point of its chain.
struct Chunk {
  Pass pass;
  std::int32_t rank = 0;
  Chain chain;
};

class Lowering {
 public:
  explicit Lowering(const LoweringInput& in);
  LoweredStep run();

 private:
  // Emission of tasks.
  void push(std::int32_t rank, const ResolvedOperation& op, Chain& chain);
  void push_all(std::int32_t rank, const ResolvedOperations& ops, Chain& chain);
  void push_independent(std::int32_t rank, const ResolvedOperations& ops);
  void exchange(const Chunk& chunk, std::optional<KindId> kind, Chain& chain);

  // Actions.
  void emit(const ScheduledAction& action);
  void run_alone(const Pass& pass, std::int32_t rank);
  void run_pair(const Pass& forward, const Pass& backward, std::int32_t rank);
  void weights_alone(const Pass& pass, std::int32_t rank);

  // Parts of a block; `i` counts the blocks of the chunk's stage from the front.
  void forward_to_dispatch(Chunk& chunk, std::size_t i);
  void forward_from_dispatch(Chunk& chunk, std::size_t i);
  void gradient_to_experts(Chunk& chunk, std::size_t i);
  void backward_to_experts(Chunk& chunk, std::size_t i);
  void experts_weight(Chunk& chunk, std::size_t i);
  void backward_from_experts(Chunk& chunk, std::size_t i);
  void before_exchange_weight(Chunk& chunk, std::size_t i);

  // Between ranks.
  Chunk arrive(const Pass& pass, std::int32_t rank);
  void leave(const Chunk& chunk);
  KindId send_kind(std::int32_t from, std::int32_t to, Lane lane);

  // Data parallelism.
  void gather_parameters(Chunk& chunk, std::size_t i);
  void reduce_gradients(const Chunk& chunk, std::size_t i);
  void end_step(std::int32_t rank, RendezvousId norm);
  TaskId push_shared(std::int32_t rank, const Operation& op, TaskId after, RendezvousId meeting = {});

  const Stage& stage(std::int32_t s) const { return in_.cut.stages[static_cast<std::size_t>(s)]; }
  std::int64_t layer(const Chunk& c, std::size_t i) const {
    return in_.cut.first_layer[static_cast<std::size_t>(c.pass.stage)] + static_cast<std::int64_t>(i);
  }
  BlockKind kind(const Chunk& c, std::size_t i) const { return stage(c.pass.stage)[i]; }
  const ResolvedBlock& block(const Chunk& c, std::size_t i) { return resolver_->kernels(kind(c, i), layer(c, i), c.pass.micro_batch); }
  const ResolvedExchanges& wires(const Chunk& c, std::size_t i) {
    return resolver_->exchanges(kind(c, i), layer(c, i), c.pass.micro_batch, c.rank);
  }
  StreamId stream(std::int32_t rank, Lane lane) const {
    return out_.streams[static_cast<std::size_t>(rank)][static_cast<std::size_t>(lane)];
  }
  std::size_t slot(std::int32_t s, std::int32_t micro_batch) const {
    return static_cast<std::size_t>(s) * static_cast<std::size_t>(in_.schedule.micro_batches) + static_cast<std::size_t>(micro_batch);
  }
  bool splits_weights(ActionKind k) const { return k == ActionKind::input_gradient; }

  const LoweringInput& in_;
  PassIndex places_;
  LoweredStep out_;
  KindTable kinds_;
  std::optional<BlockResolver> resolver_;
  GradientGroups groups_;
  std::int64_t copies_ = 0;                                                       // ranks that hold one stage
  std::vector<Chain> arrived_forward_, arrived_backward_;                         // [stage][micro-batch]: what the neighbour sent
  std::map<std::pair<std::int32_t, std::int32_t>, std::int32_t> weights_left_;    // (rank, stage) -> passes to come
  std::map<std::tuple<std::int32_t, std::size_t, bool>, RendezvousId> meetings_;  // (stage, block, expert?) of the two copies
  std::vector<TaskId> block_start_;                                               // per rank: first kernel of the block last begun
  std::vector<TaskId> reduced_;                                                   // per rank: the last gradient reduction
  std::map<std::tuple<std::int32_t, std::int32_t, Lane>, KindId> send_kinds_;
};

Lowering::Lowering(const LoweringInput& in)
    : in_(in),
      places_(in.schedule),
      kinds_(out_.graph, in.timing, kernel_conditions(in.scenario, in.timing), in.scenario.calibration.stack.kernel_gap.value) {
  const std::size_t ranks = in.schedule.ranks.size();
  const Cluster& cluster = in.scenario.cluster;
  const BytesPerSecond nic =
      cluster.scale_out.nic_bandwidth * (static_cast<double>(cluster.scale_out.nics_per_node) / static_cast<double>(cluster.gpus_per_node));
  for (std::size_t r = 0; r < ranks; ++r) {
    const std::string name = "rank " + std::to_string(r);
    auto& lanes = out_.streams.emplace_back();
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) lanes[lane] = out_.graph.add_stream(name + " " + std::string(kLaneNames[lane]));
    out_.links.push_back({out_.graph.add_link(name + " nic send", nic), out_.graph.add_link(name + " nic receive", nic),
                          out_.graph.add_link(name + " nvlink", cluster.scale_up.bandwidth)});
  }
  resolver_.emplace(kinds_, in.load, out_.links);
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
  arrived_forward_.resize(slots);
  arrived_backward_.resize(slots);
  block_start_.resize(ranks);
  reduced_.resize(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    for (const Action& a : in.schedule.ranks[r]) {
      for (const Pass* p : {&a.first, a.second ? &*a.second : nullptr}) {
        const bool has_weights = p && (p->kind == ActionKind::backward || p->kind == ActionKind::weight_gradient);
        if (has_weights) ++weights_left_[{static_cast<std::int32_t>(r), p->stage}];
      }
    }
  }
}

void Lowering::push(std::int32_t rank, const ResolvedOperation& op, Chain& chain) {
  const StreamId s = stream(rank, op.lane);
  std::array<TaskId, 2> dependencies;
  std::size_t count = 0;
  // Within one stream the order says it already.
  if (chain.last.valid() && chain.stream != s) dependencies[count++] = chain.last;
  if (chain.parameters.valid()) dependencies[count++] = std::exchange(chain.parameters, TaskId{});
  chain.last = out_.graph.add(s, op.kind, std::span<const TaskId>(dependencies.data(), count));
  chain.stream = s;
}

void Lowering::push_all(std::int32_t rank, const ResolvedOperations& ops, Chain& chain) {
  for (const ResolvedOperation& op : ops) push(rank, op, chain);
}

void Lowering::push_independent(std::int32_t rank, const ResolvedOperations& ops) {
  // Weight gradients wait for nothing but the compute stream: the input gradients before them have left their operands.
  for (const ResolvedOperation& op : ops) out_.graph.add(stream(rank, op.lane), op.kind, {});
}

void Lowering::exchange(const Chunk& chunk, std::optional<KindId> kind, Chain& chain) {
  if (kind) push(chunk.rank, {*kind, Lane::expert}, chain);
}

void Lowering::forward_to_dispatch(Chunk& c, std::size_t i) {
  gather_parameters(c, i);
  push_all(c.rank, block(c, i).before_exchange, c.chain);
  exchange(c, wires(c, i).dispatch, c.chain);
}

void Lowering::forward_from_dispatch(Chunk& c, std::size_t i) {
  push_all(c.rank, block(c, i).experts, c.chain);
  exchange(c, wires(c, i).combine, c.chain);
}

void Lowering::gradient_to_experts(Chunk& c, std::size_t i) {
  exchange(c, wires(c, i).combine_backward_cast, c.chain);
  exchange(c, wires(c, i).combine_backward, c.chain);
}

void Lowering::backward_to_experts(Chunk& c, std::size_t i) {
  gather_parameters(c, i);
  push_all(c.rank, block(c, i).recompute, c.chain);
  push_all(c.rank, block(c, i).experts_backward, c.chain);
  exchange(c, wires(c, i).dispatch_backward, c.chain);
}

void Lowering::backward_from_experts(Chunk& c, std::size_t i) { push_all(c.rank, block(c, i).before_exchange_backward, c.chain); }

void Lowering::experts_weight(Chunk& c, std::size_t i) {
  if (!splits_weights(c.pass.kind)) push_independent(c.rank, block(c, i).experts_weight);
}

void Lowering::before_exchange_weight(Chunk& c, std::size_t i) {
  if (splits_weights(c.pass.kind)) return;
  push_independent(c.rank, block(c, i).before_exchange_weight);
  reduce_gradients(c, i);
}

Chunk Lowering::arrive(const Pass& pass, std::int32_t rank) {
  const auto& arrived = pass.kind == ActionKind::forward ? arrived_forward_ : arrived_backward_;
  return {pass, rank, arrived[slot(pass.stage, pass.micro_batch)]};
}

KindId Lowering::send_kind(std::int32_t from, std::int32_t to, Lane lane) {
  const auto [entry, fresh] = send_kinds_.try_emplace({from, to, lane});
  if (fresh) {
    const Group neighbours = in_.mesh.pipeline();
    const Operation op{lane == Lane::pipeline_forward ? "send activations" : "send gradients", Category::pipeline_p2p, lane,
                       Collective{.kind = CollectiveKind::send_recv,
                                  .bytes = Sizes(block_context(in_.scenario, in_.mesh, in_.load.mean)).residual(),
                                  .ranks = 2,
                                  .ranks_per_node = std::min<std::int64_t>(2, neighbours.ranks_per_node),
                                  .scale_up_bytes = {}}};
    entry->second = kinds_.kind_on_links(op, out_.links[static_cast<std::size_t>(from)], out_.links[static_cast<std::size_t>(to)]);
  }
  return entry->second;
}

void Lowering::leave(const Chunk& c) {
  const bool forward = c.pass.kind == ActionKind::forward;
  const std::int32_t next = c.pass.stage + (forward ? 1 : -1);
  if (forward && next == in_.schedule.stages) {
    arrived_backward_[slot(c.pass.stage, c.pass.micro_batch)] = c.chain;  // the loss turns around here
    return;
  }
  if (next < 0) return;
  const std::int32_t to = places_.rank_of(next, c.pass.micro_batch);
  Chain chain = c.chain;
  const Lane lane = forward ? Lane::pipeline_forward : Lane::pipeline_backward;
  if (to != c.rank) push(c.rank, {send_kind(c.rank, to, lane), lane}, chain);
  (forward ? arrived_forward_ : arrived_backward_)[slot(next, c.pass.micro_batch)] = chain;
}

void Lowering::run_alone(const Pass& pass, std::int32_t rank) {
  Chunk c = arrive(pass, rank);
  const std::size_t blocks = stage(pass.stage).size();
  if (pass.kind == ActionKind::forward) {
    for (std::size_t i = 0; i < blocks; ++i) {
      forward_to_dispatch(c, i);
      forward_from_dispatch(c, i);
    }
    leave(c);
    return;
  }
  for (std::size_t i = blocks; i-- > 0;) {
    gradient_to_experts(c, i);
    backward_to_experts(c, i);
    experts_weight(c, i);
    backward_from_experts(c, i);
    if (i == 0) leave(c);
    before_exchange_weight(c, i);
  }
}

void Lowering::run_pair(const Pass& forward, const Pass& backward, std::int32_t rank) {
  Chunk f = arrive(forward, rank), b = arrive(backward, rank);
  const std::size_t forward_blocks = stage(forward.stage).size(), backward_blocks = stage(backward.stage).size();
  for (std::size_t step = 0; step < std::max(forward_blocks, backward_blocks); ++step) {
    const bool runs_forward = step < forward_blocks, runs_backward = step < backward_blocks;
    const std::size_t i = backward_blocks - 1 - step;  // used only where runs_backward
    if (runs_backward) gradient_to_experts(b, i);
    if (runs_forward) forward_to_dispatch(f, step);
    if (runs_backward) {
      backward_to_experts(b, i);
      experts_weight(b, i);
    }
    if (runs_forward) forward_from_dispatch(f, step);
    if (runs_backward) {
      backward_from_experts(b, i);
      if (i == 0) leave(b);
      before_exchange_weight(b, i);
    }
  }
  leave(f);
}

void Lowering::weights_alone(const Pass& pass, std::int32_t rank) {
  Chunk c{pass, rank, {}};
  for (std::size_t i = stage(pass.stage).size(); i-- > 0;) {
    experts_weight(c, i);
    before_exchange_weight(c, i);
  }
}

void Lowering::emit(const ScheduledAction& scheduled) {
  const auto rank = scheduled.rank;
  const Action& action = in_.schedule.ranks[static_cast<std::size_t>(rank)][static_cast<std::size_t>(scheduled.position)];
  const TaskId first{static_cast<std::uint32_t>(out_.graph.task_count())};
  if (action.second) {
    run_pair(action.first, *action.second, rank);
  } else if (action.first.kind == ActionKind::weight_gradient) {
    weights_alone(action.first, rank);
  } else {
    run_alone(action.first, rank);
  }
  for (const Pass* p : {&action.first, action.second ? &*action.second : nullptr}) {
    const bool has_weights = p && (p->kind == ActionKind::backward || p->kind == ActionKind::weight_gradient);
    if (has_weights) --weights_left_[{rank, p->stage}];
  }
  out_.spans.push_back({rank, scheduled.position, first, TaskId{static_cast<std::uint32_t>(out_.graph.task_count())}});
}

void Lowering::gather_parameters(Chunk& c, std::size_t i) {
  if (in_.scenario.plan.sharding != Sharding::zero_3) return;
  const BlockReduction g = parameter_gather(resolver_->block(kind(c, i)).parameters, groups_, in_.scenario.plan);
  // Prefetched: the gather starts with the first kernel of the block before, so that two blocks' parameters are in memory.
  TaskId& previous = block_start_[static_cast<std::size_t>(c.rank)];
  for (const std::optional<Operation>& op : {g.dense, g.expert}) {
    if (!op) continue;
    const std::span<const TaskId> after = previous.valid() ? std::span<const TaskId>(&previous, 1) : std::span<const TaskId>{};
    c.chain.parameters = out_.graph.add(stream(c.rank, Lane::gather), kinds_.kind(*op), after);
  }
  previous = TaskId{static_cast<std::uint32_t>(out_.graph.task_count())};
}

TaskId Lowering::push_shared(std::int32_t rank, const Operation& op, TaskId after, RendezvousId meeting) {
  const RankLinks& links = out_.links[static_cast<std::size_t>(rank)];
  return out_.graph.add(stream(rank, op.lane), kinds_.kind_on_links(op, links, links), {&after, 1}, meeting);
}

void Lowering::reduce_gradients(const Chunk& c, std::size_t i) {
  const Sharding sharding = in_.scenario.plan.sharding;
  const bool every_micro_batch = sharding == Sharding::zero_2 || sharding == Sharding::zero_3;
  const bool last = weights_left_[{c.rank, c.pass.stage}] == 1;
  if (in_.scenario.extent != Extent::step || !(last || every_micro_batch)) return;
  const BlockReduction r = gradient_reduction(resolver_->block(kind(c, i)).parameters, groups_, in_.scenario.plan, in_.scenario.training);
  const TaskId computed{static_cast<std::uint32_t>(out_.graph.task_count() - 1)};
  for (const bool expert : {false, true}) {
    const std::optional<Operation>& op = expert ? r.expert : r.dense;
    if (!op) continue;
    RendezvousId meeting;
    if (copies_ > 1) {
      const auto [entry, fresh] = meetings_.try_emplace({c.pass.stage, i, expert});
      if (fresh) entry->second = out_.graph.add_rendezvous();
      meeting = entry->second;
    }
    reduced_[static_cast<std::size_t>(c.rank)] = push_shared(c.rank, *op, computed, meeting);
  }
}

void Lowering::end_step(std::int32_t rank, RendezvousId norm) {
  HeldParameters held;
  std::vector<BlockReduction> gathers;
  for (const std::int32_t s : in_.schedule.stages_of(rank)) {
    for (const BlockKind k : stage(s)) {
      const BlockParameters& p = resolver_->block(k).parameters;
      held.shard += optimizer_shard(p, groups_, in_.scenario.plan);
      held.whole += p.total();
      if (in_.scenario.plan.sharding != Sharding::zero_3) gathers.push_back(parameter_gather(p, groups_, in_.scenario.plan));
    }
  }
  const Cluster& cluster = in_.scenario.cluster;
  const Group world{in_.mesh.gpus(), 1, std::min(in_.mesh.gpus(), cluster.scale_up.domain_gpus)};
  const OptimizerKernels k = optimizer_kernels(held, world, in_.scenario.plan, in_.scenario.training);
  const TaskId reduced = reduced_[static_cast<std::size_t>(rank)];
  Chain chain{reduced, reduced.valid() ? stream(rank, Lane::reduce) : stream(rank, Lane::compute), {}};
  push(rank, {kinds_.kind(k.gradient_norm), Lane::compute}, chain);
  chain = {
      out_.graph.add(stream(rank, Lane::reduce), kinds_.kind(k.norm_exchange), {&chain.last, 1}, norm), stream(rank, Lane::reduce), {}};
  push(rank, {kinds_.kind(k.update), Lane::compute}, chain);
  const TaskId updated = chain.last;
  for (const BlockReduction& g : gathers) {
    for (const std::optional<Operation>& op : {g.dense, g.expert}) {
      if (op) chain = {push_shared(rank, *op, updated), stream(rank, Lane::gather), {}};
    }
  }
  if (k.quantise) push(rank, {kinds_.kind(*k.quantise), Lane::compute}, chain);
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
    for (std::size_t r = 0; r < in_.schedule.ranks.size(); ++r) end_step(static_cast<std::int32_t>(r), norm);
  }
  out_.evidence = kinds_.evidence();
  return std::move(out_);
}

}  // namespace

LoweredStep lower(const LoweringInput& input) { return Lowering(input).run(); }

BlockContext block_context(const Scenario& scenario, const DeviceMesh& mesh, const LayerRouting& routing) {
  const std::vector<std::string>& fused = scenario.calibration.stack.fused.value;
  const bool joined = std::find(fused.begin(), fused.end(), "add+rms_norm") != fused.end();
  return {scenario.model, scenario.plan, scenario.training, routing,      DType::fp8_block,
          joined,         mesh.tensor(), mesh.context(),    mesh.expert()};
}

Conditions kernel_conditions(const Scenario& scenario, const Timing& timing) {
  const bool exchanges = scenario.model.moe && scenario.plan.expert_parallel > 1;
  const std::int64_t sms = scenario.cluster.gpu.sms - (exchanges ? timing.sms_held(CollectiveKind::expert_dispatch) : 0);
  return {.sms = sms, .load = Load::sustained};
}

}  // namespace trillion
