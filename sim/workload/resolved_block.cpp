#include "sim/workload/resolved_block.h"

#include <algorithm>
#include <utility>

namespace trillion {

BlockResolver::BlockResolver(KindTable& kinds, const ExpertLoad& load, std::vector<RankLinks> links, Detail detail)
    : kinds_(kinds), detail_(detail), load_(load), links_(std::move(links)) {
  const std::size_t samples = std::max<std::size_t>(1, load.samples.size());
  for (auto& slots : kernels_) slots.resize(samples);
  for (auto& slots : exchanges_) slots.resize(samples * links_.size());
}

ResolvedOperations BlockResolver::resolve(const Operations& ops, const LayerRouting& routing, const RankLinks* links) {
  ResolvedOperations out;
  std::vector<KindId> run;
  Order order = Order::chain;  // of the run's first kernel; one that meets something begins a run
  const auto close_run = [&] {
    if (!run.empty()) out.push_back({kinds_.run_of(run), Lane::compute, order});
    run.clear();
    order = Order::chain;
  };
  for (const Operation& op : ops) {
    const bool on_wire = links && op.scale == LoadScale::exchange;
    const KindId kind = on_wire ? kinds_.kind_on_links(op, *links, *links, routing) : kinds_.kind(op, routing);
    if (detail_ == Detail::runs && op.lane == Lane::compute) {
      if (op.order != Order::chain) {
        close_run();
        order = op.order;
      }
      run.push_back(kind);
      continue;
    }
    close_run();
    out.push_back({kind, op.lane, op.order});
  }
  close_run();
  return out;
}

std::size_t BlockResolver::sample_index(BlockKind kind, std::int64_t layer, std::int64_t micro_batch) const {
  if (!block(kind).exchanges.dispatch || load_.samples.empty()) return 0;
  return static_cast<std::size_t>(&load_.at(layer, micro_batch) - load_.samples.data());
}

const LayerRouting& BlockResolver::sample(std::size_t index) const { return load_.samples.empty() ? even_ : load_.samples[index]; }

const ResolvedBlock& BlockResolver::kernels(BlockKind kind, std::int64_t layer, std::int64_t micro_batch) {
  const std::size_t i = sample_index(kind, layer, micro_batch);
  std::optional<ResolvedBlock>& slot = kernels_[index(kind)][i];
  if (!slot) {
    const Block& b = block(kind);
    const LayerRouting& routing = b.exchanges.dispatch ? sample(i) : even_;
    slot = ResolvedBlock{resolve(b.before_exchange, routing),  resolve(b.experts, routing),
                         resolve(b.experts_backward, routing), resolve(b.before_exchange_backward, routing),
                         resolve(b.experts_weight, routing),   resolve(b.before_exchange_weight, routing)};
  }
  return *slot;
}

const ResolvedExchanges& BlockResolver::exchanges(BlockKind kind, std::int64_t layer, std::int64_t micro_batch, std::int32_t rank) {
  const std::size_t i = sample_index(kind, layer, micro_batch);
  const auto r = static_cast<std::size_t>(rank);
  std::optional<ResolvedExchanges>& slot = exchanges_[index(kind)][r * kernels_[index(kind)].size() + i];
  if (!slot) {
    const Exchanges& e = block(kind).exchanges;
    const auto on_links = [&](const std::optional<Operation>& op) -> std::optional<KindId> {
      if (!op) return std::nullopt;
      return kinds_.kind_on_links(*op, links_[r], links_[r], sample(i));
    };
    slot = ResolvedExchanges{on_links(e.dispatch),         on_links(e.combine),           std::nullopt,
                             on_links(e.combine_backward), on_links(e.dispatch_backward), {}};
    slot->recompute = resolve(block(kind).recompute, e.dispatch ? sample(i) : even_, &links_[r]);
    if (e.combine_backward_cast) slot->combine_backward_cast = kinds_.kind(*e.combine_backward_cast);
  }
  return *slot;
}

}  // namespace trillion
