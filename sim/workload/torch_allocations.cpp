#include "sim/workload/torch_allocations.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <ranges>
#include <set>
#include <utility>
#include <vector>

#include "sim/workload/caching_allocator.h"
#include "sim/workload/step_end.h"
#include "sim/workload/torch_kernels.h"
#include "sim/workload/torch_tensors.h"

namespace trillion {

namespace {

enum Stream : std::int32_t { kCompute, kGather, kReduce };
using Handle = CachingAllocator::Block;
using Held = std::vector<Handle>;

class Steps {
 public:
  explicit Steps(const AllocationInput& in)
      : in_(in),
        c_(in.context),
        sizes_(in.context),
        allocator_(in.expandable_segments),
        wide_(c_.training.optimizer_state.master_weight_bytes > 0),
        sharded_(c_.plan.sharding == Sharding::zero_3),
        keeps_gathered_(sharded_ && !reduces_every_micro_batch(c_.plan)) {}

  AllocatorPeaks run() {
    make_model();
    if (in_.bucketed) lay_out_first_bucket();
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
  // The tensors of a block in one pass, by their number on its tape.
  using Tensors = std::map<TensorTape::Tensor, Handle>;
  // What fully_shard gathers and reduces together: a layer, or the ends of the model.
  struct Group {
    Held whole, gradients;  // BF16
    double parameters = 0;
  };
  using GroupKey = std::pair<std::int32_t, std::int32_t>;  // stage and place of a layer
  struct Returned {
    double bytes = 0;
    GroupKey key;
    Handle made;
  };
  static constexpr GroupKey kEnds{-1, -1};

  double parameter_bytes() const { return wide_ ? 4 : 2; }
  double reduced_bytes() const { return static_cast<double>(c_.training.optimizer_state.gradient_reduce_bytes); }
  double residual() const { return sizes_.residual * sizes_.wide; }

  const BlockTensors& tensors(const Block& b) {
    const auto [place, first] = tensors_.try_emplace(b.kind);
    if (first) place->second = torch_tensors(b.kind, c_, c_.routing.rank_load_max_over_mean);
    return place->second;
  }
  template <class Visitor>
  void for_parameters(Visitor&& visit) {
    for (const auto& stage : in_.stages) {
      for (const Block* b : stage) {
        for (const double n : tensors(*b).parameters) {
          if (n > 0) visit(n);
        }
      }
    }
  }
  // A tied head has a table of its own until it is told. Rotary embedding keeps cosines and sines (or a table of complex numbers) in FP32.
  void make_model() {
    double table = 0;
    for_parameters([&](double n) {
      take(parameter_bytes() * in_.shard * n);
      if (table == 0) table = n;
    });
    if (c_.model.tie_word_embeddings && c_.plan.pipeline_parallel == 1) allocator_.free(take(parameter_bytes() * in_.shard * table));
    if (c_.model.position_encoding != PositionEncoding::rope || c_.model.max_position_embeddings == 0) return;
    const double angles = static_cast<double>(c_.model.max_position_embeddings) * static_cast<double>(c_.model.head_dim);
    take(4 * angles);
    take(4 * angles);
  }
  // cuBLAS's workspace comes with a thread's first product.
  void take_workspace(bool& there) {
    if (in_.workspace.value() > 0 && !std::exchange(there, true)) take(in_.workspace.value());
  }
  // DDP's first step knows no order of gradients and has all in one bucket.
  void lay_out_first_bucket() {
    double all = 0;
    for_parameters([&](double n) { all += n; });
    buckets_.push_back(take(parameter_bytes() * all));
  }
  // Then, from the last parameter on, a bucket is closed when it has reached its size. The old one is there until gradients come.
  void rebuild_buckets() {
    constexpr double kFirst = 1 << 20, kFurther = 25 * kFirst;
    std::vector<double> sizes;
    for_parameters([&](double n) { sizes.push_back(parameter_bytes() * n); });
    old_buckets_ = std::exchange(buckets_, {});
    double bucket = 0;
    for (const double bytes : std::views::reverse(sizes)) {
      bucket += bytes;
      if (bucket < (buckets_.empty() ? kFirst : kFurther)) continue;
      buckets_.push_back(take(std::exchange(bucket, 0)));
    }
    if (bucket > 0) buckets_.push_back(take(bucket));
  }

  Handle take(double bytes, Stream stream = kCompute) {
    return allocator_.allocate(std::max<std::int64_t>(1, std::llround(bytes)), stream);
  }
  void give(Held& held) {
    for (const Handle handle : held) allocator_.free(handle);
    held.clear();
  }
  void give(std::optional<Handle>& held) {
    if (held) allocator_.free(*std::exchange(held, std::nullopt));
  }

  void pass(const Pass& p) {
    const auto& blocks = in_.stages[static_cast<std::size_t>(p.stage)];
    std::vector<Tensors>& running = passes_[{p.stage, p.micro_batch}];
    if (p.kind == ActionKind::forward) {
      running.resize(blocks.size());
      Handle passed_on = take(blocks.front()->kind == BlockKind::embedding ? 1 : residual());
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        running[i][TensorTape::kInput] = passed_on;
        passed_on = forward(*blocks[i], key(p.stage, i), running[i]);
      }
      results_[{p.stage, p.micro_batch}] = passed_on;
    } else if (p.kind != ActionKind::input_gradient) {
      adds_up_ = reached_.contains(p.stage);
      give(old_buckets_);
      allocator_.free(results_.at({p.stage, p.micro_batch}));
      Handle passed_on = take(blocks.back()->kind == BlockKind::head ? 1 : residual());
      for (std::size_t i = blocks.size(); i-- > 0;) {
        running[i][TensorTape::kOutputGradient] = passed_on;
        passed_on = backward(*blocks[i], key(p.stage, i), running[i]);
      }
      allocator_.free(passed_on);
      for (Tensors& left : running) {
        for (const auto& [tensor, handle] : left) allocator_.free(handle);
      }
      hand_out();
      passes_.erase({p.stage, p.micro_batch});
      reached_.insert(p.stage);
    }
  }

  GroupKey key(std::int32_t stage, std::size_t place) const {
    const Block& b = *in_.stages[static_cast<std::size_t>(stage)][place];
    return is_layer(b.kind) ? GroupKey{stage, static_cast<std::int32_t>(place)} : kEnds;
  }

  Handle forward(const Block& b, GroupKey key, Tensors& there) {
    gather(key);
    play(tensors(b).forward, key, there, true);
    if (sharded_ && !keeps_gathered_ && key != kEnds) give(groups_[key].whole);
    return there.extract(tensors(b).output).mapped();
  }

  Handle backward(const Block& b, GroupKey key, Tensors& there) {
    if (b.kind != BlockKind::head) gather(key);
    play(tensors(b).backward, key, there, false);
    if (!sizes_.one_graph) hand_out();
    if (sharded_ && !keeps_gathered_ && key != kEnds) reduce(groups_[key]);
    const TensorTape::Tensor gradient = tensors(b).input_gradient;
    return gradient == TensorTape::kNone ? take(1) : there.extract(gradient).mapped();
  }

  // fully_shard's root group may be given back when the model is through, and is there again when its backward pass begins.
  void turn_at_the_end(bool forward) {
    if (!forward) gather(kEnds);
    if (forward && sharded_ && !keeps_gathered_ && in_.reshards_ends) give(groups_[kEnds].whole);
  }

  void play(const TensorTape::Events& events, GroupKey key, Tensors& there, bool forward) {
    for (const TensorTape::Event& event : events) {
      switch (event.kind) {
        case TensorTape::Event::Kind::take:
          there[event.tensor] = allocator_.allocate(event.bytes, kCompute);
          if (event.parameter >= 0 && forward) take_workspace(has_workspace_);
          break;
        case TensorTape::Event::Kind::drop: allocator_.free(there.extract(event.tensor).mapped()); break;
        case TensorTape::Event::Kind::model_ends: turn_at_the_end(forward); break;
        case TensorTape::Event::Kind::parameter_gradient: parameter_gradient(static_cast<double>(event.bytes), key); break;
      }
    }
  }

  // A compiled function hands out its gradients when it ends.
  void parameter_gradient(double bytes, GroupKey key) {
    returned_.push_back({bytes, key, take(bytes)});
    take_workspace(autograd_has_workspace_);
    if (!sizes_.compiled) hand_out();
  }
  void hand_out() {
    for (const Returned& r : std::exchange(returned_, {})) parameter_gradient(r.bytes, r.key, r.made);
  }

  // It becomes the parameter's gradient, or is added to the one that is there, in DDP's bucket.
  void parameter_gradient(double bytes, GroupKey key, Handle made) {
    if (keeps_gathered_) {
      if (!adds_up_) groups_[key].gradients.push_back(take(bytes / 2 * std::max(2.0, reduced_bytes())));
      allocator_.free(made);
    } else if (sharded_) {
      groups_[key].gradients.push_back(made);
    } else if (adds_up_ || in_.bucketed) {
      allocator_.free(made);
    } else {
      gradients_.push_back(made);
    }
  }

  void lay_out_groups() {
    for (std::size_t stage = 0; stage < in_.stages.size(); ++stage) {
      for (std::size_t i = 0; i < in_.stages[stage].size(); ++i) {
        groups_[key(static_cast<std::int32_t>(stage), i)].parameters += in_.stages[stage][i]->parameters.total();
      }
    }
  }

  // The shards in BF16, what is gathered of all ranks, and each parameter copied out of it; what was gathered stays until the next time.
  void gather(GroupKey key) {
    if (!sharded_) return;
    if (groups_.empty()) lay_out_groups();
    Group& group = groups_[key];
    if (!group.whole.empty()) return;
    const Handle shards = take(2 * in_.shard * group.parameters, kGather), all = take(2 * group.parameters, kGather);
    allocator_.free(shards);
    for_parameters_of(key, [&](double n) { group.whole.push_back(take(2 * n)); });
    give(gathered_);
    gathered_ = all;
  }
  template <class Visitor>
  void for_parameters_of(GroupKey key, Visitor&& visit) {
    for (std::size_t stage = 0; stage < in_.stages.size(); ++stage) {
      for (std::size_t i = 0; i < in_.stages[stage].size(); ++i) {
        if (this->key(static_cast<std::int32_t>(stage), i) != key) continue;
        for (const double n : tensors(*in_.stages[stage][i]).parameters) {
          if (n > 0) visit(n);
        }
      }
    }
  }

  // A group's gradients copied together, and the shard that the reduction leaves; the copy stays until the next one.
  void reduce(Group& group) {
    give(group.whole);
    give(reduced_);
    reduced_ = take(reduced_bytes() * group.parameters);
    give(group.gradients);
    const Handle shard = take(reduced_bytes() * in_.shard * group.parameters, kReduce);
    if (adds_up_) {
      allocator_.free(shard);
    } else {
      gradient_shards_.push_back(shard);
    }
  }

  void end_step(bool first) {
    if (sharded_) {
      for (auto& [key, group] : groups_) {
        if (keeps_gathered_ || key == kEnds) reduce(group);
      }
    }
    give(reduced_);
    give(gathered_);
    if (first) {
      const double bytes = static_cast<double>(c_.training.optimizer_state.moment_bytes) * in_.shard;
      for_parameters([&](double n) {
        take(bytes * n);
        take(bytes * n);
      });
    }
    give(gradients_);
    give(gradient_shards_);
    reached_.clear();
  }

  const AllocationInput& in_;
  const BlockContext& c_;
  TorchSizes sizes_;
  CachingAllocator allocator_;
  bool wide_, sharded_, keeps_gathered_;
  bool has_workspace_ = false, autograd_has_workspace_ = false;
  bool adds_up_ = false;  // the stage under way has gradients of this step
  std::map<BlockKind, BlockTensors> tensors_;
  std::vector<Returned> returned_;
  Held buckets_, old_buckets_, gradients_, gradient_shards_;
  std::map<GroupKey, Group> groups_;
  std::optional<Handle> gathered_, reduced_;
  std::set<std::int32_t> reached_;  // stages that have been back in this step
  std::map<std::pair<std::int32_t, std::int32_t>, std::vector<Tensors>> passes_;
  std::map<std::pair<std::int32_t, std::int32_t>, Handle> results_;
};

}  // namespace

AllocatorPeaks allocator_peaks(const AllocationInput& input) { return Steps(input).run(); }

}  // namespace trillion
