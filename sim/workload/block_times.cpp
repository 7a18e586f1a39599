#include "sim/workload/block_times.h"

#include <type_traits>
#include <variant>

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

}  // namespace

BlockTimes block_times(const Block& b, const Timing& timing, const Conditions& conditions) {
  const auto of = [&](const Operations& ops) { return time_of(ops, timing, conditions); };
  return {of(b.before_exchange) + of(b.experts), of(b.recompute) + of(b.experts_backward) + of(b.before_exchange_backward),
          of(b.experts_weight) + of(b.before_exchange_weight)};
}

}  // namespace trillion
