// Offloading to the host: activations leave after the forward pass and come back before the backward pass; gradients leave for the
// host's optimizer and parameters come back. Copies run on streams of their own, beside everything else.
#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "sim/workload/lowering.h"

namespace trillion {

TaskId Lowering::copy(std::int32_t gpu, Lane lane, const char* label, Bytes bytes, std::span<const TaskId> after) {
  const HostDirection direction = lane == Lane::host_out ? HostDirection::to_host : HostDirection::to_device;
  return out_.graph.add(stream(gpu, lane), kinds_.host_kind(label, in_.timing.host_copy(bytes, direction)), after);
}

// The block's activations leave when its forward pass is over. Two blocks' copies may be under way: the next block but one waits, for
// their memory is what it writes to.
void Lowering::send_activations(Chunk& c, std::size_t i) {
  if (!in_.scenario.plan.offloads(Offload::activations) || !is_layer(kind(c, i))) return;
  const Bytes bytes = saved_bytes(resolver_->block(kind(c, i)), in_.load.mean);
  const TaskId sent = copy(c.gpu, Lane::host_out, "copy activations to host", bytes, {&c.chain.last, 1});
  c.chain.restored = std::exchange(last_sent_[static_cast<std::size_t>(c.gpu)], sent);
  sent_[{c.gpu, c.pass.stage, c.pass.micro_batch, static_cast<std::int32_t>(i)}] = sent;
}

// Fetched while the block before it, seen backwards, runs.
void Lowering::fetch_activations(Chunk& c, std::size_t i) {
  if (!in_.scenario.plan.offloads(Offload::activations) || !is_layer(kind(c, i))) return;
  TaskId& previous = backward_start_[static_cast<std::size_t>(c.gpu)];
  std::array<TaskId, 2> after;
  std::size_t count = 0;
  const auto sent = sent_.find({c.gpu, c.pass.stage, c.pass.micro_batch, static_cast<std::int32_t>(i)});
  if (sent != sent_.end()) {
    after[count++] = sent->second;
    sent_.erase(sent);
  }
  if (previous.valid()) after[count++] = previous;
  const Bytes bytes = saved_bytes(resolver_->block(kind(c, i)), in_.load.mean);
  c.chain.restored = copy(c.gpu, Lane::host_in, "copy activations from host", bytes, {after.data(), count});
  previous = TaskId{static_cast<std::uint32_t>(out_.graph.task_count())};
}

// Block by block: gradients out, the host's update, parameters in, so that the three run beside each other.
TaskId Lowering::update_on_host(std::int32_t gpu, const BlockParameters& parameters, TaskId after) {
  const double shard = optimizer_shard(parameters, groups_, in_.scenario.plan);
  const Bytes gradients{shard * static_cast<double>(in_.scenario.training.optimizer_state.gradient_bytes)};
  const TaskId there = copy(gpu, Lane::host_out, "copy gradients to host", gradients, {&after, 1});
  const KindId update = kinds_.host_kind("host optimizer update", in_.timing.host_update(shard));
  const TaskId updated = out_.graph.add(stream(gpu, Lane::host_update), update, {&there, 1});
  return copy(gpu, Lane::host_in, "copy parameters from host", Bytes{2 * shard}, {&updated, 1});
}

}  // namespace trillion
