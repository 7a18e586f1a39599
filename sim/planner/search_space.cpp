#include "sim/planner/search_space.h"

#include <algorithm>
#include <utility>

#include "sim/spec/recompute_amount.h"
#include "sim/workload/feasibility.h"

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

class Enumeration {
 public:
  explicit Enumeration(const Scenario& s) : s_(s), q_(s.search) {}

  std::vector<Layout> take() {
    for (const std::int64_t nodes : or_usual(q_.nodes, {s_.cluster.nodes})) {
      Layout layout{nodes, s_.plan};
      // What follows from the layout is left open: it belongs to the scenario's own plan alone.
      layout.plan.data_parallel.reset();
      layout.plan.layers_per_stage.reset();
      gpus_ = nodes * s_.cluster.gpus_per_node;
      dense_axes(layout);
    }
    Layout own{s_.cluster.nodes, s_.plan};
    if (contains_own()) {
      std::erase_if(found_, [&](const Layout& l) { return same_choice(l, own); });
      add(own);
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
          if (gpus_ % (t * c * p) != 0) continue;
          layout.plan.tensor_parallel = t;
          layout.plan.context_parallel = c;
          layout.plan.pipeline_parallel = p;
          const bool own_sequence = t == s_.plan.tensor_parallel ? s_.plan.sequence_parallel : t > 1;
          for (const bool sequence : or_usual(q_.sequence_parallel, {t > 1, own_sequence})) {
            layout.plan.sequence_parallel = sequence && t > 1;
            expert_axes(layout);
            if (t == 1) break;
          }
        }
      }
    }
  }

  void expert_axes(Layout layout) {
    if (!s_.model.moe) return batch_axes(layout);
    const auto experts = or_usual(q_.expert_parallel, powers_of_two(s_.model.moe->n_routed_experts, s_.plan.expert_parallel));
    for (const std::int64_t e : experts) {
      for (const std::int64_t et : or_usual(q_.expert_tensor_parallel, {1, s_.plan.expert_tensor_parallel})) {
        if (gpus_ % (e * et * layout.plan.pipeline_parallel) != 0) continue;
        layout.plan.expert_parallel = e;
        layout.plan.expert_tensor_parallel = et;
        for (const ExpertPlacement placement : or_usual(q_.expert_placement, {s_.plan.expert_placement})) {
          layout.plan.expert_placement = placement;
          batch_axes(layout);
        }
      }
    }
  }

  void batch_axes(Layout layout) {
    const Plan& own = s_.plan;
    std::vector<std::vector<RecomputeModule>> amounts;
    for (const auto amount : {RecomputeAmount::none, RecomputeAmount::selective, RecomputeAmount::full}) {
      amounts.push_back(modules_of(amount, s_.calibration.stack.has_unfused_attention()));
    }
    amounts.push_back(own.recompute);
    for (const std::int64_t m : or_usual(q_.micro_batch_size, {1, 2, 4, 8, own.micro_batch_size})) {
      layout.plan.micro_batch_size = m;
      for (const auto& recompute : or_usual(q_.recompute, amounts)) {
        layout.plan.recompute = recompute;
        std::vector<Sharding> shardings = {Sharding::zero_1, own.sharding};
        if (layout.plan.pipeline_parallel == 1) shardings.push_back(Sharding::zero_3);
        for (const Sharding sharding : or_usual(q_.sharding, shardings)) {
          layout.plan.sharding = sharding;
          for (const Precision precision : or_usual(q_.precision, {own.precision})) {
            layout.plan.precision = precision;
            schedule_axes(layout);
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
        add(layout);
      }
    }
  }

  void add(const Layout& layout) {
    const Scenario s = with_layout(s_, layout);
    if (!s.plan.validate().empty() || !s.validate().empty() || why_layout_impossible(s)) return;
    found_.push_back(layout);
  }

  bool contains_own() const {
    const Layout own{s_.cluster.nodes, s_.plan};
    return std::any_of(found_.begin(), found_.end(), [&](const Layout& l) { return same_choice(l, own); });
  }
  // But for what was left open.
  static bool same_choice(const Layout& a, const Layout& b) {
    Layout open = b;
    open.plan.data_parallel = a.plan.data_parallel;
    open.plan.layers_per_stage = a.plan.layers_per_stage;
    return a == open;
  }

  const Scenario& s_;
  const Search& q_;
  std::int64_t gpus_ = 0;
  std::vector<Layout> found_;
};

}  // namespace

std::vector<Layout> layouts(const Scenario& scenario) { return Enumeration(scenario).take(); }

Scenario with_layout(const Scenario& scenario, const Layout& layout) {
  Scenario s = scenario;
  s.cluster.nodes = layout.nodes;
  s.plan = layout.plan;
  return s;
}

}  // namespace trillion
