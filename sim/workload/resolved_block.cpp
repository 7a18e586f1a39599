#include "sim/workload/resolved_block.h"

#include <algorithm>
#include <utility>

namespace trillion {

BlockResolver::BlockResolver(KindTable& kinds, const ExpertLoad& load, std::vector<GpuView> gpus, Detail detail)
    : kinds_(kinds), detail_(detail), load_(load), gpus_(std::move(gpus)), samples_(std::max<std::size_t>(1, load.samples.size())) {
  std::map<Runner, std::size_t> numbers;
  for (const GpuView& gpu : gpus_) runner_of_.push_back(numbers.try_emplace(gpu.runner, numbers.size()).first->second);
  runners_ = numbers.size();
  for (auto& slots : kernels_) slots.resize(runners_ * samples_);
  for (auto& slots : exchanges_) slots.resize(samples_ * gpus_.size());
}

const KindTable::Timed& BlockResolver::timed(const Operation& op, const LoadKey& load) {
  const LoadKey key = op.scale == LoadScale::none ? LoadKey{nullptr, 0} : load;
  const auto found = timed_.find({&op, key});
  if (found != timed_.end()) return found->second;
  return timed_.emplace(std::pair{&op, key}, kinds_.timed(op, *load.routing, load.expert_rank)).first->second;
}

ResolvedOperations BlockResolver::resolve(const Operations& ops, const LayerRouting& routing, const GpuView& gpu) {
  const LoadKey load{&routing, gpu.runner.expert_rank};
  ResolvedOperations out;
  std::vector<KindId> run;
  Order order = Order::chain;  // of the run's first kernel; one that meets something begins a run
  const auto close_run = [&] {
    if (!run.empty()) out.push_back({kinds_.run_of(run), Lane::compute, order});
    run.clear();
    order = Order::chain;
  };
  for (const Operation& op : ops) {
    const bool on_wire = op.scale == LoadScale::exchange;
    const KindId kind =
        on_wire ? kinds_.kind_on_links(op, timed(op, load), gpu.links, gpu.links) : kinds_.kind(op, timed(op, load), gpu.runner.slowdown);
    const KindId launch = op.lane == Lane::compute ? kinds_.launch_of(op) : KindId{};
    // A kernel that waits for its own launch is no part of a run.
    if (detail_ == Detail::runs && op.lane == Lane::compute && !launch.valid()) {
      if (op.order != Order::chain) {
        close_run();
        order = op.order;
      }
      run.push_back(kind);
      continue;
    }
    close_run();
    out.push_back({kind, op.lane, op.order, launch, op.host_waits});
  }
  close_run();
  return out;
}

std::size_t BlockResolver::sample_index(BlockKind kind, std::int64_t layer, std::int64_t micro_batch) const {
  if (!block(kind).exchanges.dispatch || load_.samples.empty()) return 0;
  return static_cast<std::size_t>(&load_.at(layer, micro_batch) - load_.samples.data());
}

const LayerRouting& BlockResolver::sample(std::size_t index) const { return load_.samples.empty() ? even_ : load_.samples[index]; }

const ResolvedBlock& BlockResolver::kernels(BlockKind kind, std::int64_t layer, std::int64_t micro_batch, std::int32_t gpu) {
  const std::size_t i = sample_index(kind, layer, micro_batch);
  std::optional<ResolvedBlock>& slot = kernels_[index(kind)][runner_of_[static_cast<std::size_t>(gpu)] * samples_ + i];
  if (!slot) {
    const Block& b = block(kind);
    const LayerRouting& routing = b.exchanges.dispatch ? sample(i) : even_;
    const auto of = [&](const Operations& ops) { return resolve(ops, routing, gpus_[static_cast<std::size_t>(gpu)]); };
    slot = ResolvedBlock{of(b.before_exchange),          of(b.experts),        of(b.experts_backward),
                         of(b.before_exchange_backward), of(b.experts_weight), of(b.before_exchange_weight)};
  }
  return *slot;
}

const ResolvedExchanges& BlockResolver::exchanges(BlockKind kind, std::int64_t layer, std::int64_t micro_batch, std::int32_t gpu) {
  const std::size_t i = sample_index(kind, layer, micro_batch);
  const auto g = static_cast<std::size_t>(gpu);
  std::optional<ResolvedExchanges>& slot = exchanges_[index(kind)][g * samples_ + i];
  if (!slot) {
    const Exchanges& e = block(kind).exchanges;
    const auto on_links = [&](const std::optional<Operation>& op) -> std::optional<KindId> {
      if (!op) return std::nullopt;
      return kinds_.kind_on_links(*op, timed(*op, {&sample(i), gpus_[g].runner.expert_rank}), gpus_[g].links, gpus_[g].links);
    };
    slot = ResolvedExchanges{on_links(e.dispatch),         on_links(e.combine),           std::nullopt,
                             on_links(e.combine_backward), on_links(e.dispatch_backward), {}};
    slot->recompute = resolve(block(kind).recompute, e.dispatch ? sample(i) : even_, gpus_[g]);
    if (e.combine_backward_cast) slot->combine_backward_cast = kinds_.kind(*e.combine_backward_cast, {}, gpus_[g].runner);
  }
  return *slot;
}

}  // namespace trillion
