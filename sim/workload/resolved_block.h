// A block whose operations are task kinds: what the lowering copies, micro-batch after micro-batch.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "sim/workload/block.h"
#include "sim/workload/kind_table.h"

namespace trillion {

// How finely a graph shows the kernels of one stream. The times are the same: nothing comes between the kernels of a run.
enum class Detail : std::uint8_t {
  kernels,  // a task each
  runs,     // consecutive kernels of the compute stream are one task: about a tenth of the tasks
};

struct ResolvedOperation {
  KindId kind;
  Lane lane = Lane::compute;
  Order order = Order::chain;
  KindId launch = {};       // of the host, where it issues each kernel; not valid() elsewhere
  bool host_waits = false;  // Operation::host_waits
};
using ResolvedOperations = std::vector<ResolvedOperation>;

struct ResolvedBlock {
  ResolvedOperations before_exchange, experts, experts_backward, before_exchange_backward, experts_weight, before_exchange_weight;
};

struct ResolvedExchanges {
  std::optional<KindId> dispatch, combine, combine_backward_cast, combine_backward, dispatch_backward;
  ResolvedOperations recompute;  // may hold exchanges
  KindId launch;                 // of any of them, where the host issues it
};

// One simulated GPU, as its kernels see it.
struct GpuView {
  RankLinks links;
  Runner runner;
};

// Blocks and how long their operations take, asked once: lowerings that differ in what surrounds the blocks alone share them.
class TimedBlocks {
 public:
  // What tells the load of an operation apart, besides the operation itself.
  struct LoadKey {
    const LayerRouting* routing;
    std::int32_t expert_rank;
    Company company;
    friend auto operator<=>(const LoadKey&, const LoadKey&) = default;
  };

  bool has(BlockKind kind) const { return blocks_.at(static_cast<std::size_t>(kind)).has_value(); }
  void add(BlockKind kind, Block block) { blocks_.at(static_cast<std::size_t>(kind)) = std::move(block); }
  const Block& block(BlockKind kind) const { return *blocks_.at(static_cast<std::size_t>(kind)); }
  // REQUIRES: `op` is of one of the blocks, load.routing stays where it is, `kinds` times under the same conditions as before.
  const KindTable::Timed& timed(const KindTable& kinds, const Operation& op, const LoadKey& load);
  const LayerRouting& even() const { return even_; }

 private:
  std::array<std::optional<Block>, kBlockKindCount> blocks_;
  std::map<std::pair<const Operation*, LoadKey>, KindTable::Timed> timed_;
  LayerRouting even_;
};

// Resolves on first use and remembers. Kernels depend on (block, routing sample, runner), exchanges also on the GPU, whose links they use.
class BlockResolver {
 public:
  // `shared`: blocks that are there already, and their times; empty: its own.
  BlockResolver(KindTable& kinds, const ExpertLoad& load, std::vector<GpuView> gpus, Detail detail = Detail::kernels,
                TimedBlocks* shared = nullptr);
  BlockResolver(const BlockResolver&) = delete;
  BlockResolver& operator=(const BlockResolver&) = delete;

  Detail detail() const { return detail_; }
  bool has(BlockKind kind) const { return blocks_.has(kind); }
  // REQUIRES: before the first use of `kind`.
  void add(BlockKind kind, Block block) { blocks_.add(kind, std::move(block)); }
  const Block& block(BlockKind kind) const { return blocks_.block(kind); }

  // `company`: whether communication of other parts of the step may run beside this pass. Parts of a block whose own communication runs
  // beside their kernels are in company always, and shown kernel by kernel.
  const ResolvedBlock& kernels(BlockKind kind, std::int64_t layer, std::int64_t micro_batch, std::int32_t gpu = 0,
                               Company company = Company::alone);
  const ResolvedExchanges& exchanges(BlockKind kind, std::int64_t layer, std::int64_t micro_batch, std::int32_t gpu,
                                     Company company = Company::alone);

 private:
  static std::size_t index(BlockKind kind) { return static_cast<std::size_t>(kind); }
  template <class Resolved>
  using Slots = std::array<std::array<std::vector<std::optional<Resolved>>, 2>, kBlockKindCount>;  // [block][company], filled on use
  // The place of one of `count` users of a block in company or alone.
  template <class Resolved>
  std::optional<Resolved>& slot(Slots<Resolved>& slots, BlockKind kind, Company company, std::size_t count, std::size_t place) const {
    auto& of_kind = slots[index(kind)][static_cast<std::size_t>(company)];
    if (of_kind.empty()) of_kind.resize(count * samples_);
    return of_kind[place];
  }
  // Blocks without routed experts have one sample only.
  std::size_t sample_index(BlockKind kind, std::int64_t layer, std::int64_t micro_batch) const;
  const LayerRouting& sample(std::size_t index) const;

  using LoadKey = TimedBlocks::LoadKey;
  const KindTable::Timed& timed(const Operation& op, const LoadKey& load) { return blocks_.timed(kinds_, op, load); }
  // Whether the block's own lists hold communication, which is on the links of one GPU.
  bool talks(BlockKind kind);
  ResolvedOperations resolve(const Operations& ops, const LayerRouting& routing, const GpuView& gpu, Company company);
  KindId communication(const Operation& op, const LoadKey& load, const GpuView& gpu);

  KindTable& kinds_;
  Detail detail_;
  const ExpertLoad& load_;
  std::vector<GpuView> gpus_;
  std::vector<std::size_t> runner_of_;  // [GPU] number among the distinct runners
  std::size_t runners_ = 0, samples_ = 1;
  TimedBlocks own_;
  TimedBlocks& blocks_;
  std::array<std::optional<bool>, kBlockKindCount> talks_;  // asked when first needed
  Slots<ResolvedBlock> kernels_;                            // ... [runner x samples + sample], of one that talks [GPU x samples + sample]
  Slots<ResolvedExchanges> exchanges_;                      // ... [GPU x samples + sample]
};

}  // namespace trillion
