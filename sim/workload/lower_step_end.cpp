// Data parallelism: parameters gathered before a block, gradients reduced after it, and the optimizer step.
#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "sim/workload/lowering.h"

namespace trillion {

void Lowering::gather_parameters(Chunk& c, std::size_t i) {
  const Plan& plan = in_.scenario.plan;
  if (plan.sharding == Sharding::zero_3) {
    // Under a pipeline a block's parameters stay from its first pass on (workload/step_end.h, reduces_every_micro_batch).
    if (!reduces_every_micro_batch(plan)) {
      std::size_t& gathered = gathered_[{c.gpu, c.pass.stage}];
      if (gathered > i) return;
      gathered = i + 1;
    }
    gather(c, resolver_->block(kind(c, i)).parameters);
  }
  if (plan.overlap_parameter_gather && gathers_beside(c.gpu) && c.pass.kind == ActionKind::forward) gather_first(c, i);
}

// The step's first forward pass of a stage gathers what the step before has updated, bucket by bucket ahead of the blocks.
void Lowering::gather_first(Chunk& c, std::size_t i) {
  std::size_t& gathered = gathered_[{c.gpu, c.pass.stage}];
  if (gathered > i) return;
  if (aligned_) {
    const auto& buckets = under_way_.at({c.gpu, c.pass.stage});
    const auto holds = std::find_if(buckets.begin(), buckets.end(), [&](const Bucket& b) { return b.end > i; });
    gathered = holds->end;
    if (holds->gather.valid()) c.chain.parameters = holds->gather;
    return;
  }
  gather(c, next_bucket(c.pass.stage, gathered));
}

BlockParameters Lowering::next_bucket(std::int32_t s, std::size_t& from) {
  BlockParameters bucket;
  const auto filled = [&] {
    return bucket.dense >= bucket_parameters(in_.scenario.plan, groups_.dense) ||
           bucket.expert >= bucket_parameters(in_.scenario.plan, groups_.expert);
  };
  for (; from < stage(s).size() && !filled(); ++from) bucket += resolver_->block(stage(s)[from]).parameters;
  return bucket;
}

// Megatron-LM's interleaved schedule asks for a whole chunk's parameters one chunk ahead, on all ranks of the pipeline at once: for the
// first two as the step begins, for chunk c + 1 by rank r as it begins its forward pass number c x ranks - r, the one that runs beside
// rank 0's first of chunk c (core/pipeline_parallel/schedules.py, forward_step_helper_preprocess; --no-align-param-gather is not
// modelled).
void Lowering::gather_ahead(std::int32_t gpu, std::int32_t stage_of_pass) {
  const auto ranks = static_cast<std::int64_t>(in_.schedule.ranks.size());
  const std::vector<std::int32_t> stages = in_.schedule.stages_of(rank(gpu));
  std::int64_t& begun = forwards_[static_cast<std::size_t>(gpu)];
  const std::int64_t aligned = begun++ + rank(gpu);
  const auto launch = [&](std::int64_t chunk) {
    if (chunk < static_cast<std::int64_t>(stages.size())) gather_chunk(gpu, stages[static_cast<std::size_t>(chunk)]);
  };
  if (begun == 1) launch(0), launch(1);
  if (aligned % ranks == 0) launch(aligned / ranks + 1);
  gather_chunk(gpu, stage_of_pass);  // where nobody has asked before
}

void Lowering::gather_chunk(std::int32_t gpu, std::int32_t s) {
  const auto [entry, fresh] = under_way_.try_emplace({gpu, s});
  if (!fresh) return;
  const TaskId& passed = passed_[static_cast<std::size_t>(gpu)];
  for (std::size_t blocks = 0; blocks < stage(s).size();) {
    const BlockReduction g = parameter_gather(next_bucket(s, blocks), groups_, in_.scenario.plan);
    TaskId last;
    for (const std::optional<Operation>& op : {g.dense, g.expert}) {
      if (!op) continue;
      const std::span<const TaskId> after = passed.valid() ? std::span<const TaskId>(&passed, 1) : std::span<const TaskId>{};
      last = out_.graph.add(stream(gpu, Lane::gather), kinds_.kind_on_links(*op, links(gpu), links(gpu), Company::shared), after);
    }
    entry->second.push_back({blocks, last});
  }
}

// Prefetched: it starts with the first kernel of the block before, so that two blocks' parameters are in memory.
void Lowering::gather(Chunk& c, const BlockParameters& parameters) {
  const BlockReduction g = parameter_gather(parameters, groups_, in_.scenario.plan);
  TaskId& previous = block_start_[static_cast<std::size_t>(c.gpu)];
  for (const std::optional<Operation>& op : {g.dense, g.expert}) {
    if (!op) continue;
    const std::span<const TaskId> after = previous.valid() ? std::span<const TaskId>(&previous, 1) : std::span<const TaskId>{};
    c.chain.parameters =
        out_.graph.add(stream(c.gpu, Lane::gather), kinds_.kind_on_links(*op, links(c.gpu), links(c.gpu), Company::shared), after);
  }
  previous = next_task();
  if (const auto& op = shard_copies(parameters, groups_, in_.scenario).gathered) copy_shards(c, *op);
}

TaskId Lowering::copy_shards(Chunk& c, const Operation& op) {
  push(c.gpu, resolved(c.gpu, op, c.company), c.chain);
  return c.chain.last;
}

TaskId Lowering::push_shared(std::int32_t gpu, const Operation& op, TaskId after, RendezvousId meeting) {
  return out_.graph.add(stream(gpu, op.lane), kinds_.kind_on_links(op, links(gpu), links(gpu), Company::shared), {&after, 1}, meeting);
}

RendezvousId Lowering::reduction_meeting(const Chunk& c, std::size_t i, bool expert) {
  // Over all replicas that hold the same parameters, and over the pipeline ranks that hold the same stage.
  if (in_.scenario.extent != Extent::step) return {};  // actions alone
  const Meeting kind = expert ? Meeting::expert_gradients : Meeting::dense_gradients;
  if (copies_ == 1 && !out_.folding.meets(kind, replica(c.gpu))) return {};
  const std::int32_t left = weights_left_[{rank(c.gpu), c.pass.stage}];
  const auto [entry, fresh] = reductions_.try_emplace({c.pass.stage, i, left, expert, part(kind, c.gpu)});
  if (fresh) entry->second = out_.graph.add_rendezvous();
  return entry->second;
}

TaskId Lowering::reduce(std::int32_t gpu, const Reduction& r, TaskId after) {
  RendezvousId meeting = r.meeting;
  for (const Operation& op : r.steps) after = push_shared(gpu, op, after, std::exchange(meeting, RendezvousId{}));
  return after;
}

// Blocks fill a bucket from the last to the first; it is reduced when it is full, and at the stage's first block.
void Lowering::reduce_gradients(Chunk& c, std::size_t i) {
  const Plan& plan = in_.scenario.plan;
  const bool every_micro_batch = reduces_every_micro_batch(plan);
  const bool last = weights_left_[{rank(c.gpu), c.pass.stage}] == 1;
  if (!reduces_beside(c.gpu) || !(last || every_micro_batch)) return;
  const auto gpu = static_cast<std::size_t>(c.gpu);
  last_weight_[gpu] = c.last_weight.valid() ? c.last_weight : TaskId{next_task().value - 1};
  unreduced_[gpu] += resolver_->block(kind(c, i)).parameters;
  for (const bool expert : {false, true}) {
    double& waiting = expert ? unreduced_[gpu].expert : unreduced_[gpu].dense;
    // Megatron-LM's interleaved schedule reduces a chunk's gradients once all of them are there (align_grad_reduce).
    const bool full = !aligns_chunks_ && waiting >= bucket_parameters(plan, expert ? groups_.expert : groups_.dense);
    if (!(full || every_micro_batch || i == 0)) continue;
    BlockParameters bucket;
    (expert ? bucket.expert : bucket.dense) = std::exchange(waiting, 0);
    if (expert) bucket.replicated = std::exchange(unreduced_[gpu].replicated, 0);
    const BlockReduction r = gradient_reduction(bucket, groups_, plan, in_.scenario.training);
    Reduction reduction;
    for (const auto& op : {r.replicas, expert ? r.expert : r.dense, expert ? r.expert_copies : r.dense_copies}) {
      if (op) reduction.steps.push_back(*op);
    }
    if (reduction.steps.empty()) continue;
    if (const auto& op = shard_copies(bucket, groups_, in_.scenario).reduced) last_weight_[gpu] = copy_shards(c, *op);
    reduction.meeting = reduction_meeting(c, i, expert);
    if (plan.overlap_gradient_reduce || every_micro_batch) {
      reduced_[gpu] = reduce(c.gpu, reduction, last_weight_[gpu]);
    } else {
      late_[gpu].push_back(std::move(reduction));
    }
  }
}

void Lowering::end_step(std::int32_t gpu, RendezvousId norm) {
  for (const Reduction& r : late_[static_cast<std::size_t>(gpu)]) {
    reduced_[static_cast<std::size_t>(gpu)] = reduce(gpu, r, last_weight_[static_cast<std::size_t>(gpu)]);
  }
  const bool gathers_now = in_.scenario.plan.sharding != Sharding::zero_3 && !in_.scenario.plan.overlap_parameter_gather;
  HeldParameters held;
  std::vector<BlockReduction> gathers;
  std::vector<BlockParameters> blocks;
  for (const std::int32_t s : in_.schedule.stages_of(rank(gpu))) {
    for (const BlockKind k : stage(s)) {
      const BlockParameters& p = resolver_->block(k).parameters;
      held.shard += optimizer_shard(p, groups_, in_.scenario.plan);
      held.whole += p.total();
      blocks.push_back(p);
      gathers.push_back(gathers_now ? parameter_gather(p, groups_, in_.scenario.plan) : BlockReduction{});
    }
  }
  const Cluster& cluster = in_.scenario.cluster;
  const Group world{in_.mesh.gpus(), 1, std::min(in_.mesh.gpus(), cluster.scale_up.domain_gpus)};
  const OptimizerKernels k = optimizer_kernels(held, world, in_.scenario);
  const TaskId reduced = reduced_[static_cast<std::size_t>(gpu)];
  Chain chain{reduced, reduced.valid() ? stream(gpu, Lane::reduce) : stream(gpu, Lane::compute), {}};
  for (const Operation& op : k.before) push(gpu, resolved(gpu, op), chain);
  if (k.gradient_norm) push(gpu, resolved(gpu, *k.gradient_norm), chain);
  if (k.norm_exchange) {
    chain = {
        out_.graph.add(stream(gpu, Lane::reduce), kinds_.kind(*k.norm_exchange), {&chain.last, 1}, norm), stream(gpu, Lane::reduce), {}};
  }
  const bool on_host = in_.scenario.plan.offloads(Offload::optimizer);
  const TaskId clipped = chain.last;
  if (!on_host) {
    push(gpu, resolved(gpu, k.update), chain);
    for (const Operation& op : k.after) push(gpu, resolved(gpu, op), chain);
  }
  TaskId updated = chain.last;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (on_host) {
      updated = update_on_host(gpu, blocks[b], clipped);
      chain = {updated, stream(gpu, Lane::host_in)};
    }
    for (const std::optional<Operation>& op : {gathers[b].dense, gathers[b].expert}) {
      if (op) chain = {push_shared(gpu, *op, updated), stream(gpu, Lane::gather)};
    }
  }
  if (k.quantise) push(gpu, resolved(gpu, *k.quantise), chain);
}

}  // namespace trillion
