// Data parallelism: parameters gathered before a block, gradients reduced after it, and the optimizer step.
#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "sim/workload/lowering.h"

namespace trillion {

void Lowering::gather_parameters(Chunk& c, std::size_t i) {
  if (in_.scenario.plan.sharding != Sharding::zero_3) return;
  const BlockReduction g = parameter_gather(resolver_->block(kind(c, i)).parameters, groups_, in_.scenario.plan);
  // Prefetched: the gather starts with the first kernel of the block before, so that two blocks' parameters are in memory.
  TaskId& previous = block_start_[static_cast<std::size_t>(c.gpu)];
  for (const std::optional<Operation>& op : {g.dense, g.expert}) {
    if (!op) continue;
    const std::span<const TaskId> after = previous.valid() ? std::span<const TaskId>(&previous, 1) : std::span<const TaskId>{};
    c.chain.parameters = out_.graph.add(stream(c.gpu, Lane::gather), kinds_.kind(*op), after);
  }
  previous = TaskId{static_cast<std::uint32_t>(out_.graph.task_count())};
}

TaskId Lowering::push_shared(std::int32_t gpu, const Operation& op, TaskId after, RendezvousId meeting) {
  return out_.graph.add(stream(gpu, op.lane), kinds_.kind_on_links(op, links(gpu), links(gpu)), {&after, 1}, meeting);
}

RendezvousId Lowering::reduction_meeting(const Chunk& c, std::size_t i, bool expert) {
  // Over all replicas that hold the same parameters, and over the pipeline ranks that hold the same stage.
  const Meeting kind = expert ? Meeting::expert_gradients : Meeting::dense_gradients;
  if (copies_ == 1 && !out_.folding.meets(kind, replica(c.gpu))) return {};
  const std::int32_t left = weights_left_[{rank(c.gpu), c.pass.stage}];
  const auto [entry, fresh] = reductions_.try_emplace({c.pass.stage, i, left, expert, part(kind, c.gpu)});
  if (fresh) entry->second = out_.graph.add_rendezvous();
  return entry->second;
}

void Lowering::reduce_gradients(const Chunk& c, std::size_t i) {
  const Sharding sharding = in_.scenario.plan.sharding;
  const bool every_micro_batch = sharding == Sharding::zero_2 || sharding == Sharding::zero_3;
  const bool last = weights_left_[{rank(c.gpu), c.pass.stage}] == 1;
  if (in_.scenario.extent != Extent::step || !(last || every_micro_batch)) return;
  const BlockReduction r = gradient_reduction(resolver_->block(kind(c, i)).parameters, groups_, in_.scenario.plan, in_.scenario.training);
  const TaskId computed = c.last_weight.valid() ? c.last_weight : TaskId{static_cast<std::uint32_t>(out_.graph.task_count() - 1)};
  for (const bool expert : {false, true}) {
    const std::optional<Operation>& op = expert ? r.expert : r.dense;
    if (!op) continue;
    reduced_[static_cast<std::size_t>(c.gpu)] = push_shared(c.gpu, *op, computed, reduction_meeting(c, i, expert));
  }
}

void Lowering::end_step(std::int32_t gpu, RendezvousId norm) {
  HeldParameters held;
  std::vector<BlockReduction> gathers;
  for (const std::int32_t s : in_.schedule.stages_of(rank(gpu))) {
    for (const BlockKind k : stage(s)) {
      const BlockParameters& p = resolver_->block(k).parameters;
      held.shard += optimizer_shard(p, groups_, in_.scenario.plan);
      held.whole += p.total();
      if (in_.scenario.plan.sharding != Sharding::zero_3) gathers.push_back(parameter_gather(p, groups_, in_.scenario.plan));
    }
  }
  const Cluster& cluster = in_.scenario.cluster;
  const Group world{in_.mesh.gpus(), 1, std::min(in_.mesh.gpus(), cluster.scale_up.domain_gpus)};
  const OptimizerKernels k = optimizer_kernels(held, world, in_.scenario);
  const TaskId reduced = reduced_[static_cast<std::size_t>(gpu)];
  Chain chain{reduced, reduced.valid() ? stream(gpu, Lane::reduce) : stream(gpu, Lane::compute), {}};
  if (k.gradient_norm) push(gpu, resolved(gpu, *k.gradient_norm), chain);
  if (k.norm_exchange) {
    chain = {
        out_.graph.add(stream(gpu, Lane::reduce), kinds_.kind(*k.norm_exchange), {&chain.last, 1}, norm), stream(gpu, Lane::reduce), {}};
  }
  push(gpu, resolved(gpu, k.update), chain);
  const TaskId updated = chain.last;
  for (const BlockReduction& g : gathers) {
    for (const std::optional<Operation>& op : {g.dense, g.expert}) {
      if (op) chain = {push_shared(gpu, *op, updated), stream(gpu, Lane::gather), {}};
    }
  }
  if (k.quantise) push(gpu, resolved(gpu, *k.quantise), chain);
}

}  // namespace trillion
