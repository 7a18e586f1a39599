#include "sim/planner/step_end_time.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "sim/workload/experts.h"
#include "sim/workload/lower.h"

namespace trillion {

namespace {

class StepEnd {
 public:
  explicit StepEnd(const StepEndInput& in)
      : in_(in), plan_(in.scenario.plan), copies_(copies()), groups_(gradient_groups(in.mesh, copies_, plan_)) {
    if (in.scenario.model.moe) groups_.replicas = replica_pair(in.scenario.model, plan_, in.mesh.expert());
  }

  double of(const ChunkProgram::Run& chunks) {
    const auto ranks = static_cast<std::size_t>(in_.program.ranks());
    std::vector<double> reduced(ranks);
    for (std::size_t r = 0; r < ranks; ++r) reduced[r] = reduced_at(r, chunks);
    if (copies_ > 1) meet(reduced);
    std::vector<double> clipped(ranks);
    std::vector<OptimizerKernels> kernels;
    const Cluster& cluster = in_.scenario.cluster;
    const Group world{in_.mesh.gpus(), 1, std::min(in_.mesh.gpus(), cluster.scale_up.domain_gpus)};
    double together = 0, exchange = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      kernels.push_back(optimizer_kernels(held(r), world, in_.scenario));
      const OptimizerKernels& k = kernels.back();
      clipped[r] = std::max(reduced[r], chunks.rank_end[r]) + (k.gradient_norm ? time(*k.gradient_norm) : 0) + time(k.before);
      together = std::max(together, clipped[r]);
      if (k.norm_exchange) exchange = time(*k.norm_exchange);
    }
    double end = chunks.makespan;
    for (std::size_t r = 0; r < ranks; ++r) {
      const OptimizerKernels& k = kernels[r];
      double now = (k.norm_exchange ? together + exchange : clipped[r]) + time(k.update) + time(k.after);
      if (plan_.sharding != Sharding::zero_3 && !plan_.overlap_parameter_gather) now += gathered(r);
      if (k.quantise) now += time(*k.quantise);
      end = std::max(end, now);
    }
    return end;
  }

  // The first bucket of each stage is gathered from the step's start on; where chunks are gathered ahead, only a rank's first two are,
  // one after the other.
  std::vector<double> first_gathered() {
    std::vector<double> out;
    if (!plan_.overlap_parameter_gather) return out;
    const bool aligned = aligns_chunks(plan_);
    const auto ranks = static_cast<std::size_t>(plan_.pipeline_parallel);
    for (std::size_t s = 0; s < in_.cut.stages.size(); ++s) {
      double before = 0;
      if (aligned && s >= ranks && s < 2 * ranks) {
        for (const BlockKind k : in_.cut.stages[s - ranks]) before += gather_of(k);
      }
      out.push_back(aligned && s >= 2 * ranks ? 0 : before + first_bucket(in_.cut.stages[s]));
    }
    return out;
  }

 private:
  double first_bucket(const Stage& stage) {
    BlockParameters bucket;
    double gather = 0;
    for (std::size_t i = 0; i < stage.size() && !full(bucket); ++i) {
      bucket += parameters(stage[i]);
      gather += gather_of(stage[i]);
    }
    return gather;
  }
  const BlockParameters& parameters(BlockKind k) { return in_.blocks.of(k).block.parameters; }
  bool full(const BlockParameters& b) const {
    return b.dense >= bucket_parameters(plan_, groups_.dense) || b.expert >= bucket_parameters(plan_, groups_.expert);
  }

  std::int64_t copies() const {
    std::int64_t n = 0;
    for (const auto& held : in_.program.stages_of_rank()) n += std::count(held.begin(), held.end(), 0);
    return n;
  }

  double time(const Operation& op) const {
    return std::visit(
        [&](const auto& what) {
          if constexpr (std::is_same_v<std::decay_t<decltype(what)>, Collective>)
            return in_.timing.time(what).time.value();
          else
            return in_.timing.time(Kernel{what}, in_.conditions).time.value();
        },
        op.what);
  }

  double time(const Operations& ops) const {
    return std::accumulate(ops.begin(), ops.end(), 0.0, [&](double sum, const Operation& op) { return sum + time(op); });
  }

  // All of a stage's gradients, by themselves: blocks fill a bucket from the last to the first; it is reduced when it is full, and at the
  // stage's first block.
  double reduction_of(const Stage& stage) {
    double all = 0;
    BlockParameters waiting;
    for (std::size_t i = stage.size(); i-- > 0;) {
      waiting += parameters(stage[i]);
      for (const bool expert : {false, true}) {
        double& parameters_waiting = expert ? waiting.expert : waiting.dense;
        const bool filled =
            !aligns_chunks(plan_) && parameters_waiting >= bucket_parameters(plan_, expert ? groups_.expert : groups_.dense);
        if (!filled && i > 0) continue;
        BlockParameters bucket;
        (expert ? bucket.expert : bucket.dense) = std::exchange(parameters_waiting, 0);
        if (expert) bucket.replicated = std::exchange(waiting.replicated, 0);
        const BlockReduction r = gradient_reduction(bucket, groups_, plan_, in_.scenario.training);
        for (const auto& op : {r.replicas, expert ? r.expert : r.dense, expert ? r.expert_copies : r.dense_copies}) {
          if (op) all += time(*op);
        }
      }
    }
    return all;
  }

  // Beside the last backward pass of each stage as long as its chunk says (ChunkProfile::reduction), and after what was reduced before.
  double reduced_at(std::size_t rank, const ChunkProgram::Run& chunks) {
    const std::vector<std::int32_t>& stages = in_.program.stages_of_rank()[rank];
    std::vector<std::size_t> order(stages.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto& spans = chunks.last_weights[rank];
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return spans[a].start < spans[b].start; });
    double lane = 0;
    for (const std::size_t at : order) {
      const double alone = reduction_of(in_.cut.stages[static_cast<std::size_t>(stages[at])]);
      if (alone == 0) continue;
      lane = plan_.overlap_gradient_reduce ? std::max(lane + alone, spans[at].reduced) : std::max(lane, chunks.rank_end[rank]) + alone;
    }
    return lane;
  }

  // Ranks that hold the same stage reduce together.
  void meet(std::vector<double>& reduced) const {
    std::vector<double> of_stage(static_cast<std::size_t>(in_.program.stages()));
    const auto each = [&](const auto& visit) {
      for (std::size_t r = 0; r < reduced.size(); ++r) {
        for (const std::int32_t s : in_.program.stages_of_rank()[r]) visit(reduced[r], of_stage[static_cast<std::size_t>(s)]);
      }
    };
    each([](double rank, double& stage) { stage = std::max(stage, rank); });
    each([](double& rank, double stage) { rank = std::max(rank, stage); });
  }

  HeldParameters held(std::size_t rank) {
    HeldParameters all;
    for (const std::int32_t s : in_.program.stages_of_rank()[rank]) {
      for (const BlockKind k : in_.cut.stages[static_cast<std::size_t>(s)]) {
        all.shard += optimizer_shard(parameters(k), groups_, plan_);
        all.whole += parameters(k).total();
      }
    }
    return all;
  }

  double gather_of(BlockKind kind) {
    std::optional<double>& known = gathers_[static_cast<std::size_t>(kind)];
    if (!known) {
      const BlockReduction g = parameter_gather(parameters(kind), groups_, plan_);
      known = (g.dense ? time(*g.dense) : 0) + (g.expert ? time(*g.expert) : 0);
    }
    return *known;
  }

  double gathered(std::size_t rank) {
    double all = 0;
    for (const std::int32_t s : in_.program.stages_of_rank()[rank]) {
      for (const BlockKind k : in_.cut.stages[static_cast<std::size_t>(s)]) all += gather_of(k);
    }
    return all;
  }

  const StepEndInput& in_;
  const Plan& plan_;
  std::int64_t copies_;
  GradientGroups groups_;
  std::array<std::optional<double>, kBlockKindCount> gathers_;
};

}  // namespace

double step_end_time(const StepEndInput& input, const ChunkProgram::Run& chunks) { return StepEnd(input).of(chunks); }

std::vector<double> first_gathered(const StepEndInput& input) { return StepEnd(input).first_gathered(); }

}  // namespace trillion
