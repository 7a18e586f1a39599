#include "sim/workload/block_times.h"

#include <algorithm>
#include <array>
#include <optional>
#include <type_traits>
#include <variant>
#include <vector>

#include "sim/workload/kind_table.h"

namespace trillion {

namespace {

Seconds time_of(const Operations& ops, const Timing& timing, const Conditions& conditions) {
  Seconds sum;
  for (const Operation& op : ops) {
    std::visit(
        [&](const auto& what) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(what)>, Collective>)
            sum += op.share * timing.time(Kernel{what}, conditions).time;
        },
        op.what);
  }
  return sum;
}

// Operations in the order of their block, each as early as its chain and its lane allow.
class ChainWalk {
 public:
  ChainWalk(const LayerRouting& least, const Timing& timing, const Conditions& conditions)
      : least_(least), timing_(timing), conditions_(conditions), gap_(issue_costs(timing.stack()).kernel_gap.value()) {}

  ChainTime of(const Operations& ops) const {
    ChainTime out;
    double chain = 0, last_kernel = 0;
    std::array<double, kLaneCount> free{};
    std::vector<double> ahead;
    std::size_t met = 0;
    for (const Operation& op : ops) {
      const double time = seconds(op);
      double& lane = free[static_cast<std::size_t>(op.lane)];
      if (op.order == Order::ahead || op.order == Order::before_weights) {
        // Before the first kernel it may have run while the compute stream was still busy with something else.
        lane = std::max(lane, chain) + (out.any_kernel ? time : 0);
        ahead.push_back(lane);
        continue;
      }
      if (met < ahead.size() && (op.order == Order::meets || op.order == Order::meets_all)) {
        met = op.order == Order::meets ? met + 1 : ahead.size();
        chain = std::max(chain, ahead[met - 1]);
      }
      const double start = std::max(lane, chain);
      chain = lane = start + time;
      if (op.lane != Lane::compute) continue;
      if (!out.any_kernel) out.lead = start;
      out.any_kernel = true;
      out.kernels += time;
      last_kernel = chain;
    }
    if (!out.any_kernel) {
      out.lead = chain;
      return out;
    }
    out.busy = last_kernel - out.lead;
    out.tail = chain - last_kernel;
    return out;
  }

  // As the lowering launches it: on the exchanges' lane, the cast too.
  ChainTime of(const std::optional<Operation>& exchange) const {
    ChainTime out;
    if (exchange) out.lead = out.exchanges = seconds(*exchange);
    return out;
  }

  double kernels(const Operations& ops) const {
    double sum = 0;
    for (const Operation& op : ops) sum += op.lane == Lane::compute ? seconds(op) : 0;
    return sum;
  }

 private:
  double seconds(const Operation& op) const {
    const Operation loaded = op.scale == LoadScale::none ? op : at_load(op, least_);
    return std::visit(
        [&](const auto& what) {
          if constexpr (std::is_same_v<std::decay_t<decltype(what)>, Collective>)
            return (op.copy_engine ? timing_.peer_copy(what.bytes) : timing_.time(what, conditions_.load)).time.value();
          else
            return op.share * timing_.time(Kernel{what}, conditions_).time.value() + (op.lane == Lane::compute ? gap_ : 0);
        },
        loaded.what);
  }

  const LayerRouting& least_;
  const Timing& timing_;
  const Conditions& conditions_;
  double gap_;
};

}  // namespace

ChainTime& ChainTime::operator+=(const ChainTime& next) {
  kernels += next.kernels;
  exchanges += next.exchanges;
  if (!next.any_kernel) {
    (any_kernel ? tail : lead) += next.lead;
  } else if (!any_kernel) {
    lead += next.lead;
    busy = next.busy;
    tail = next.tail;
  } else {
    busy += tail + next.lead + next.busy;
    tail = next.tail;
  }
  any_kernel = any_kernel || next.any_kernel;
  return *this;
}

BlockChains block_chains(const Block& b, const LayerRouting& least, const Timing& timing, const Conditions& conditions) {
  const ChainWalk walk(least, timing, conditions);
  const Exchanges& e = b.exchanges;
  BlockChains out;
  for (const ChainTime& part : {walk.of(b.before_exchange), walk.of(e.dispatch), walk.of(b.experts), walk.of(e.combine)}) {
    out.forward += part;
  }
  for (const ChainTime& part : {walk.of(e.combine_backward_cast), walk.of(e.combine_backward), walk.of(b.recompute),
                                walk.of(b.experts_backward), walk.of(e.dispatch_backward), walk.of(b.before_exchange_backward)}) {
    out.backward += part;
  }
  out.weights = walk.kernels(b.experts_weight) + walk.kernels(b.before_exchange_weight);
  return out;
}

BlockTimes block_times(const Block& b, const Timing& timing, const Conditions& conditions) {
  const auto of = [&](const Operations& ops) { return time_of(ops, timing, conditions); };
  return {of(b.before_exchange) + of(b.experts), of(b.recompute) + of(b.experts_backward) + of(b.before_exchange_backward),
          of(b.experts_weight) + of(b.before_exchange_weight)};
}

}  // namespace trillion
