#include "sim/workload/memory.h"

#include <algorithm>
#include <array>

#include "sim/workload/passes.h"
#include "sim/workload/step_end.h"

namespace trillion {

namespace {

Bytes saved_bytes(const Block& block, const LayerRouting& routing) {
  Bytes sum;
  for (const SavedTensor& t : block.saved) sum += t.bytes * (t.scale == LoadScale::rank_load ? routing.rank_load_max_over_mean : 1.0);
  return sum;
}

// Operands of one kernel.
Bytes operands(const Operation& op) {
  return std::visit(
      [](const auto& k) {
        using K = std::decay_t<decltype(k)>;
        const auto product = [](std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); };
        if constexpr (std::is_same_v<K, Gemm>) {
          return element_bytes(k.dtype) * product(k.m, k.k) + Bytes{2} * product(k.m, k.n);
        } else if constexpr (std::is_same_v<K, MemoryBound>) {
          return k.read + k.written;
        } else if constexpr (std::is_same_v<K, GroupedGemm>) {
          double rows = 0;
          for (const std::int64_t m : k.m) rows += static_cast<double>(m);
          return element_bytes(k.dtype) * (rows * static_cast<double>(k.k)) + Bytes{2} * (rows * static_cast<double>(k.n));
        } else {
          return Bytes{};
        }
      },
      op.what);
}

Bytes largest_kernel(const Block& b) {
  Bytes largest;
  // Weight gradients go to the gradient buffer, which is counted already.
  for (const Operations* ops : {&b.before_exchange, &b.experts, &b.experts_backward, &b.before_exchange_backward}) {
    for (const Operation& op : *ops) largest = std::max(largest, operands(op));
  }
  return largest;
}

struct Walk {
  Bytes peak;
  std::int64_t in_flight = 0;
};

// The rank's own order: what is held after each pass. A pair's forward pass comes before its backward pass frees anything.
Walk walk_activations(const PipelineSchedule& schedule, std::int32_t rank, const std::vector<Bytes>& saved_of_stage) {
  Walk walk;
  Bytes held;
  std::int64_t count = 0;
  const auto step = [&](const Pass& p) {
    const Bytes bytes = saved_of_stage[static_cast<std::size_t>(p.stage)];
    if (p.kind == ActionKind::forward) {
      held += bytes;
      ++count;
    } else if (p.kind != ActionKind::input_gradient) {
      held -= bytes;
      --count;
    }
    if (held > walk.peak) walk = {held, count};
  };
  for (const Action& a : schedule.ranks[static_cast<std::size_t>(rank)]) {
    step(a.first);
    if (a.second) step(*a.second);
  }
  return walk;
}

}  // namespace

std::vector<StageMemory> memory_of_ranks(const MemoryInput& in) {
  const Scenario& s = in.scenario;
  const Stack& stack = s.calibration.stack;
  const BlockContext context = block_context(s, in.mesh, in.routing);
  std::array<std::optional<Block>, kBlockKindCount> blocks;
  std::vector<Bytes> saved_of_stage;
  for (const Stage& stage : in.cut.stages) {
    Bytes saved;
    for (const BlockKind k : stage) {
      std::optional<Block>& b = blocks[static_cast<std::size_t>(k)];
      if (!b) b = make_block(k, context);
      saved += saved_bytes(*b, in.routing);
    }
    saved_of_stage.push_back(saved);
  }
  std::int64_t copies = 0;
  for (std::size_t r = 0; r < in.schedule.ranks.size(); ++r) {
    const auto held = in.schedule.stages_of(static_cast<std::int32_t>(r));
    copies += std::count(held.begin(), held.end(), 0);
  }
  const GradientGroups groups = gradient_groups(in.mesh, copies);
  const bool exchanges = s.model.moe && s.plan.expert_parallel > 1;
  const bool sharded_gradients = s.plan.sharding == Sharding::zero_2 || s.plan.sharding == Sharding::zero_3;
  const double parameter_bytes = s.plan.precision == Precision::fp8 ? 3 : 2;
  const OptimizerState& state = s.training.optimizer_state;

  std::vector<StageMemory> ranks;
  for (std::size_t r = 0; r < in.schedule.ranks.size(); ++r) {
    StageMemory m;
    m.stage = static_cast<std::int64_t>(r);
    m.stages = in.schedule.stages_of(static_cast<std::int32_t>(r));
    double whole = 0, shard = 0, largest_block = 0;
    Bytes kernel;
    for (const std::int32_t stage : m.stages) {
      for (const BlockKind k : in.cut.stages[static_cast<std::size_t>(stage)]) {
        const Block& b = *blocks[static_cast<std::size_t>(k)];
        whole += b.parameters.total();
        shard += optimizer_shard(b.parameters, groups, s.plan);
        largest_block = std::max(largest_block, b.parameters.total());
        kernel = std::max(kernel, largest_kernel(b));
      }
    }
    const double computing = s.plan.sharding == Sharding::zero_3 ? std::min(whole, shard + 2 * largest_block) : whole;
    m.parameters = Bytes{parameter_bytes * computing};
    m.gradients = Bytes{static_cast<double>(state.gradient_bytes)} * (sharded_gradients ? std::min(whole, shard + largest_block) : whole);
    m.optimizer = Bytes{static_cast<double>(state.master_weight_bytes + 2 * state.moment_bytes)} * shard;
    const Walk walk = walk_activations(in.schedule, static_cast<std::int32_t>(r), saved_of_stage);
    m.activations = walk.peak;
    m.in_flight = walk.in_flight;
    const Sizes sizes(context);
    const bool neighbours = in.schedule.ranks.size() > 1;
    m.buffers = kernel + (neighbours ? 4 * sizes.residual() : Bytes{});
    const Bytes tensors = m.parameters + m.gradients + m.optimizer + m.activations + m.buffers;
    m.overhead = stack.context.value + stack.collective_buffers.value + stack.workspace.value +
                 (exchanges ? stack.expert_buffers.value : Bytes{}) + tensors * stack.fragmentation.value;
    ranks.push_back(std::move(m));
  }
  return ranks;
}

}  // namespace trillion
