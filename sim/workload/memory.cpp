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

// Every kind of block that the stages hold, made once, and what one micro-batch leaves behind in each stage.
struct StageBlocks {
  StageBlocks(const MemoryInput& in, const BlockContext& context) {
    for (const Stage& stage : in.cut.stages) {
      Bytes saved;
      for (const BlockKind k : stage) {
        std::optional<Block>& b = of_kind[static_cast<std::size_t>(k)];
        if (!b) b = make_block(k, context);
        saved += saved_bytes(*b, in.routing);
      }
      saved_of_stage.push_back(saved);
    }
  }
  const Block& at(BlockKind k) const { return *of_kind[static_cast<std::size_t>(k)]; }

  std::array<std::optional<Block>, kBlockKindCount> of_kind;
  std::vector<Bytes> saved_of_stage;
};

// What one rank holds of the model: its parameters, those whose optimizer state it keeps, and its largest pieces.
struct Holding {
  double whole = 0, shard = 0, largest_block = 0;
  Bytes largest_kernel;
};

Holding holding(const MemoryInput& in, const StageBlocks& blocks, const GradientGroups& groups, const std::vector<std::int32_t>& stages) {
  Holding h;
  for (const std::int32_t stage : stages) {
    for (const BlockKind k : in.cut.stages[static_cast<std::size_t>(stage)]) {
      const Block& b = blocks.at(k);
      h.whole += b.parameters.total();
      h.shard += optimizer_shard(b.parameters, groups, in.scenario.plan);
      h.largest_block = std::max(h.largest_block, b.parameters.total());
      h.largest_kernel = std::max(h.largest_kernel, largest_kernel(b));
    }
  }
  return h;
}

// Pipeline ranks that hold the same stage.
std::int64_t copies_of_a_stage(const PipelineSchedule& schedule) {
  std::int64_t copies = 0;
  for (std::size_t r = 0; r < schedule.ranks.size(); ++r) {
    const auto held = schedule.stages_of(static_cast<std::int32_t>(r));
    copies += std::count(held.begin(), held.end(), 0);
  }
  return copies;
}

void add_model_states(StageMemory& m, const Holding& h, const Scenario& s) {
  const Sharding sharding = s.plan.sharding;
  const bool sharded_gradients = sharding == Sharding::zero_2 || sharding == Sharding::zero_3;
  const double parameter_bytes = s.plan.precision == Precision::fp8 ? 3 : 2;
  const double computing = sharding == Sharding::zero_3 ? std::min(h.whole, h.shard + 2 * h.largest_block) : h.whole;
  const double reduced = sharded_gradients ? std::min(h.whole, h.shard + h.largest_block) : h.whole;
  const OptimizerState& state = s.training.optimizer_state;
  m.parameters = Bytes{parameter_bytes * computing};
  m.gradients = Bytes{static_cast<double>(state.gradient_bytes)} * reduced;
  m.optimizer = Bytes{static_cast<double>(state.master_weight_bytes + 2 * state.moment_bytes)} * h.shard;
}

Bytes overhead(const StageMemory& m, const Scenario& s) {
  const Stack& stack = s.calibration.stack;
  const bool exchanges = s.model.moe && s.plan.expert_parallel > 1;
  const Bytes tensors = m.parameters + m.gradients + m.optimizer + m.activations + m.buffers;
  return stack.context.value + stack.collective_buffers.value + stack.workspace.value + (exchanges ? stack.expert_buffers.value : Bytes{}) +
         tensors * stack.fragmentation.value;
}

}  // namespace

std::vector<StageMemory> memory_of_ranks(const MemoryInput& in) {
  const BlockContext context = block_context(in.scenario, in.mesh, in.routing);
  const StageBlocks blocks(in, context);
  const GradientGroups groups = gradient_groups(in.mesh, copies_of_a_stage(in.schedule));
  const bool neighbours = in.schedule.ranks.size() > 1;

  std::vector<StageMemory> ranks;
  for (std::size_t r = 0; r < in.schedule.ranks.size(); ++r) {
    StageMemory m;
    m.stage = static_cast<std::int64_t>(r);
    m.stages = in.schedule.stages_of(static_cast<std::int32_t>(r));
    const Holding held = holding(in, blocks, groups, m.stages);
    add_model_states(m, held, in.scenario);
    const Walk walk = walk_activations(in.schedule, static_cast<std::int32_t>(r), blocks.saved_of_stage);
    m.activations = walk.peak;
    m.in_flight = walk.in_flight;
    m.buffers = held.largest_kernel + (neighbours ? 4 * Sizes(context).residual() : Bytes{});
    m.overhead = overhead(m, in.scenario);
    ranks.push_back(std::move(m));
  }
  return ranks;
}

}  // namespace trillion
