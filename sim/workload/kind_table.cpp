#include "sim/workload/kind_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "sim/base/error.h"
#include "sim/timing/interference.h"

namespace trillion {

namespace {

Flops work_of(const Operation& op) {
  return std::visit(
      [&op](const auto& what) {
        using What = std::decay_t<decltype(what)>;
        if constexpr (std::is_same_v<What, Collective> || std::is_same_v<What, MemoryBound>) {
          return Flops{};
        } else {
          return op.share * flops(what);
        }
      },
      op.what);
}

// Mean of the level-th of kJitterLevels equally likely slices of the standard normal distribution, taken at the slice's middle and
// scaled so that the levels' variance is 1. Symmetric, so that jitter does not move the mean.
double normal_level(std::int32_t level) {
  // Quantiles of (level + 1/2) / 16, upper half.
  static constexpr std::array<double, KindTable::kJitterLevels / 2> kUpper = {0.0784, 0.2372, 0.4023, 0.5791,
                                                                              0.7764, 1.0100, 1.3180, 1.8627};
  double variance = 0;
  for (const double z : kUpper) variance += 2 * z * z / KindTable::kJitterLevels;
  const std::int32_t half = KindTable::kJitterLevels / 2;
  const double z = level >= half ? kUpper[static_cast<std::size_t>(level - half)] : -kUpper[static_cast<std::size_t>(half - 1 - level)];
  return z / std::sqrt(variance);
}

WireBytes wire_of(const Operation& op) {
  const auto* collective = std::get_if<Collective>(&op.what);
  return collective ? wire_bytes(*collective) : WireBytes{};
}

}  // namespace

WireBytes wire_bytes(const Collective& c) {
  const double n = static_cast<double>(c.ranks), g = static_cast<double>(c.ranks_per_node);
  const bool one_node = c.ranks <= c.ranks_per_node;
  switch (c.kind) {
    case CollectiveKind::expert_dispatch:
    case CollectiveKind::expert_combine: return {c.bytes, c.scale_up_bytes};
    // Every member sends to the next one: of a node's g members the last one leaves the node.
    case CollectiveKind::send_recv: return one_node ? WireBytes{{}, c.bytes} : WireBytes{c.bytes / g, c.bytes * ((g - 1) / g)};
    case CollectiveKind::broadcast: return one_node ? WireBytes{{}, c.bytes} : WireBytes{c.bytes, {}};
    case CollectiveKind::all_to_all: return {c.bytes * ((n - g) / n) * (one_node ? 0.0 : 1.0), c.bytes * ((std::min(n, g) - 1) / n)};
    case CollectiveKind::all_reduce:
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter: {
      // A ring passes every byte over every member but one; only the node's last member sends it to the next node, and each of
      // the node's g rings has another last member.
      const Bytes ring = c.bytes * ((n - 1) / n) * (c.kind == CollectiveKind::all_reduce ? 2.0 : 1.0);
      if (one_node) return {{}, ring};
      return {ring / g, g > 1 ? ring * ((g - 1) / g) : Bytes{}};
    }
  }
  return {};
}

IssueCosts issue_costs(const Stack& stack) {
  IssueCosts costs{stack.kernel_gap.value, {}, {}, {}, false};
  costs.blocking = stack.framework.value == Framework::fused && stack.runs_apart(UnfusedPart::blocking);
  if (stack.framework.value == Framework::fused && !costs.blocking && !stack.runs_apart(UnfusedPart::launches)) return costs;
  costs.host_product = stack.host_product.value;
  costs.host_elementwise = stack.host_elementwise.value;
  costs.host_wait = stack.host_wait.value;
  return costs;
}

// NCCL gives a group between nodes four channels, of an SM each, per NIC (src/graph/connect.cc at 5067397: "4 compute channels per
// search channel"): to one rank a node 4, to two 8, to four and more 16.
constexpr std::int64_t kFewRanks = 2;

bool holds_sms(const Operation& op) {
  const auto* c = std::get_if<Collective>(&op.what);
  if (!c) return false;
  if (c->kind == CollectiveKind::expert_dispatch || c->kind == CollectiveKind::expert_combine) return false;
  const bool waits_for_nics = c->ranks_per_node < c->ranks && (c->kind == CollectiveKind::send_recv || c->ranks_per_node <= kFewRanks);
  return !op.copy_engine && !waits_for_nics;
}

Operation at_load(Operation op, const LayerRouting& r, std::int32_t expert_rank) {
  const auto of_rank = [&](const std::vector<double>& loads, double largest) {
    return expert_rank == Runner::kBusiest || loads.empty() ? largest : loads[static_cast<std::size_t>(expert_rank)];
  };
  const double load = of_rank(r.rank_load, r.rank_load_max_over_mean);
  const auto scale = [&](std::int64_t rows) { return static_cast<std::int64_t>(std::ceil(static_cast<double>(rows) * load)); };
  if (op.scale == LoadScale::rank_load) {
    if (auto* gemm = std::get_if<GroupedGemm>(&op.what)) {
      for (std::int64_t& m : gemm->m) m = scale(m);
    } else if (auto* memory = std::get_if<MemoryBound>(&op.what)) {
      memory->read *= load;
      memory->written *= load;
    } else if (auto* collective = std::get_if<Collective>(&op.what)) {
      collective->bytes *= load;  // among the expert-tensor-parallel ranks of this expert rank
    }
  } else if (op.scale == LoadScale::exchange) {
    auto& exchange = std::get<Collective>(op.what);
    exchange.bytes *= of_rank(r.scale_out, r.scale_out_max_over_mean);
    exchange.scale_up_bytes *= load;
  }
  return op;
}

KernelTime KindTable::time(const Operation& op) const {
  if (const auto* collective = std::get_if<Collective>(&op.what)) {
    return op.copy_engine ? timing_.peer_copy(collective->bytes) : timing_.time(*collective, conditions_.load);
  }
  return std::visit(
      [&](const auto& kernel) -> KernelTime {
        if constexpr (std::is_same_v<std::decay_t<decltype(kernel)>, Collective>) {
          return {};
        } else {
          KernelTime t = timing_.time(Kernel{kernel}, conditions_);
          for (Seconds* seconds : {&t.time, &t.low, &t.high}) *seconds *= op.share;
          return t;
        }
      },
      op.what);
}

double KindTable::pace_in_company(const Operation& op, Seconds alone) const {
  const Stack& stack = timing_.stack();
  return std::visit(
      [&](const auto& what) -> double {
        if constexpr (std::is_same_v<std::decay_t<decltype(what)>, Collective>) {
          if (what.ranks <= what.ranks_per_node) return 1 / slowdown_beside_compute(stack);
          // Between nodes the GPU's part alone is slowed, which its copies would take within a node, not the wait for the NIC.
          const WireBytes wire = wire_bytes(what);
          return std::min(1.0, alone / (timing_.peer_copy(wire.nic + wire.nvlink).time * slowdown_beside_compute(stack)));
        } else {
          if (alone.value() <= 0) return 1;
          const Kernel kernel{what};
          Conditions fewer = conditions_;
          const std::int64_t all = conditions_.sms > 0 ? conditions_.sms : timing_.chip_sms();
          fewer.sms = std::max<std::int64_t>(1, all - timing_.sms_held(CollectiveKind::all_gather));
          return std::min(1.0, alone / (op.share * timing_.time(kernel, fewer).time * slowdown_beside_communication(stack, kernel)));
        }
      },
      op.what);
}

KindTable::Timed KindTable::timed(const Operation& op, const LayerRouting& routing, std::int32_t expert_rank, Company company) const {
  const Operation loaded = op.scale == LoadScale::none ? op : at_load(op, routing, expert_rank);
  Timed out{time(loaded), {}, wire_of(loaded), company};
  out.even = op.scale == LoadScale::none ? out.loaded : time(op);
  if (company == Company::shared) out.beside = pace_in_company(loaded, out.loaded.time);
  return out;
}

KindId KindTable::kind(const Operation& op, const Timed& timed, double slowdown) { return intern(op, timed, slowdown, {}); }

KindId KindTable::kind_on_links(const Operation& op, const Timed& timed, const RankLinks& sender, const RankLinks& receiver) {
  const WireBytes& wire = timed.wire;
  std::vector<LinkUse> links;
  CHECK(wire.nic.value() == 0 || sender.nic_send.valid(), "traffic between nodes that have no NICs");
  if (wire.nic.value() > 0) links = {{sender.nic_send, wire.nic}, {receiver.nic_receive, wire.nic}};
  if (wire.nvlink.value() > 0) links.push_back({sender.nvlink, wire.nvlink});
  return intern(op, timed, 1, std::move(links));
}

KindId KindTable::intern(const Operation& op, const Timed& timed, double slowdown, std::vector<LinkUse> links) {
  const bool kernel = op.lane == Lane::compute;
  const bool waited_for = costs_.blocking && (kernel || op.lane == Lane::tensor);
  const Seconds gap = waited_for ? costs_.host_wait + (kernel ? issue_of(op) : Seconds{}) : kernel ? costs_.kernel_gap : Seconds{};
  const auto duration = [&](Seconds alone) { return SimTime::from(alone * (kernel ? slowdown : 1.0) + gap); };
  const KernelTime& loaded = timed.loaded;
  TaskKind kind{op.label, static_cast<std::uint16_t>(op.category), duration(loaded.time), std::move(links)};
  if (timed.company == Company::shared && (kernel || holds_sms(op))) {
    kind.side = kernel ? Side::kernel : Side::transfer;
    // The gap between kernels stays as it is.
    kind.beside =
        kind.duration > SimTime{} ? std::min(1.0, kind.duration.seconds() / duration(loaded.time * (1 / timed.beside)).seconds()) : 1;
  }
  const KindId id = graph_.add_kind(kind);
  if (id.value == evidence_.size()) {
    const double t = std::max(loaded.time.value(), 1e-12);
    evidence_.push_back({loaded.curve, loaded.extrapolated, static_cast<float>(loaded.low.value() / t),
                         static_cast<float>(loaded.high.value() / t), duration(timed.even.time), work_of(op), wire_of(op)});
    parts_.emplace_back();
  }
  return id;
}

Seconds KindTable::issue_of(const Operation& op) const {
  const Seconds one = std::holds_alternative<MemoryBound>(op.what) ? costs_.host_elementwise : costs_.host_product;
  return one.value() > 0 ? one + costs_.host_elementwise * static_cast<double>(op.host_calls) : Seconds{};
}

KindId KindTable::launch_of(const Operation& op) {
  const Seconds cost = issue_of(op);
  if (cost.value() <= 0 || costs_.blocking) return {};
  return add_launch(std::holds_alternative<MemoryBound>(op.what) ? "launch" : "launch product", SimTime::from(cost));
}

KindId KindTable::after_wait(KindId launch) {
  const TaskKind whole = graph_.kind(launch);
  return add_launch(whole.label + " after a result", whole.duration + SimTime::from(costs_.host_wait));
}

KindId KindTable::rest_of_launch(KindId launch, SimTime before) {
  const TaskKind whole = graph_.kind(launch);
  CHECK(before < whole.duration);
  return add_launch(whole.label, whole.duration - before);
}

KindId KindTable::add_launch(const std::string& label, SimTime duration) {
  const KindId id = graph_.add_kind({label, static_cast<std::uint16_t>(Category::host_launch), duration, {}});
  if (id.value == evidence_.size()) {
    evidence_.emplace_back();
    parts_.emplace_back();
  }
  return id;
}

KindId KindTable::host_kind(const char* label, const KernelTime& time) {
  const KindId id = graph_.add_kind({label, static_cast<std::uint16_t>(Category::host_offload), SimTime::from(time.time), {}});
  if (id.value == evidence_.size()) {
    const double t = std::max(time.time.value(), 1e-12);
    evidence_.push_back({time.curve,
                         time.extrapolated,
                         static_cast<float>(time.low.value() / t),
                         static_cast<float>(time.high.value() / t),
                         SimTime::from(time.time),
                         {},
                         {}});
    parts_.emplace_back();
  }
  return id;
}

KindId KindTable::run_of(const std::vector<KindId>& parts) {
  CHECK(!parts.empty());
  if (parts.size() == 1) return parts.front();
  const auto [entry, fresh] = runs_.try_emplace(parts);
  if (!fresh) return entry->second;
  const TaskKind first = graph_.kind(parts.front());
  // Numbered, since two runs may begin alike and take equally long.
  TaskKind run{first.label + " and " + std::to_string(parts.size() - 1) + " more, run " + std::to_string(runs_.size()), first.tag, {}, {}};
  for (const KindId part : parts) {
    CHECK(graph_.kind(part).links.empty() && parts_[part.value].empty());
    run.duration += graph_.kind(part).duration;
  }
  entry->second = graph_.add_kind(run);
  evidence_.emplace_back();
  parts_.push_back(parts);
  return entry->second;
}

KindId KindTable::jittered(KindId kind, double deviation, std::int32_t level) {
  const auto [entry, fresh] = jittered_.try_emplace({kind, level});
  if (!fresh) return entry->second;
  TaskKind off = graph_.kind(kind);
  CHECK(off.links.empty());
  double square = 0;
  const auto add = [&](KindId part) { square += std::pow(graph_.kind(part).duration.seconds().value(), 2); };
  for (const KindId part : parts_[kind.value]) add(part);
  if (parts_[kind.value].empty()) add(kind);
  const double standard = deviation * std::sqrt(square);
  off.duration = SimTime::from(Seconds{std::max(0.0, off.duration.seconds().value() + standard * normal_level(level))});
  off.label += " jitter " + std::to_string(level);
  entry->second = graph_.add_kind(off);
  if (entry->second.value == evidence_.size()) {
    evidence_.push_back(evidence_[kind.value]);
    parts_.push_back(parts_[kind.value]);
  }
  return entry->second;
}

}  // namespace trillion
