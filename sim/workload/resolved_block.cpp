#include "sim/workload/resolved_block.h"

#include <algorithm>
#include <utility>

namespace trillion {

const KindTable::Timed& TimedBlocks::timed(const KindTable& kinds, const Operation& op, const LoadKey& load) {
  const LoadKey key = op.scale == LoadScale::none ? LoadKey{nullptr, 0, load.company} : load;
  const auto found = timed_.find({&op, key});
  if (found != timed_.end()) return found->second;
  return timed_.emplace(std::pair{&op, key}, kinds.timed(op, *load.routing, load.expert_rank, load.company)).first->second;
}

BlockResolver::BlockResolver(KindTable& kinds, const ExpertLoad& load, std::vector<GpuView> gpus, Detail detail, TimedBlocks* shared)
    : kinds_(kinds),
      detail_(detail),
      load_(load),
      gpus_(std::move(gpus)),
      samples_(std::max<std::size_t>(1, load.samples.size())),
      blocks_(shared ? *shared : own_) {
  std::map<Runner, std::size_t> numbers;
  for (const GpuView& gpu : gpus_) runner_of_.push_back(numbers.try_emplace(gpu.runner, numbers.size()).first->second);
  runners_ = numbers.size();
}

bool BlockResolver::talks(BlockKind kind) {
  std::optional<bool>& known = talks_[index(kind)];
  if (known) return *known;
  const Block& b = block(kind);
  known = false;
  for (const Operations* ops :
       {&b.before_exchange, &b.experts, &b.experts_backward, &b.before_exchange_backward, &b.experts_weight, &b.before_exchange_weight}) {
    for (const Operation& op : *ops) *known = *known || op.lane != Lane::compute;
  }
  return *known;
}

namespace {

// Communication of the list itself runs beside its kernels.
bool keeps_company(const Operations& ops) {
  return std::any_of(ops.begin(), ops.end(), [](const Operation& op) {
    return (op.order == Order::ahead || op.order == Order::before_weights) && op.lane != Lane::compute && holds_sms(op);
  });
}

Company company_of(const Operations& ops, Company around) { return keeps_company(ops) ? Company::shared : around; }

}  // namespace

// Its bytes share the GPU's links with others' where others may run beside it.
KindId BlockResolver::communication(const Operation& op, const LoadKey& load, const GpuView& gpu) {
  const KindTable::Timed& t = timed(op, load);
  const bool meets_others = op.scale == LoadScale::exchange || load.company == Company::shared || op.lane == Lane::context;
  return meets_others ? kinds_.kind_on_links(op, t, gpu.links, gpu.links) : kinds_.kind(op, t, 1);
}

ResolvedOperations BlockResolver::resolve(const Operations& ops, const LayerRouting& routing, const GpuView& gpu, Company company) {
  const LoadKey load{&routing, gpu.runner.expert_rank, company_of(ops, company)};
  ResolvedOperations out;
  std::vector<KindId> run;
  Order order = Order::chain;  // of the run's first kernel; one that meets something begins a run
  const auto close_run = [&] {
    if (!run.empty()) out.push_back({kinds_.run_of(run), Lane::compute, order});
    run.clear();
    order = Order::chain;
  };
  for (const Operation& op : ops) {
    const bool kernel = op.lane == Lane::compute;
    const KindId kind = kernel ? kinds_.kind(op, timed(op, load), gpu.runner.slowdown) : communication(op, load, gpu);
    const KindId launch = kernel ? kinds_.launch_of(op) : KindId{};
    // A kernel that waits for its own launch is no part of a run, nor is one that others may slow down.
    if (detail_ == Detail::runs && kernel && !launch.valid() && load.company == Company::alone) {
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

const LayerRouting& BlockResolver::sample(std::size_t index) const { return load_.samples.empty() ? blocks_.even() : load_.samples[index]; }

const ResolvedBlock& BlockResolver::kernels(BlockKind kind, std::int64_t layer, std::int64_t micro_batch, std::int32_t gpu,
                                            Company company) {
  const std::size_t i = sample_index(kind, layer, micro_batch);
  const auto g = static_cast<std::size_t>(gpu);
  const bool own = talks(kind);
  std::optional<ResolvedBlock>& place =
      slot(kernels_, kind, company, own ? gpus_.size() : runners_, (own ? g : runner_of_[g]) * samples_ + i);
  if (!place) {
    const Block& b = block(kind);
    const LayerRouting& routing = b.exchanges.dispatch ? sample(i) : blocks_.even();
    const auto of = [&](const Operations& ops, Company around) { return resolve(ops, routing, gpus_[g], around); };
    // Weight gradients may run beside the communication of the part that they belong to.
    place = ResolvedBlock{of(b.before_exchange, company),
                          of(b.experts, company),
                          of(b.experts_backward, company),
                          of(b.before_exchange_backward, company),
                          of(b.experts_weight, company_of(b.experts_backward, company)),
                          of(b.before_exchange_weight, company_of(b.before_exchange_backward, company))};
  }
  return *place;
}

const ResolvedExchanges& BlockResolver::exchanges(BlockKind kind, std::int64_t layer, std::int64_t micro_batch, std::int32_t gpu,
                                                  Company company) {
  const std::size_t i = sample_index(kind, layer, micro_batch);
  const auto g = static_cast<std::size_t>(gpu);
  std::optional<ResolvedExchanges>& place = slot(exchanges_, kind, company, gpus_.size(), g * samples_ + i);
  if (!place) {
    const Exchanges& e = block(kind).exchanges;
    const LoadKey load{&sample(i), gpus_[g].runner.expert_rank, company};
    const auto on_links = [&](const std::optional<Operation>& op) -> std::optional<KindId> {
      if (!op) return std::nullopt;
      return communication(*op, load, gpus_[g]);
    };
    place = ResolvedExchanges{
        on_links(e.dispatch), on_links(e.combine), std::nullopt, on_links(e.combine_backward), on_links(e.dispatch_backward), {}, {}};
    if (e.dispatch && e.dispatch->host_calls > 0) place->launch = kinds_.launch_of(*e.dispatch);
    place->recompute = resolve(block(kind).recompute, e.dispatch ? sample(i) : blocks_.even(), gpus_[g], company);
    if (e.combine_backward_cast) {
      place->combine_backward_cast = kinds_.kind(*e.combine_backward_cast, timed(*e.combine_backward_cast, load), gpus_[g].runner.slowdown);
    }
  }
  return *place;
}

}  // namespace trillion
