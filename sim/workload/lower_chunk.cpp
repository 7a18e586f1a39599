// The passes of one chunk: its blocks' kernels, its exchanges, its way to the next stage.
#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "sim/base/random.h"
#include "sim/workload/lowering.h"
#include "sim/workload/passes.h"

namespace trillion {

namespace {
constexpr std::uint64_t kStreamJitter = 0x6a69740000000000ull;  // and the GPU: no other draw of a scenario uses it
}

// The host's task that issues a kernel; not valid() where it has happened before the step began.
TaskId Lowering::issue(std::int32_t gpu, const ResolvedOperation& op) {
  if (!op.launch.valid()) return {};
  SimTime& lead = host_lead_[static_cast<std::size_t>(gpu)];
  const SimTime cost = out_.graph.kind(op.launch).duration;
  if (lead >= cost) {
    lead = lead - cost;
    return {};
  }
  TaskId& awaited = host_waits_for_[static_cast<std::size_t>(gpu)];
  const TaskId waits = std::exchange(awaited, TaskId{});
  const KindId kind = waits.valid()      ? kinds_.after_wait(op.launch)
                      : lead > SimTime{} ? kinds_.rest_of_launch(op.launch, std::exchange(lead, SimTime{}))
                                         : op.launch;
  return out_.graph.add(stream(gpu, Lane::host), kind, waits.valid() ? std::span<const TaskId>(&waits, 1) : std::span<const TaskId>{});
}

void Lowering::hold_up(std::int32_t gpu, const ResolvedOperation& op, TaskId kernel) {
  if (!op.launch.valid() || !op.host_waits) return;
  host_waits_for_[static_cast<std::size_t>(gpu)] = kernel;
  host_lead_[static_cast<std::size_t>(gpu)] = {};
}

void Lowering::push(std::int32_t gpu, const ResolvedOperation& op, Chain& chain) {
  Beside nothing;
  push(gpu, op, chain, nothing);
}

void Lowering::push(std::int32_t gpu, const ResolvedOperation& op, Chain& chain, Beside& beside) {
  const StreamId s = stream(gpu, op.lane);
  const bool ahead = op.order == Order::ahead || op.order == Order::before_weights;
  std::array<TaskId, 5> dependencies;
  std::size_t count = 0;
  if (const TaskId issued = issue(gpu, op); issued.valid()) dependencies[count++] = issued;
  // Within one stream the order says it already.
  if (chain.last.valid() && chain.stream != s) dependencies[count++] = chain.last;
  if (chain.parameters.valid() && !ahead) dependencies[count++] = std::exchange(chain.parameters, TaskId{});
  if (chain.restored.valid() && !ahead) dependencies[count++] = std::exchange(chain.restored, TaskId{});
  if (beside.met < beside.tasks.size() && (op.order == Order::meets || op.order == Order::meets_all)) {
    // Operations ahead share a stream: the last one ends last.
    beside.met = op.order == Order::meets ? beside.met + 1 : beside.tasks.size();
    dependencies[count++] = beside.tasks[beside.met - 1];
  }
  const TaskId task = out_.graph.add(s, launched(gpu, op), std::span<const TaskId>(dependencies.data(), count), meeting(gpu, op.lane));
  if (ahead) {
    beside.tasks.push_back(task);
    return;
  }
  chain.last = task;
  chain.stream = s;
  hold_up(gpu, op, chain.last);
}

void Lowering::push_all(std::int32_t gpu, const ResolvedOperations& ops, Chain& chain) {
  Beside beside;
  for (const ResolvedOperation& op : ops) push(gpu, op, chain, beside);
}

void Lowering::push_backward(Chunk& c, const ResolvedOperations& ops, const ResolvedOperations& weights) {
  Beside beside;
  for (const ResolvedOperation& op : ops) {
    push(c.gpu, op, c.chain, beside);
    if (op.order == Order::before_weights && !splits_weights(c.pass.kind)) {
      push_weights(c, weights, beside);
      c.weights_ran = true;
    }
  }
}

// Weight gradients wait for nothing but the compute stream: the input gradients before them have left their operands. What was
// gathered for them again is the first operation beside the chain.
void Lowering::push_weights(Chunk& c, const ResolvedOperations& ops, Beside& beside) {
  for (const ResolvedOperation& op : ops) {
    std::array<TaskId, 2> after;
    std::size_t count = 0;
    if (const TaskId issued = issue(c.gpu, op); issued.valid()) after[count++] = issued;
    if (op.order == Order::meets && beside.met < beside.tasks.size()) after[count++] = beside.tasks[beside.met++];
    c.last_weight = out_.graph.add(stream(c.gpu, op.lane), launched(c.gpu, op), std::span<const TaskId>(after.data(), count));
    hold_up(c.gpu, op, c.last_weight);
  }
}

KindId Lowering::launched(std::int32_t gpu, const ResolvedOperation& op) {
  const double deviation = in_.scenario.perturbations.kernel_jitter;
  if (deviation == 0 || op.lane != Lane::compute) return op.kind;
  const Random random(in_.scenario.seed, kStreamJitter + static_cast<std::uint64_t>(gpu));
  const std::uint64_t draw = random.bits(out_.graph.task_count());
  return kinds_.jittered(op.kind, deviation, static_cast<std::int32_t>(draw % KindTable::kJitterLevels));
}

// PyTorch's autograd issues one operation after the other and its NCCL calls wait for all of the compute stream, which waits for them.
void Lowering::exchange(const char* section, Chunk& chunk, std::optional<KindId> kind, KindId launch) {
  if (!kind) return;
  if (exchanges_in_order_ && chunk.last_weight.valid() && (!chunk.chain.last.valid() || chunk.chain.last < chunk.last_weight)) {
    chunk.chain.last = chunk.last_weight;
    chunk.chain.stream = stream(chunk.gpu, Lane::compute);
  }
  const TaskId first = next_task();
  push(chunk.gpu, {*kind, Lane::expert, Order::chain, launch}, chunk.chain);
  note(section, chunk, first);
}

void Lowering::forward_to_dispatch(Chunk& c, std::size_t i) {
  gather_parameters(c, i);
  const TaskId first = next_task();
  push_all(c.gpu, block(c, i).before_exchange, c.chain);
  note("attn(F)", c, first);
  exchange("dispatch(F)", c, wires(c, i).dispatch, wires(c, i).launch);
}

void Lowering::forward_from_dispatch(Chunk& c, std::size_t i) {
  const TaskId first = next_task();
  push_all(c.gpu, block(c, i).experts, c.chain);
  note("mlp(F)", c, first);
  exchange("combine(F)", c, wires(c, i).combine, wires(c, i).launch);
  send_activations(c, i);
}

void Lowering::gradient_to_experts(Chunk& c, std::size_t i) {
  exchange("combine(B)", c, wires(c, i).combine_backward_cast);
  exchange("combine(B)", c, wires(c, i).combine_backward, wires(c, i).launch);
}

void Lowering::backward_to_experts(Chunk& c, std::size_t i) {
  gather_parameters(c, i);
  fetch_activations(c, i);
  const TaskId first = next_task();
  push_all(c.gpu, wires(c, i).recompute, c.chain);
  push_backward(c, block(c, i).experts_backward, block(c, i).experts_weight);
  note("mlp(B)", c, first);
  if (exchanges_in_order_) experts_weight(c, i);
  exchange("dispatch(B)", c, wires(c, i).dispatch_backward, wires(c, i).launch);
}

void Lowering::backward_from_experts(Chunk& c, std::size_t i) {
  const TaskId first = next_task();
  push_backward(c, block(c, i).before_exchange_backward, block(c, i).before_exchange_weight);
  note("attn(B)", c, first);
}

void Lowering::experts_weight(Chunk& c, std::size_t i) {
  Beside nothing;
  const TaskId first = next_task();
  if (!splits_weights(c.pass.kind) && !std::exchange(c.weights_ran, false)) push_weights(c, block(c, i).experts_weight, nothing);
  note("mlp(W)", c, first);
}

void Lowering::before_exchange_weight(Chunk& c, std::size_t i) {
  if (splits_weights(c.pass.kind)) return;
  Beside nothing;
  const TaskId first = next_task();
  if (!std::exchange(c.weights_ran, false)) push_weights(c, block(c, i).before_exchange_weight, nothing);
  note("attn(W)", c, first);
  reduce_gradients(c, i);
}

void Lowering::note(const char* section, const Chunk& c, TaskId first) {
  if (resolver_->detail() != Detail::kernels || first == next_task()) return;
  const StreamId s = out_.graph.stream_of(first);
  const auto& lanes = out_.streams[static_cast<std::size_t>(c.gpu)];
  const auto lane = static_cast<Lane>(std::find(lanes.begin(), lanes.end(), s) - lanes.begin());
  out_.sections.push_back({section, c.gpu, lane, first, next_task()});
}

Chunk Lowering::arrive(const Pass& pass, std::int32_t gpu) {
  const auto& arrived = pass.kind == ActionKind::forward ? arrived_forward_ : arrived_backward_;
  const Chain& chain = arrived[slot(pass.stage, pass.micro_batch, gpu)];
  if (host_waits_for_arrivals_ && chain.last.valid() && chain.stream != stream(gpu, Lane::compute)) {
    host_waits_for_[static_cast<std::size_t>(gpu)] = chain.last;
    host_lead_[static_cast<std::size_t>(gpu)] = {};
  }
  return {pass, gpu, chain, false, {}, company(pass, gpu)};
}

Company Lowering::company(const Pass& pass, std::int32_t gpu) const {
  if (sms_set_aside_) return Company::alone;
  const Plan& plan = in_.scenario.plan;
  const bool replicas = groups_.dense.size > 1 || groups_.expert.size > 1;
  bool beside = sends_hold_sms_;
  if (replicas) {
    const bool forward = pass.kind == ActionKind::forward, gathers = gathers_beside(gpu);
    const auto left = weights_left_.find({rank(gpu), pass.stage});
    const bool reduces = reduces_beside(gpu) && (plan.overlap_gradient_reduce || reduces_every_micro_batch(plan));
    const bool each_pass = reduces_every_micro_batch(plan), shards = plan.sharding == Sharding::zero_3;
    beside = beside || (each_pass && gathers && (shards || !forward));
    // Gradients that are complete are on their way from here on.
    beside = beside || (reduces && (reduced_[static_cast<std::size_t>(gpu)].valid() || (!forward && left->second == 1)));
    beside = beside || ((plan.overlap_parameter_gather || shards) && gathers && forward && !gathered_.contains({gpu, pass.stage}));
  }
  return beside ? Company::shared : Company::alone;
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
                                  .scale_up_bytes = {},
                                  .nic_share = neighbours.nic_share}};
    entry->second = kinds_.kind_on_links(op, links(from), links(to), sends_hold_sms_ ? Company::shared : Company::alone);
  }
  return entry->second;
}

void Lowering::leave(const Chunk& c) {
  if (in_.scenario.extent == Extent::overlapped_pair) return;
  const bool forward = c.pass.kind == ActionKind::forward;
  if (forward) passed_[static_cast<std::size_t>(c.gpu)] = c.chain.last;
  const std::int32_t next = c.pass.stage + (forward ? 1 : -1);
  if (forward && next == in_.schedule.stages) {
    arrived_backward_[slot(c.pass.stage, c.pass.micro_batch, c.gpu)] = c.chain;  // the loss turns around here
    return;
  }
  if (next < 0) return;
  const std::int32_t to = places_.rank_of(next, c.pass.micro_batch) * out_.replicas + replica(c.gpu);
  Chain chain = c.chain;
  chain.restored = {};  // what is sent is no block's to drop
  const Lane lane = forward ? Lane::pipeline_forward : Lane::pipeline_backward;
  if (to != c.gpu) push(c.gpu, {send_kind(c.gpu, to, lane), lane}, chain);
  (forward ? arrived_forward_ : arrived_backward_)[slot(next, c.pass.micro_batch, c.gpu)] = chain;
}

void Lowering::run_alone(const Pass& pass, std::int32_t gpu) {
  Chunk c = arrive(pass, gpu);
  const std::size_t blocks = stage(pass.stage).size();
  if (pass.kind == ActionKind::forward) {
    if (aligned_) gather_ahead(gpu, pass.stage);
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
    if (!exchanges_in_order_) experts_weight(c, i);
    backward_from_experts(c, i);
    if (i == 0) leave(c);
    before_exchange_weight(c, i);
  }
  if (blocks == 0) leave(c);  // passed on as it came
}

void Lowering::run_pair(const Pass& forward, const Pass& backward, std::int32_t gpu) {
  Chunk f = arrive(forward, gpu), b = arrive(backward, gpu);
  // One chunk's tensor- and context-parallel collectives run beside the other's kernels.
  const bool talks = in_.mesh.tensor().size > 1 || in_.mesh.context().size > 1;
  if (talks && !sms_set_aside_) f.company = b.company = Company::shared;
  const std::size_t forward_blocks = stage(forward.stage).size(), backward_blocks = stage(backward.stage).size();
  for (std::size_t step = 0; step < std::max(forward_blocks, backward_blocks); ++step) {
    const bool runs_forward = step < forward_blocks, runs_backward = step < backward_blocks;
    const std::size_t i = backward_blocks - 1 - step;  // used only where runs_backward
    if (runs_backward) gradient_to_experts(b, i);
    if (runs_forward) forward_to_dispatch(f, step);
    if (runs_backward) {
      backward_to_experts(b, i);
      if (!exchanges_in_order_) experts_weight(b, i);
    }
    if (runs_forward) forward_from_dispatch(f, step);
    if (runs_backward) {
      backward_from_experts(b, i);
      if (i == 0) leave(b);
      before_exchange_weight(b, i);
    }
  }
  if (backward_blocks == 0) leave(b);
  leave(f);
}

void Lowering::weights_alone(const Pass& pass, std::int32_t gpu) {
  Chunk c{pass, gpu, {}, false, {}, company(pass, gpu)};
  for (std::size_t i = stage(pass.stage).size(); i-- > 0;) {
    experts_weight(c, i);
    before_exchange_weight(c, i);
  }
}

}  // namespace trillion
