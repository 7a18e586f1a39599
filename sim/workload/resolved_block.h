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
};

// One simulated GPU, as its kernels see it.
struct GpuView {
  RankLinks links;
  Runner runner;
};

// Resolves on first use and remembers. Kernels depend on (block, routing sample, runner), exchanges also on the GPU, whose links they use.
class BlockResolver {
 public:
  BlockResolver(KindTable& kinds, const ExpertLoad& load, std::vector<GpuView> gpus, Detail detail = Detail::kernels);

  Detail detail() const { return detail_; }
  // REQUIRES: before the first use of `kind`.
  void add(BlockKind kind, Block block);
  const Block& block(BlockKind kind) const { return *blocks_.at(index(kind)); }

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

  // What tells the load of an operation apart, besides the operation itself.
  struct LoadKey {
    const LayerRouting* routing;
    std::int32_t expert_rank;
    Company company;
    friend auto operator<=>(const LoadKey&, const LoadKey&) = default;
  };
  const KindTable::Timed& timed(const Operation& op, const LoadKey& load);
  ResolvedOperations resolve(const Operations& ops, const LayerRouting& routing, const GpuView& gpu, Company company);
  KindId communication(const Operation& op, const LoadKey& load, const GpuView& gpu);

  KindTable& kinds_;
  Detail detail_;
  const ExpertLoad& load_;
  std::vector<GpuView> gpus_;
  std::vector<std::size_t> runner_of_;  // [GPU] number among the distinct runners
  std::size_t runners_ = 0, samples_ = 1;
  std::map<std::pair<const Operation*, LoadKey>, KindTable::Timed> timed_;  // operations of blocks_ and samples of load_: both stay
  LayerRouting even_;
  std::array<std::optional<Block>, kBlockKindCount> blocks_;
  std::array<bool, kBlockKindCount> talks_{};  // the block's own lists hold communication, which is on the links of one GPU
  Slots<ResolvedBlock> kernels_;               // ... [runner x samples + sample], of one that talks [GPU x samples + sample]
  Slots<ResolvedExchanges> exchanges_;         // ... [GPU x samples + sample]
};

}  // namespace trillion
