#include "sim/planner/search_space.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "sim/base/parallel_for.h"
#include "sim/spec/recompute_amount.h"
#include "sim/workload/feasibility.h"
#include "sim/workload/stage.h"

namespace trillion {

namespace {

template <class T>
std::vector<T> or_usual(const SearchAxis<T>& axis, std::vector<T> usual) {
  std::vector<T> values = axis.value_or(std::move(usual));
  std::vector<T> once;  // in the order given
  for (const T& v : values) {
    if (std::find(once.begin(), once.end(), v) == once.end()) once.push_back(v);
  }
  return once;
}

std::vector<std::int64_t> powers_of_two(std::int64_t most, std::int64_t also) {
  std::vector<std::int64_t> out;
  for (std::int64_t v = 1; v <= most; v *= 2) out.push_back(v);
  out.push_back(also);
  return out;
}

// The layouts of one cluster.
class Enumeration {
 public:
  Enumeration(const Scenario& s, std::size_t cluster) : s_(s), q_(s.search), cluster_(cluster) {
    for (const auto amount : {RecomputeAmount::none, RecomputeAmount::selective, RecomputeAmount::full}) {
      amounts_.push_back(modules_of(amount, s_.calibration.stack.runs_apart(UnfusedPart::attention)));
    }
    using enum RecomputeModule;
    if (s_.model.mla) amounts_.push_back({norm, mla_up_projection, activation});
    amounts_.push_back(s_.plan.recompute);
  }

  std::vector<Layout> take(unsigned threads) {
    std::vector<std::int64_t> sizes = or_usual(q_.nodes, {s_.cluster.nodes});
    if (q_.gpus) {
      sizes.clear();
      for (const std::int64_t gpus : or_usual(q_.gpus, {})) {
        if (gpus % s_.cluster.gpus_per_node == 0) sizes.push_back(gpus / s_.cluster.gpus_per_node);
      }
    }
    for (const std::int64_t nodes : sizes) {
      Layout layout{cluster_, nodes, s_.plan};
      // What follows from the layout is left open: it belongs to the scenario's own plan alone.
      layout.plan.data_parallel.reset();
      layout.plan.layers_per_stage.reset();
      layout.plan.schedule_file.reset();
      gpus_ = nodes * s_.cluster.gpus_per_node;
      for (const RankOrder& order : or_usual(q_.rank_order, {s_.plan.rank_order})) {
        layout.plan.rank_order = order;
        dense_axes(layout);
      }
    }
    const std::vector<char> possible = which_are_possible(threads);
    std::vector<Layout> kept;
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (possible[i]) kept.push_back(std::move(found_[i]));
    }
    found_ = std::move(kept);
    const Layout own{cluster_, s_.cluster.nodes, s_.plan};
    if (contains_own()) {
      std::erase_if(found_, [&](const Layout& l) { return same_choice(l, own); });
      Scenario tried = s_;
      if (is_possible(tried, own)) found_.push_back(own);
    }
    return std::move(found_);
  }

 private:
  void dense_axes(Layout layout) {
    const std::int64_t domain = std::min(gpus_, s_.cluster.scale_up.domain_gpus);
    const auto tensor =
        or_usual(q_.tensor_parallel, powers_of_two(std::min(domain, s_.model.num_attention_heads), s_.plan.tensor_parallel));
    const auto context = or_usual(q_.context_parallel,
                                  powers_of_two(std::max<std::int64_t>(1, s_.training.sequence_length / 4096), s_.plan.context_parallel));
    const auto pipeline =
        or_usual(q_.pipeline_parallel, powers_of_two(std::min<std::int64_t>(64, s_.model.num_hidden_layers), s_.plan.pipeline_parallel));
    for (const std::int64_t t : tensor) {
      for (const std::int64_t c : context) {
        for (const std::int64_t p : pipeline) {
          if (gpus_ % (t * c * p) != 0 || !allows(q_.data_parallel, gpus_ / (t * c * p))) continue;
          layout.plan.tensor_parallel = t;
          layout.plan.context_parallel = c;
          layout.plan.pipeline_parallel = p;
          context_methods(layout);
        }
      }
    }
  }

  void context_methods(Layout layout) {
    using enum ContextParallelMethod;
    std::vector<ContextParallelMethod> all = {s_.plan.context_parallel_method};
    if (layout.plan.context_parallel > 1) all = or_usual(q_.context_parallel_method, {all_gather, ring, all_to_all});
    for (const ContextParallelMethod method : all) {
      layout.plan.context_parallel_method = method;
      tensor_axes(layout);
    }
  }

  void tensor_axes(Layout layout) {
    const std::int64_t t = layout.plan.tensor_parallel;
    const bool own_sequence = t == s_.plan.tensor_parallel ? s_.plan.sequence_parallel : t > 1;
    if (t == 1) {
      layout.plan.sequence_parallel = false;
      layout.plan.tensor_parallel_overlap = s_.plan.sequence_parallel || s_.plan.tensor_parallel_overlap != TensorOverlap::pipelined
                                                ? s_.plan.tensor_parallel_overlap
                                                : TensorOverlap::bulk;
      return expert_axes(layout);
    }
    for (const bool sequence : or_usual(q_.sequence_parallel, {true, own_sequence})) {
      layout.plan.sequence_parallel = sequence;
      for (const TensorOverlap overlap :
           or_usual(q_.tensor_parallel_overlap, {TensorOverlap::bulk, TensorOverlap::pipelined, s_.plan.tensor_parallel_overlap})) {
        if (overlap == TensorOverlap::pipelined && !sequence) continue;
        layout.plan.tensor_parallel_overlap = overlap;
        expert_axes(layout);
      }
    }
  }

  void expert_axes(Layout layout) {
    if (!s_.model.moe) return batch_axes(layout);
    const auto experts = or_usual(q_.expert_parallel, powers_of_two(s_.model.moe->n_routed_experts, s_.plan.expert_parallel));
    for (const std::int64_t e : experts) {
      // Frameworks ask for equally many experts a rank; who wants others says so.
      if (!q_.expert_parallel && e != s_.plan.expert_parallel && s_.model.moe->n_routed_experts % e != 0) continue;
      for (const std::int64_t et : or_usual(q_.expert_tensor_parallel, {1, layout.plan.tensor_parallel, s_.plan.expert_tensor_parallel})) {
        if (gpus_ % (e * et * layout.plan.pipeline_parallel) != 0) continue;
        layout.plan.expert_parallel = e;
        layout.plan.expert_tensor_parallel = et;
        for (const ExpertPlacement placement : or_usual(q_.expert_placement, {s_.plan.expert_placement})) {
          layout.plan.expert_placement = placement;
          layout.plan.redundant_experts = placement == ExpertPlacement::load_balanced ? s_.plan.redundant_experts : 0;
          batch_axes(layout);
        }
      }
    }
  }

  void batch_axes(Layout layout) {
    const Plan& p = layout.plan;
    const std::int64_t replicas = gpus_ / (p.tensor_parallel * p.context_parallel * p.pipeline_parallel);
    for (const std::int64_t m : or_usual(q_.micro_batch_size, {1, 2, 4, 8, s_.plan.micro_batch_size})) {
      if (s_.training.global_batch_size % (replicas * m) != 0) continue;
      layout.plan.micro_batch_size = m;
      for (const auto& recompute : or_usual(q_.recompute, amounts_)) {
        layout.plan.recompute = recompute;
        const bool own = recompute == s_.plan.recompute;
        layout.plan.recomputed_layers = own ? s_.plan.recomputed_layers : RecomputedLayers{};
        for (const auto& offload : or_usual(q_.offload, {s_.plan.offload})) {
          layout.plan.offload = offload;
          for (const Precision precision : or_usual(q_.precision, {s_.plan.precision})) {
            layout.plan.precision = precision;
            state_axes(layout);
          }
        }
      }
    }
  }

  void state_axes(Layout layout) {
    std::vector<Sharding> shardings = {Sharding::zero_1, s_.plan.sharding};
    if (layout.plan.pipeline_parallel == 1) shardings.push_back(Sharding::zero_3);
    std::vector<std::optional<std::int64_t>> groups = {s_.plan.sharding_group};
    if (q_.sharding_group) groups.assign(q_.sharding_group->begin(), q_.sharding_group->end());
    std::vector<std::optional<double>> buckets = {s_.plan.bucket_parameters};
    if (q_.bucket_parameters) buckets.assign(q_.bucket_parameters->begin(), q_.bucket_parameters->end());
    for (const Sharding sharding : or_usual(q_.sharding, shardings)) {
      layout.plan.sharding = sharding;
      const bool gathers = sharding == Sharding::zero_1 || sharding == Sharding::zero_2;
      const bool waits = sharding == Sharding::none || sharding == Sharding::zero_1;
      for (const auto& group : groups) {
        layout.plan.sharding_group = sharding == Sharding::none ? std::nullopt : group;
        for (const auto& bucket : buckets) {
          layout.plan.bucket_parameters = bucket;
          for (const bool reduce : waits ? or_usual(q_.overlap_gradient_reduce, {s_.plan.overlap_gradient_reduce}) : std::vector{true}) {
            layout.plan.overlap_gradient_reduce = reduce;
            for (const bool gather : gathers ? or_usual(q_.overlap_parameter_gather, {false, true}) : std::vector{false}) {
              layout.plan.overlap_parameter_gather = gather;
              schedule_axes(layout);
            }
          }
        }
      }
    }
  }

  void schedule_axes(Layout layout) {
    std::vector<ScheduleKind> all;
    for (std::size_t i = 0; i < kScheduleNames.size(); ++i) all.push_back(static_cast<ScheduleKind>(i));
    // Without a pipeline all schedules are one.
    if (layout.plan.pipeline_parallel == 1) {
      all = {ScheduleKind::one_f_one_b};
      if (s_.plan.pipeline_parallel == 1) all.push_back(s_.plan.schedule);
    }
    for (const ScheduleKind schedule : or_usual(layout.plan.pipeline_parallel == 1 ? SearchAxis<ScheduleKind>{} : q_.schedule, all)) {
      layout.plan.schedule = schedule;
      std::vector<std::int64_t> chunks = {1};
      if (schedule == ScheduleKind::interleaved_1f1b)
        chunks = or_usual(q_.virtual_pipeline_stages, {2, 4, 8, s_.plan.virtual_pipeline_stages});
      for (const std::int64_t v : chunks) {
        if (schedule == ScheduleKind::interleaved_1f1b && v == 1) continue;
        layout.plan.virtual_pipeline_stages = v;
        cut(layout);
      }
    }
  }

  void cut(Layout layout) {
    for (const StageSplit split : or_usual(q_.stage_split, {StageSplit::time})) {
      layout.plan.layers_per_stage.reset();
      if (split == StageSplit::layers) {
        const std::int64_t stages = stage_count(layout.plan), layers = s_.model.num_hidden_layers;
        layout.plan.layers_per_stage.emplace();
        for (std::int64_t i = 0; i < stages; ++i) {
          layout.plan.layers_per_stage->push_back(layers * (i + 1) / stages - layers * i / stages);
        }
      }
      found_.push_back(layout);
    }
  }

  // `tried`: the scenario, of which the layout takes what is its own.
  static bool is_possible(Scenario& tried, const Layout& layout) {
    tried.cluster.nodes = layout.nodes;
    tried.plan = layout.plan;
    return tried.plan.validate().empty() && tried.validate().empty() && !why_layout_impossible(tried);
  }

  // Most of an enumeration's time.
  std::vector<char> which_are_possible(unsigned threads) const {
    constexpr std::size_t kAtOnce = 1024;
    std::vector<char> possible(found_.size());
    parallel_for((found_.size() + kAtOnce - 1) / kAtOnce, threads, [&](std::size_t part) {
      Scenario tried = s_;
      const std::size_t end = std::min(found_.size(), (part + 1) * kAtOnce);
      for (std::size_t i = part * kAtOnce; i < end; ++i) possible[i] = is_possible(tried, found_[i]);
    });
    return possible;
  }

  static bool allows(const SearchAxis<std::int64_t>& axis, std::int64_t value) {
    return !axis || std::find(axis->begin(), axis->end(), value) != axis->end();
  }

  bool contains_own() const {
    const Layout own{cluster_, s_.cluster.nodes, s_.plan};
    return std::any_of(found_.begin(), found_.end(), [&](const Layout& l) { return same_choice(l, own); });
  }
  // But for what was left open.
  static bool same_choice(const Layout& a, const Layout& b) {
    if (a.nodes != b.nodes || a.plan.tensor_parallel != b.plan.tensor_parallel) return false;  // nearly always
    Layout open = b;
    open.plan.data_parallel = a.plan.data_parallel;
    open.plan.layers_per_stage = a.plan.layers_per_stage;
    open.plan.schedule_file = a.plan.schedule_file;
    return a == open;
  }

  const Scenario& s_;
  const Search& q_;
  std::size_t cluster_;
  std::int64_t gpus_ = 0;
  std::vector<std::vector<RecomputeModule>> amounts_;
  std::vector<Layout> found_;
};

}  // namespace

std::vector<Scenario> search_clusters(const Scenario& scenario) {
  Scenario base = scenario;
  const std::vector<SearchedCluster> named = std::exchange(base.search.clusters, {});
  if (named.empty()) return {base};
  std::vector<Scenario> out;
  for (const SearchedCluster& c : named) {
    Scenario s = base;
    s.cluster = c.cluster;
    s.cluster_file = c.cluster_file;
    s.calibration = c.calibration;
    s.calibration_file = c.calibration_file;
    out.push_back(std::move(s));
  }
  return out;
}

std::vector<Layout> layouts(const std::vector<Scenario>& clusters, unsigned threads) {
  std::vector<Layout> all;
  for (std::size_t c = 0; c < clusters.size(); ++c) {
    std::vector<Layout> of_cluster = Enumeration(clusters[c], c).take(threads);
    std::move(of_cluster.begin(), of_cluster.end(), std::back_inserter(all));
  }
  return all;
}

std::vector<Layout> layouts(const Scenario& scenario) { return layouts(search_clusters(scenario)); }

Scenario with_layout(const Scenario& scenario, const Layout& layout) {
  Scenario s = scenario;
  if (!s.search.clusters.empty()) {
    const SearchedCluster& c = s.search.clusters.at(layout.cluster);
    s.cluster = c.cluster;
    s.calibration = c.calibration;
    s.cluster_file = c.cluster_file;
    s.calibration_file = c.calibration_file;
    s.search.clusters.clear();
  }
  s.cluster.nodes = layout.nodes;
  s.plan = layout.plan;
  return s;
}

}  // namespace trillion
