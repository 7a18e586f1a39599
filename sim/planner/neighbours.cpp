#include "sim/planner/neighbours.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "sim/base/parallel_for.h"
#include "sim/spec/recompute_amount.h"

namespace trillion {

namespace {

class Neighbourhood {
 public:
  explicit Neighbourhood(const Scenario& base) : base_(base) {}

  // `settings`: "plan.key=value" each; `set` writes the same into the plan.
  template <class Set>
  void add(std::vector<std::string> settings, const Set& set) {
    Change change{{}, base_};
    Plan& plan = change.scenario.plan;
    set(plan);
    // What was derived from the old layout or fixed beside it follows the new one.
    const Plan& old = base_.plan;
    const bool sizes = plan.tensor_parallel != old.tensor_parallel || plan.context_parallel != old.context_parallel ||
                       plan.pipeline_parallel != old.pipeline_parallel;
    const bool stages = plan.pipeline_parallel != old.pipeline_parallel || plan.schedule != old.schedule ||
                        plan.virtual_pipeline_stages != old.virtual_pipeline_stages;
    if (sizes && plan.data_parallel) {
      plan.data_parallel.reset();
      settings.push_back("plan.data_parallel=null");
    }
    if (stages && plan.layers_per_stage) {
      plan.layers_per_stage.reset();
      settings.push_back("plan.layers_per_stage=null");
    }
    if (!plan.validate().empty() || !change.scenario.validate().empty()) return;
    for (const Change& known : changes_) {
      if (known.scenario.plan == plan) return;
    }
    for (const std::string& setting : settings) change.what += (change.what.empty() ? "--set " : " --set ") + setting;
    changes_.push_back(std::move(change));
  }

  // The value doubled and halved.
  void scale(const std::string& key, std::int64_t Plan::*member) {
    const std::int64_t value = base_.plan.*member;
    add({"plan." + key + "=" + std::to_string(value * 2)}, [&](Plan& p) { p.*member = value * 2; });
    if (value % 2 == 0) add({"plan." + key + "=" + std::to_string(value / 2)}, [&](Plan& p) { p.*member = value / 2; });
  }

  template <class Enum, std::size_t kCount>
  void choose(const std::string& key, Enum Plan::*member, const std::array<std::string_view, kCount>& names) {
    for (std::size_t i = 0; i < kCount; ++i) {
      const auto value = static_cast<Enum>(i);
      if (value != base_.plan.*member) add({"plan." + key + "=" + std::string(names[i])}, [&](Plan& p) { p.*member = value; });
    }
  }

  std::vector<Change> take() { return std::move(changes_); }

 private:
  const Scenario& base_;
  std::vector<Change> changes_;
};

void add_schedules(Neighbourhood& n, const Scenario& s) {
  const Plan& plan = s.plan;
  for (std::size_t i = 0; i < kScheduleNames.size(); ++i) {
    const auto kind = static_cast<ScheduleKind>(i);
    if (kind == ScheduleKind::interleaved_1f1b || kind == plan.schedule) continue;
    std::vector<std::string> settings = {"plan.schedule=" + std::string(kScheduleNames[i])};
    if (plan.virtual_pipeline_stages > 1) settings.push_back("plan.virtual_pipeline_stages=1");
    n.add(settings, [&](Plan& p) {
      p.schedule = kind;
      p.virtual_pipeline_stages = 1;
    });
  }
  for (const std::int64_t chunks : {2, 3, 4, 5, 6, 8}) {
    if (plan.schedule == ScheduleKind::interleaved_1f1b && plan.virtual_pipeline_stages == chunks) continue;
    if (chunks * plan.pipeline_parallel > s.model.num_hidden_layers) continue;
    n.add({"plan.schedule=interleaved-1f1b", "plan.virtual_pipeline_stages=" + std::to_string(chunks)}, [&](Plan& p) {
      p.schedule = ScheduleKind::interleaved_1f1b;
      p.virtual_pipeline_stages = chunks;
    });
  }
}

// What to keep and what to compute again: the three amounts, and lists that spare the experts' exchanges, as Megatron-LM's users write
// them. The text is what --set takes.
struct Recompute {
  std::string text;
  std::vector<RecomputeModule> modules;
};

std::vector<Recompute> recomputations(const Scenario& s) {
  using enum RecomputeModule;
  std::vector<Recompute> all;
  for (std::size_t i = 0; i < kRecomputeAmountNames.size(); ++i) {
    const auto amount = static_cast<RecomputeAmount>(i);
    all.push_back({"plan.recompute=" + std::string(kRecomputeAmountNames[i]),
                   modules_of(amount, s.calibration.stack.runs_apart(UnfusedPart::attention))});
  }
  if (s.model.moe && s.calibration.stack.framework.value == Framework::fused) {
    all.push_back({"plan.recompute=[moe_activation]", {moe_activation}});
    all.push_back({"plan.recompute=[norm,moe_activation]", {norm, moe_activation}});
  }
  return all;
}

void add_recompute(Neighbourhood& n, const Scenario& s) {
  for (const Recompute& r : recomputations(s)) {
    if (r.modules == s.plan.recompute) continue;
    n.add({r.text}, [&](Plan& p) {
      p.recompute = r.modules;
      p.recomputed_layers = {};
    });
  }
}

// A change that takes or frees memory, with every other way of recomputing.
void add_with_recompute(Neighbourhood& n, const Scenario& s, const std::string& key, std::int64_t Plan::*member, std::int64_t value) {
  if (value < 1) return;
  for (const Recompute& r : recomputations(s)) {
    if (r.modules == s.plan.recompute) continue;
    n.add({"plan." + key + "=" + std::to_string(value), r.text}, [&](Plan& p) {
      p.*member = value;
      p.recompute = r.modules;
      p.recomputed_layers = {};
    });
  }
}

void add_exchanges_of_memory(Neighbourhood& n, const Scenario& s) {
  const auto part = [](std::int64_t value, std::int64_t divisor) { return value % divisor == 0 ? value / divisor : 0; };
  for (const std::int64_t factor : {2, 4}) {
    add_with_recompute(n, s, "micro_batch_size", &Plan::micro_batch_size, s.plan.micro_batch_size * factor);
    if (!s.plan.recompute.empty())
      add_with_recompute(n, s, "micro_batch_size", &Plan::micro_batch_size, part(s.plan.micro_batch_size, factor));
  }
  add_with_recompute(n, s, "pipeline_parallel", &Plan::pipeline_parallel, part(s.plan.pipeline_parallel, 2));
  add_with_recompute(n, s, "tensor_parallel", &Plan::tensor_parallel, part(s.plan.tensor_parallel, 2));
  if (s.model.moe) add_with_recompute(n, s, "expert_parallel", &Plan::expert_parallel, part(s.plan.expert_parallel, 2));
}

}  // namespace

std::vector<Change> neighbours(const Scenario& s) {
  Neighbourhood n(s);
  n.scale("micro_batch_size", &Plan::micro_batch_size);
  if (s.plan.pipeline_parallel > 1 && !s.plan.schedule_file) add_schedules(n, s);
  n.scale("pipeline_parallel", &Plan::pipeline_parallel);
  n.scale("tensor_parallel", &Plan::tensor_parallel);
  if (s.plan.tensor_parallel > 1) {
    n.add({"plan.sequence_parallel=" + std::string(s.plan.sequence_parallel ? "false" : "true")},
          [&](Plan& p) { p.sequence_parallel = !s.plan.sequence_parallel; });
    n.choose("tensor_parallel_overlap", &Plan::tensor_parallel_overlap, kTensorOverlapNames);
  }
  n.scale("context_parallel", &Plan::context_parallel);
  if (s.plan.context_parallel > 1) n.choose("context_parallel_method", &Plan::context_parallel_method, kContextParallelMethodNames);
  if (s.model.moe) {
    n.scale("expert_parallel", &Plan::expert_parallel);
    n.scale("expert_tensor_parallel", &Plan::expert_tensor_parallel);
    // Other placements have no copies.
    if (s.plan.redundant_experts == 0) n.choose("expert_placement", &Plan::expert_placement, kExpertPlacementNames);
    if (s.plan.expert_parallel > 1) n.choose("expert_exchange", &Plan::expert_exchange, kExpertExchangeNames);
  }
  add_recompute(n, s);
  n.choose("sharding", &Plan::sharding, kShardingNames);
  const std::string gather = s.plan.overlap_parameter_gather ? "false" : "true", reduce = s.plan.overlap_gradient_reduce ? "false" : "true";
  n.add({"plan.overlap_parameter_gather=" + gather}, [&](Plan& p) { p.overlap_parameter_gather = !p.overlap_parameter_gather; });
  n.add({"plan.overlap_gradient_reduce=" + reduce}, [&](Plan& p) { p.overlap_gradient_reduce = !p.overlap_gradient_reduce; });
  n.choose("precision", &Plan::precision, kPrecisionNames);
  add_exchanges_of_memory(n, s);
  return n.take();
}

std::vector<Change> relieved(const Scenario& s) {
  std::vector<Change> out;
  const auto add = [&](const char* what, const auto& relieve) {
    out.push_back({what, s});
    relieve(out.back().scenario);
  };
  if (s.cluster.nodes > 1) add("network between nodes twice as fast", [](Scenario& c) { c.cluster.scale_out.nic_bandwidth *= 2; });
  add("NVLink twice as fast", [](Scenario& c) { c.cluster.scale_up.bandwidth *= 2; });
  if (s.model.moe && s.training.routing.balance != Balance::forced) {
    add("experts perfectly balanced", [](Scenario& c) { c.training.routing.balance = Balance::forced; });
  }
  return out;
}

std::vector<TriedChange> try_changes(const StepResult& base, const std::vector<Change>& changes, unsigned threads) {
  std::vector<TriedChange> tried(changes.size());
  parallel_for(changes.size(), threads, [&](std::size_t i) {
    tried[i].what = changes[i].what;
    tried[i].plan = changes[i].scenario.plan;
    tried[i].outcome = simulate_step(changes[i].scenario);
    if (const auto* step = std::get_if<StepResult>(&tried[i].outcome)) {
      tried[i].gain = 1 - (step->time / step->tokens) / (base.time / base.tokens);
    }
  });
  const auto runs = [](const TriedChange& t) { return std::holds_alternative<StepResult>(t.outcome); };
  std::stable_sort(tried.begin(), tried.end(),
                   [&](const TriedChange& a, const TriedChange& b) { return runs(a) != runs(b) ? runs(a) : a.gain > b.gain; });
  return tried;
}

}  // namespace trillion
