#include "sim/workload/torch_allocations.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "sim/workload/caching_allocator.h"
#include "sim/workload/step_end.h"

namespace trillion {

namespace {

enum Stream : std::int32_t { kCompute, kGather, kReduce };

double elements(std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

// What an operation writes to memory of its own.
double output_bytes(const Operation& op, double load) {
  if (op.in_place) return 0;
  const double scale = op.scale == LoadScale::none ? 1 : load;
  return scale * std::visit(
                     [](const auto& what) -> double {
                       using What = std::decay_t<decltype(what)>;
                       if constexpr (std::is_same_v<What, Gemm>) {
                         return 2 * elements(what.m, what.n);
                       } else if constexpr (std::is_same_v<What, GroupedGemm>) {
                         double rows = 0;
                         for (const std::int64_t m : what.m) rows += static_cast<double>(m);
                         if (what.layout == GemmLayout::weight_gradient)
                           rows = static_cast<double>(what.m.size()) * static_cast<double>(what.k);
                         return 2 * rows * static_cast<double>(what.n);
                       } else if constexpr (std::is_same_v<What, Attention>) {
                         const double tokens = elements(what.batch, what.queries), keys = elements(what.batch, what.keys);
                         const double queries = tokens * elements(what.heads, what.qk_dim);
                         if (what.direction == Direction::forward) return 2 * tokens * elements(what.heads, what.v_dim);
                         return 2 * (queries + keys * elements(what.kv_heads, what.qk_dim + what.v_dim));
                       } else if constexpr (std::is_same_v<What, MemoryBound>) {
                         return what.kernel == MemoryKernel::torch_accumulate ? 0 : what.written.value();
                       } else {
                         if (what.kind == CollectiveKind::all_reduce) return 0;
                         if (what.kind == CollectiveKind::reduce_scatter) return what.bytes.value() / static_cast<double>(what.ranks);
                         return what.bytes.value();
                       }
                     },
                     op.what);
}

// Numbers of elements of the block's matrices, and of all else together.
std::vector<double> parameter_tensors(const Block& b) {
  std::vector<double> tensors;
  double left = b.parameters.total();
  for (const Operations* ops : {&b.before_exchange_weight, &b.experts_weight}) {
    for (const Operation& op : *ops) {
      const bool product = std::holds_alternative<Gemm>(op.what) || std::holds_alternative<GroupedGemm>(op.what);
      const double size = product ? output_bytes(op, 1) / 2 : 0;
      if (size <= 0 || size > left) continue;
      tensors.push_back(size);
      left -= size;
    }
  }
  if (left >= 1) tensors.push_back(left);
  return tensors;
}

class Steps {
 public:
  explicit Steps(const AllocationInput& in)
      : in_(in),
        c_(in.context),
        allocator_(in.expandable_segments),
        load_(c_.routing.rank_load_max_over_mean),
        wide_(c_.training.optimizer_state.master_weight_bytes > 0),
        sharded_(c_.plan.sharding == Sharding::zero_3),
        keeps_gathered_(sharded_ && !reduces_every_micro_batch(c_.plan)) {}

  AllocatorPeaks run() {
    if (in_.workspace.value() > 0) take(in_.workspace.value());
    for_parameters([&](double n) { take(parameter_bytes() * in_.shard * n); });
    if (in_.bucketed) for_parameters([&](double n) { buckets_.push_back(take(parameter_bytes() * n)); });
    constexpr int kSteps = 3;
    for (int step = 0; step < kSteps; ++step) {
      if (step + 1 == kSteps) allocator_.reset_peaks();
      if (step == 1 && in_.bucketed) rebuild_buckets();
      for (const Action& action : in_.actions) {
        pass(action.first);
        if (action.second) pass(*action.second);
      }
      end_step(step == 0);
    }
    return {Bytes{static_cast<double>(allocator_.peak_allocated())}, Bytes{static_cast<double>(allocator_.peak_reserved())}};
  }

 private:
  using Held = std::vector<CachingAllocator::Block>;
  struct Saved {
    CachingAllocator::Block block;
    Module module;
  };
  struct BlockState {
    std::vector<Saved> saved;
  };

  double parameter_bytes() const { return wide_ ? 4 : 2; }
  template <class Visitor>
  void for_parameters(Visitor&& visit) const {
    for (const auto& stage : in_.stages) {
      for (const Block* b : stage) {
        for (const double n : parameter_tensors(*b)) visit(n);
      }
    }
  }
  void rebuild_buckets() {
    Held before = std::exchange(buckets_, {});
    for_parameters([&](double n) { buckets_.push_back(take(parameter_bytes() * n)); });
    give(before);
  }

  CachingAllocator::Block take(double bytes, Stream stream = kCompute) {
    return allocator_.allocate(std::max<std::int64_t>(1, std::llround(bytes)), stream);
  }
  void give(Held& held) {
    for (const CachingAllocator::Block block : held) allocator_.free(block);
    held.clear();
  }
  // Outputs that later operations still read.
  void pass_on(double bytes, std::size_t alive) {
    recent_.push_back(take(bytes));
    while (recent_.size() > alive) drop_oldest();
  }
  void drop_oldest() {
    allocator_.free(recent_.front());
    recent_.pop_front();
  }

  void pass(const Pass& p) {
    const auto& blocks = in_.stages[static_cast<std::size_t>(p.stage)];
    auto& states = passes_[{p.stage, p.micro_batch}];
    adds_up_ = reached_.contains(p.stage);
    if (p.kind == ActionKind::forward) {
      states.resize(blocks.size());
      for (std::size_t i = 0; i < blocks.size(); ++i) forward(*blocks[i], states[i]);
    } else if (p.kind != ActionKind::input_gradient) {
      for (std::size_t i = blocks.size(); i-- > 0;) backward(*blocks[i], states[i]);
      passes_.erase({p.stage, p.micro_batch});
      reached_.insert(p.stage);
    }
    while (!recent_.empty()) drop_oldest();
  }

  void forward(const Block& b, BlockState& state) {
    gather(b);
    std::vector<SavedTensor> left = b.saved;
    const auto run = [&](const Operation& op) {
      const double bytes = output_bytes(op, load_);
      if (bytes <= 0) return;
      const auto match = std::find_if(left.begin(), left.end(), [&](const SavedTensor& t) { return std::abs(size(t) / bytes - 1) < 1e-3; });
      if (match == left.end()) return pass_on(bytes, 2);
      state.saved.push_back({take(bytes), match->module});
      left.erase(match);
    };
    for (const Operation& op : b.before_exchange) run(op);
    for (const Operation& op : b.experts) run(op);
    for (const SavedTensor& t : left) {
      if (size(t) > 0) state.saved.push_back({take(size(t)), t.module});
    }
  }

  double size(const SavedTensor& t) const { return t.bytes.value() * (t.scale == LoadScale::none ? 1 : load_); }

  void backward(const Block& b, BlockState& state) {
    gather(b);
    in_ends_ = !is_layer(b.kind);
    Held extra, restored;
    restore(b, restored);
    // What the operations themselves do not show of the block's fullest moment.
    double shown = 0;
    std::array<double, 3> window{};
    for (const Operations* ops : {&b.experts_backward, &b.before_exchange_backward}) {
      for (const Operation& op : *ops) {
        window = {window[1], window[2], output_bytes(op, load_)};
        shown = std::max(shown, window[0] + window[1] + window[2]);
      }
    }
    for (const CachingAllocator::Block block : restored) shown += static_cast<double>(allocator_.size_of(block));
    if (b.transient.value() > shown) extra.push_back(take(b.transient.value() - shown));

    part(b.experts_backward, b.experts_weight);
    give(extra);
    release(state, true);
    part(b.before_exchange_backward, b.before_exchange_weight);
    release(state, false);
    give(restored);
    reduce(b);
  }

  void restore(const Block& b, Held& restored) {
    double most = 0, room = b.transient.value();
    for (const Operation& op : b.recompute) most = std::max(most, output_bytes(op, load_));
    room -= 3 * most;
    for (const Operation& op : b.recompute) {
      const double bytes = output_bytes(op, load_);
      if (bytes <= 0) continue;
      if (bytes > room) {
        pass_on(bytes, 2);
        continue;
      }
      room -= bytes;
      restored.push_back(take(bytes));
    }
  }

  void part(const Operations& backward, const Operations& weights) {
    for (const Operation& op : backward) {
      if (const double bytes = output_bytes(op, load_); bytes > 0) pass_on(bytes, 3);
    }
    for (const Operation& op : weights) weight_gradient(op);
  }

  // In place of what autograd returns: it stays as the gradient, or is added to the one that is there.
  void weight_gradient(const Operation& op) {
    const double bytes = output_bytes(op, load_);
    if (bytes <= 0) return;
    const bool cast_follows = c_.autocast() && std::holds_alternative<Gemm>(op.what);
    const bool stays = !adds_up_ && !cast_follows;
    if (keeps_gathered_) {
      pass_on(bytes, 2);
      if (stays) gradients_.push_back(take(bytes / 2 * std::max(2.0, reduced_bytes())));
    } else if (sharded_) {
      (in_ends_ ? unreduced_ends_ : unreduced_).push_back(take(bytes));
    } else if (stays && !in_.bucketed) {
      gradients_.push_back(take(bytes));
    } else {
      pass_on(bytes, 2);
    }
  }

  // Feed-forward network and head first, then what comes before the exchange.
  void release(BlockState& state, bool network) {
    const auto goes = [&](const Saved& s) {
      return !network || s.module == Module::feed_forward || s.module == Module::experts || s.module == Module::head;
    };
    for (const Saved& s : state.saved) {
      if (goes(s)) allocator_.free(s.block);
    }
    std::erase_if(state.saved, goes);
  }

  // A group's parameters: copied out of what was gathered.
  void gather(const Block& b) {
    if (!sharded_) return;
    Held& whole = gathered_[&b];
    if (!whole.empty()) return;
    if (!keeps_gathered_ && is_layer(b.kind)) {
      for (auto& [other, held] : gathered_) {
        if (is_layer(other->kind)) give(held);
      }
    }
    Held before = std::exchange(gather_copy_, {});
    gather_copy_.push_back(take(2 * b.parameters.total(), kGather));
    for (const double n : parameter_tensors(b)) whole.push_back(take(2 * n));
    give(before);
  }

  // A layer's gradients, copied together; those of the ends close the step, all gradients under a pipeline.
  void reduce(const Block& b) {
    if (!sharded_ || keeps_gathered_ || !is_layer(b.kind)) return;
    reduce(b.parameters.total(), unreduced_);
  }
  void reduce(double parameters, Held& unreduced) {
    give(reduce_copy_);
    reduce_copy_.push_back(take(reduced_bytes() * parameters, kReduce));
    give(unreduced);
    if (!adds_up_) gradients_.push_back(take(parameter_bytes() * in_.shard * parameters, kReduce));
  }
  double reduced_bytes() const { return static_cast<double>(c_.training.optimizer_state.gradient_reduce_bytes); }

  void end_step(bool first) {
    double ends = 0, largest = 0;
    for (const auto& stage : in_.stages) {
      for (const Block* b : stage) {
        ends += is_layer(b->kind) ? 0 : b->parameters.total();
        largest = std::max(largest, b->parameters.total());
      }
    }
    if (sharded_) reduce(keeps_gathered_ ? largest : ends, unreduced_ends_);
    give(reduce_copy_);
    if (first) {
      const double bytes = static_cast<double>(c_.training.optimizer_state.moment_bytes) * in_.shard;
      for_parameters([&](double n) { take(bytes * n); });
      for_parameters([&](double n) { take(bytes * n); });
    }
    give(gradients_);
    for (auto& [block, held] : gathered_) give(held);
    give(gather_copy_);
    reached_.clear();
  }

  const AllocationInput& in_;
  const BlockContext& c_;
  CachingAllocator allocator_;
  double load_;
  bool wide_, sharded_, keeps_gathered_;
  bool adds_up_ = false;  // the stage under way has gradients of this step
  bool in_ends_ = false;
  std::deque<CachingAllocator::Block> recent_;
  Held buckets_, gradients_, unreduced_, unreduced_ends_, gather_copy_, reduce_copy_;
  std::set<std::int32_t> reached_;  // stages that have been back in this step
  std::map<const Block*, Held> gathered_;
  std::map<std::pair<std::int32_t, std::int32_t>, std::vector<BlockState>> passes_;
};

}  // namespace

AllocatorPeaks allocator_peaks(const AllocationInput& input) { return Steps(input).run(); }

}  // namespace trillion
