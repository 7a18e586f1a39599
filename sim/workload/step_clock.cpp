#include "sim/workload/step_clock.h"

#include <array>
#include <variant>

#include "sim/spec/chip_spread.h"
#include "sim/workload/step_end.h"

namespace trillion {

namespace {

class Loads {
 public:
  Loads(const Timing& timing, std::int64_t sms) : timing_(timing), sms_(sms) {}

  void add(const Operation& op, double count) {
    std::visit(
        [&](const auto& what) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(what)>, Collective>) {
            const PowerLoad load = timing_.power_load(Kernel{what}, sms_, count * op.share);
            if (load.sustained.value() > 0) loads_.push_back(load);
          }
        },
        op.what);
  }
  void add(const Operations& ops, double count) {
    for (const Operation& op : ops) add(op, count);
  }
  const std::vector<PowerLoad>& loads() const { return loads_; }

 private:
  const Timing& timing_;
  std::int64_t sms_;
  std::vector<PowerLoad> loads_;
};

}  // namespace

double step_clock_mhz(const LoweringInput& in) {
  const Scenario& s = in.scenario;
  if (!s.calibration.power.known()) return 0;
  std::array<double, kBlockKindCount> count{};
  for (const Stage& stage : in.cut.stages) {
    for (const BlockKind k : stage) count[static_cast<std::size_t>(k)] += static_cast<double>(in.schedule.micro_batches);
  }
  const BlockContext context = block_context(s, in.mesh, in.load.mean);
  const GradientGroups groups = gradient_groups(in.mesh, 1, in.scenario.plan);
  Loads loads(in.timing, kernel_conditions(s, in.timing).sms);
  HeldParameters held;
  for (std::size_t k = 0; k < kBlockKindCount; ++k) {
    if (count[k] == 0) continue;
    const Block b = make_block(static_cast<BlockKind>(k), context);
    for (const Operations* ops : {&b.before_exchange, &b.experts, &b.recompute, &b.experts_backward, &b.before_exchange_backward,
                                  &b.experts_weight, &b.before_exchange_weight}) {
      loads.add(*ops, count[k]);
    }
    const double blocks = count[k] / static_cast<double>(in.schedule.micro_batches);
    held.shard += blocks * optimizer_shard(b.parameters, groups, s.plan);
    held.whole += blocks * b.parameters.total();
  }
  if (s.extent == Extent::step) {
    const OptimizerKernels end = optimizer_kernels(held, {}, s);
    if (end.gradient_norm) loads.add(*end.gradient_norm, 1);
    loads.add(end.update, 1);
    loads.add(end.before, 1);
    loads.add(end.after, 1);
    if (end.quantise) loads.add(*end.quantise, 1);
  }
  return step_clock(slowest_of(s.calibration.power, s.calibration.stack.chip_spread.value, in.mesh.gpus()), loads.loads());
}

}  // namespace trillion
