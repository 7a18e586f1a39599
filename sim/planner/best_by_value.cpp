#include "sim/planner/best_by_value.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "sim/base/enum_name.h"

namespace trillion {

namespace {

constexpr std::array<std::string_view, 24> kAxes = {"clusters",
                                                    "nodes",
                                                    "tensor_parallel",
                                                    "sequence_parallel",
                                                    "tensor_parallel_overlap",
                                                    "context_parallel",
                                                    "context_parallel_method",
                                                    "pipeline_parallel",
                                                    "virtual_pipeline_stages",
                                                    "expert_parallel",
                                                    "expert_tensor_parallel",
                                                    "micro_batch_size",
                                                    "schedule",
                                                    "stage_split",
                                                    "recompute",
                                                    "offload",
                                                    "sharding",
                                                    "sharding_group",
                                                    "bucket_parameters",
                                                    "overlap_gradient_reduce",
                                                    "overlap_parameter_gather",
                                                    "precision",
                                                    "expert_placement",
                                                    "rank_order"};

template <class Part, class Names>
std::string joined(const std::vector<Part>& parts, const Names& names) {
  std::string text;
  for (const Part p : parts) text += (text.empty() ? "" : "+") + name_of(names, p);
  return text.empty() ? "none" : text;
}

// In the order of kAxes; numbers as text.
std::array<std::string, kAxes.size()> values_of(const Layout& l) {
  const Plan& p = l.plan;
  const auto yes = [](bool b) { return std::string(b ? "true" : "false"); };
  const bool full = p.recompute == std::vector{RecomputeModule::layer};
  return {std::to_string(l.cluster),
          std::to_string(l.nodes),
          std::to_string(p.tensor_parallel),
          yes(p.sequence_parallel),
          p.tensor_parallel > 1 ? name_of(kTensorOverlapNames, p.tensor_parallel_overlap) : "",
          std::to_string(p.context_parallel),
          p.context_parallel > 1 ? name_of(kContextParallelMethodNames, p.context_parallel_method) : "",
          std::to_string(p.pipeline_parallel),
          p.virtual_pipeline_stages > 1 ? std::to_string(p.virtual_pipeline_stages) : "",
          std::to_string(p.expert_parallel),
          std::to_string(p.expert_tensor_parallel),
          std::to_string(p.micro_batch_size),
          p.pipeline_parallel > 1 ? name_of(kScheduleNames, p.schedule) : "",
          p.layers_per_stage ? "layers" : "time",
          full ? "full" : joined(p.recompute, kRecomputeModuleNames),
          joined(p.offload, kOffloadNames),
          name_of(kShardingNames, p.sharding),
          p.sharding_group ? std::to_string(*p.sharding_group) : "",
          p.bucket_parameters ? std::to_string(static_cast<std::int64_t>(*p.bucket_parameters)) : "",
          yes(p.overlap_gradient_reduce),
          yes(p.overlap_parameter_gather),
          name_of(kPrecisionNames, p.precision),
          name_of(kExpertPlacementNames, p.expert_placement),
          to_text(p.rank_order)};
}

// Numbers by size, words by the alphabet.
struct Naturally {
  bool operator()(const std::string& a, const std::string& b) const {
    const bool digits = !a.empty() && !b.empty() && std::isdigit(a.front()) && std::isdigit(b.front());
    return digits && a.size() != b.size() ? a.size() < b.size() : a < b;
  }
};

}  // namespace

std::vector<std::string> axis_values(const Layout& layout) {
  const auto values = values_of(layout);
  std::vector<std::string> out = {"size " + std::to_string(layout.cluster) + " " + std::to_string(layout.nodes)};
  for (std::size_t a = 0; a < kAxes.size(); ++a) {
    if (!values[a].empty()) out.push_back(std::string(kAxes[a]) + " " + values[a]);
  }
  return out;
}

std::vector<AxisBests> best_by_value(const Scenario& s, const PlanSearch& search) {
  std::array<std::map<std::string, std::optional<LookedAt>, Naturally>, kAxes.size()> best;
  for (const Layout& l : search.layouts()) {
    const auto values = values_of(l);
    for (std::size_t a = 0; a < kAxes.size(); ++a) {
      if (!values[a].empty()) best[a].try_emplace(values[a]);
    }
  }
  for (const LookedAt& looked : search.looked_at()) {
    const auto values = values_of(search.layouts()[looked.index]);
    for (std::size_t a = 0; a < kAxes.size(); ++a) {
      if (values[a].empty()) continue;
      std::optional<LookedAt>& known = best[a].at(values[a]);
      if (!known || looked.score < known->score) known = looked;
    }
  }
  std::vector<AxisBests> out;
  for (std::size_t a = 0; a < kAxes.size(); ++a) {
    if (best[a].size() < 2) continue;
    AxisBests axis{std::string(kAxes[a]), {}};
    for (const auto& [value, looked] : best[a]) {
      const bool cluster = kAxes[a] == "clusters";
      axis.values.push_back({cluster ? s.search.clusters.at(std::stoul(value)).name : value, looked});
    }
    std::stable_sort(axis.values.begin(), axis.values.end(),
                     [](const BestOfValue& x, const BestOfValue& y) { return x.best && (!y.best || x.best->score < y.best->score); });
    out.push_back(std::move(axis));
  }
  return out;
}

std::vector<std::size_t> best_simulated_by_value(const PlanSearch& search) {
  std::set<std::pair<std::size_t, std::string>> seen;
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < search.ranked().size(); ++i) {
    const auto values = values_of(search.ranked()[i].asked);
    bool first = false;
    for (std::size_t a = 0; a < kAxes.size(); ++a) {
      if (!values[a].empty()) first |= seen.emplace(a, values[a]).second;
    }
    if (first) out.push_back(i);
  }
  return out;
}

}  // namespace trillion
