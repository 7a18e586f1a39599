#include "sim/planner/causes.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

namespace trillion {
namespace {

// Parts by name, in seconds for as many tokens as `tokens`.
std::map<std::string, Seconds> parts_for(const Scenario& s, const StepResult& step, double tokens) {
  std::map<std::string, Seconds> parts;
  for (const TimePart& part : time_parts(s, step)) parts[part.name] = part.time * (tokens / step.tokens);
  return parts;
}

template <class T>
void merge_key(const Plan& base, const Plan& changed, T Plan::*key, Plan& to) {
  if (changed.*key != base.*key && to.*key == base.*key) to.*key = changed.*key;
}

void merge_plan(const Plan& base, const Plan& changed, Plan& to) {
  const auto merge = [&](auto... keys) { (merge_key(base, changed, keys, to), ...); };
  merge(&Plan::tensor_parallel, &Plan::sequence_parallel, &Plan::tensor_parallel_overlap, &Plan::context_parallel,
        &Plan::context_parallel_method, &Plan::pipeline_parallel, &Plan::virtual_pipeline_stages, &Plan::expert_parallel,
        &Plan::expert_tensor_parallel, &Plan::data_parallel, &Plan::micro_batch_size, &Plan::rank_order, &Plan::schedule,
        &Plan::schedule_file, &Plan::layers_per_stage, &Plan::sharding, &Plan::sharding_group, &Plan::overlap_gradient_reduce,
        &Plan::overlap_parameter_gather, &Plan::bucket_parameters, &Plan::recompute, &Plan::recomputed_layers, &Plan::offload,
        &Plan::precision, &Plan::expert_placement, &Plan::redundant_experts, &Plan::expert_exchange);
}

// "--set a=1 --set b=2" of several changes, every key once.
std::string settings_of(const std::vector<const TriedChange*>& changes) {
  std::vector<std::string> keys;
  std::string text;
  for (const TriedChange* change : changes) {
    std::istringstream words(change->what);
    for (std::string word; words >> word;) {
      const std::string key = word.substr(0, word.find('='));
      if (word == "--set" || std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      keys.push_back(key);
      text += (text.empty() ? "--set " : " --set ") + word;
    }
  }
  return text;
}

}  // namespace

std::vector<Cause> main_causes(const Scenario& s, const StepResult& base, const std::vector<TriedChange>& tried, std::size_t most) {
  const std::map<std::string, Seconds> before = parts_for(s, base, base.tokens);
  const std::string needed = time_parts(s, base).front().name;
  std::vector<Cause> causes;
  for (std::size_t i = 0; i < tried.size(); ++i) {
    const auto* step = std::get_if<StepResult>(&tried[i].outcome);
    if (step == nullptr || tried[i].gain < kNoticeableGain) continue;
    Scenario changed = s;
    changed.plan = tried[i].plan;
    Cause cause;
    for (const auto& [name, after] : parts_for(changed, *step, base.tokens)) {
      const Seconds removed = before.at(name) - after;
      if (name != needed && removed > cause.removed) cause = {name, before.at(name), removed, i};
    }
    const bool known = std::any_of(causes.begin(), causes.end(), [&](const Cause& c) { return c.part == cause.part; });
    if (!cause.part.empty() && !known) causes.push_back(std::move(cause));  // `tried` is in the order of gains
  }
  std::stable_sort(causes.begin(), causes.end(),
                   [&](const Cause& a, const Cause& b) { return tried[a.change].gain > tried[b.change].gain; });
  if (causes.size() > most) causes.resize(most);
  return causes;
}

Plan merged(const Plan& base, const std::vector<Plan>& changed) {
  Plan to = base;
  for (const Plan& plan : changed) merge_plan(base, plan, to);
  return to;
}

TriedChange together(const Scenario& s, const StepResult& base, const std::vector<TriedChange>& tried, const std::vector<Cause>& causes) {
  std::vector<Plan> plans;
  std::vector<const TriedChange*> changes;
  for (const Cause& cause : causes) {
    plans.push_back(tried[cause.change].plan);
    changes.push_back(&tried[cause.change]);
  }
  Change all{settings_of(changes), s};
  all.scenario.plan = merged(s.plan, plans);
  std::vector<std::string> problems = all.scenario.plan.validate();
  if (problems.empty()) problems = all.scenario.validate();
  if (!problems.empty()) return {all.what, Infeasible{problems.front(), {}}, 0, all.scenario.plan};
  return try_changes(base, {all}, 1).front();
}

}  // namespace trillion
