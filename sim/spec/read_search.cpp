#include <string>

#include "sim/spec/load.h"
#include "sim/spec/recompute_amount.h"

namespace trillion {

namespace {

// A value, a list, or {from, to}.
SearchAxis<std::int64_t> integers(YamlReader& r, const std::string& key) {
  switch (r.kind_of(key)) {
    case YamlNode::Kind::null: return std::nullopt;
    case YamlNode::Kind::list: return r.integers(key);
    case YamlNode::Kind::mapping: {
      YamlReader bounds = r.mapping(key);
      const std::int64_t from = bounds.integer("from"), to = bounds.integer("to");
      if (bounds.failed("from") || bounds.failed("to")) return std::nullopt;
      if (from > to || to - from > 4096) {
        bounds.problem("to", "must be from " + std::to_string(from) + " to at most 4096 more, found " + std::to_string(to));
        return std::nullopt;
      }
      std::vector<std::int64_t> values;
      for (std::int64_t v = from; v <= to; ++v) values.push_back(v);
      return values;
    }
    default: return std::vector<std::int64_t>{r.integer(key)};
  }
}

// A word, or a list of them.
template <class Enum, std::size_t kCount>
SearchAxis<Enum> words(YamlReader& r, const std::string& key, const std::array<std::string_view, kCount>& names) {
  if (!r.has(key)) return std::nullopt;
  if (r.kind_of(key) == YamlNode::Kind::list) return r.choices<Enum>(key, names);
  return std::vector<Enum>{r.choice<Enum>(key, names)};
}

SearchAxis<std::vector<RecomputeModule>> recompute(YamlReader& r, bool unfused_attention) {
  const SearchAxis<RecomputeAmount> amounts = words<RecomputeAmount>(r, "recompute", kRecomputeAmountNames);
  if (!amounts) return std::nullopt;
  std::vector<std::vector<RecomputeModule>> out;
  for (const RecomputeAmount amount : *amounts) out.push_back(modules_of(amount, unfused_attention));
  return out;
}

SearchAxis<bool> switches(YamlReader& r, const std::string& key) {
  if (!r.has(key)) return std::nullopt;
  if (r.kind_of(key) != YamlNode::Kind::list) return std::vector<bool>{r.boolean(key)};
  static constexpr std::array<std::string_view, 2> kNames = {"false", "true"};
  std::vector<bool> out;
  for (const std::size_t value : r.choices<std::size_t>(key, kNames).value_or(std::vector<std::size_t>{})) out.push_back(value == 1);
  return out;
}

}  // namespace

Search read_search(YamlReader& r, bool unfused_attention) {
  Search s;
  s.objective = r.choice<Objective>("objective", kObjectiveNames, s.objective);
  s.nodes = integers(r, "nodes");
  s.tensor_parallel = integers(r, "tensor_parallel");
  s.sequence_parallel = switches(r, "sequence_parallel");
  s.context_parallel = integers(r, "context_parallel");
  s.pipeline_parallel = integers(r, "pipeline_parallel");
  s.virtual_pipeline_stages = integers(r, "virtual_pipeline_stages");
  s.expert_parallel = integers(r, "expert_parallel");
  s.expert_tensor_parallel = integers(r, "expert_tensor_parallel");
  s.micro_batch_size = integers(r, "micro_batch_size");
  s.schedule = words<ScheduleKind>(r, "schedule", kScheduleNames);
  s.recompute = recompute(r, unfused_attention);
  s.sharding = words<Sharding>(r, "sharding", kShardingNames);
  s.precision = words<Precision>(r, "precision", kPrecisionNames);
  s.expert_placement = words<ExpertPlacement>(r, "expert_placement", kExpertPlacementNames);
  r.ignore({"nodes", "tensor_parallel", "sequence_parallel", "context_parallel", "pipeline_parallel", "virtual_pipeline_stages",
            "expert_parallel", "expert_tensor_parallel", "micro_batch_size", "schedule", "recompute", "sharding", "precision",
            "expert_placement"});
  r.report(s.validate());
  return s;
}

}  // namespace trillion
