#include <algorithm>
#include <sstream>
#include <string>
#include <utility>

#include "sim/base/closest_word.h"
#include "sim/spec/load.h"
#include "sim/spec/recompute_amount.h"

namespace trillion {

namespace {

// Every key of a search may be left out.
bool given(YamlReader& r, std::string_view key) {
  r.ignore({key});
  return r.has(key);
}

// A value, a list, or {from, to}.
SearchAxis<std::int64_t> integers(YamlReader& r, const std::string& key) {
  if (!given(r, key)) return std::nullopt;
  switch (r.kind_of(key)) {
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
  if (!given(r, key)) return std::nullopt;
  if (r.kind_of(key) == YamlNode::Kind::list) return r.choices<Enum>(key, names);
  return std::vector<Enum>{r.choice<Enum>(key, names)};
}

// Words, or a list of them, as they are written.
std::optional<std::vector<std::string>> texts(YamlReader& r, const std::string& key) {
  if (!given(r, key)) return std::nullopt;
  if (r.kind_of(key) == YamlNode::Kind::list) return r.texts(key);
  return std::vector<std::string>{r.text(key)};
}

// One of the words that a set of parts has, or parts joined by '+': "norm+activation". Empty, and complained about: neither.
template <class Part, std::size_t kParts>
std::optional<std::vector<Part>> joined(YamlReader& r, const std::string& key, const std::string& text,
                                        const std::array<std::string_view, kParts>& names) {
  std::vector<Part> out;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, '+');) {
    const auto found = std::find(names.begin(), names.end(), word);
    if (found == names.end()) {
      const std::vector<std::string> known(names.begin(), names.end());
      const auto nearest = closest_word(word, known);
      r.problem(key, "'" + word + "' is not known here", nearest ? "did you mean '" + *nearest + "'?" : "parts are joined by '+'");
      return std::nullopt;
    }
    out.push_back(static_cast<Part>(found - names.begin()));
  }
  return out;
}

SearchAxis<std::vector<RecomputeModule>> recompute(YamlReader& r, bool unfused_attention) {
  const auto words = texts(r, "recompute");
  if (!words) return std::nullopt;
  std::vector<std::vector<RecomputeModule>> out;
  for (const std::string& word : *words) {
    const auto amount = std::find(kRecomputeAmountNames.begin(), kRecomputeAmountNames.end(), word);
    if (amount != kRecomputeAmountNames.end()) {
      out.push_back(modules_of(static_cast<RecomputeAmount>(amount - kRecomputeAmountNames.begin()), unfused_attention));
    } else if (auto modules = joined<RecomputeModule>(r, "recompute", word, kRecomputeModuleNames)) {
      out.push_back(*std::move(modules));
    }
  }
  return out;
}

SearchAxis<std::vector<Offload>> offload(YamlReader& r) {
  const auto words = texts(r, "offload");
  if (!words) return std::nullopt;
  std::vector<std::vector<Offload>> out;
  for (const std::string& word : *words) {
    if (word == "none") {
      out.emplace_back();
    } else if (auto parts = joined<Offload>(r, "offload", word, kOffloadNames)) {
      out.push_back(*std::move(parts));
    }
  }
  return out;
}

SearchAxis<RankOrder> rank_orders(YamlReader& r) {
  const auto words = texts(r, "rank_order");
  if (!words) return std::nullopt;
  std::vector<RankOrder> out;
  for (const std::string& word : *words) {
    if (const auto order = rank_order_of_text(word)) {
      out.push_back(*order);
    } else {
      r.problem("rank_order", "'" + word + "' is not an order of the axes tp, cp, ep, dp, pp, such as tp-cp-ep-dp-pp");
    }
  }
  return out;
}

SearchAxis<double> counts(YamlReader& r, const std::string& key) {
  if (!given(r, key)) return std::nullopt;
  if (r.kind_of(key) == YamlNode::Kind::list) return r.numbers(key);
  return std::vector<double>{r.count(key)};
}

SearchAxis<bool> switches(YamlReader& r, const std::string& key) {
  if (!given(r, key)) return std::nullopt;
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
  if (given(r, "budget")) s.budget = r.quantity<Usd>("budget");
  if (given(r, "deadline")) s.deadline = r.quantity<Seconds>("deadline");
  s.nodes = integers(r, "nodes");
  s.gpus = integers(r, "gpus");
  s.tensor_parallel = integers(r, "tensor_parallel");
  s.sequence_parallel = switches(r, "sequence_parallel");
  s.tensor_parallel_overlap = words<TensorOverlap>(r, "tensor_parallel_overlap", kTensorOverlapNames);
  s.context_parallel = integers(r, "context_parallel");
  s.context_parallel_method = words<ContextParallelMethod>(r, "context_parallel_method", kContextParallelMethodNames);
  s.pipeline_parallel = integers(r, "pipeline_parallel");
  s.virtual_pipeline_stages = integers(r, "virtual_pipeline_stages");
  s.expert_parallel = integers(r, "expert_parallel");
  s.expert_tensor_parallel = integers(r, "expert_tensor_parallel");
  s.data_parallel = integers(r, "data_parallel");
  s.micro_batch_size = integers(r, "micro_batch_size");
  s.schedule = words<ScheduleKind>(r, "schedule", kScheduleNames);
  s.stage_split = words<StageSplit>(r, "stage_split", kStageSplitNames);
  s.recompute = recompute(r, unfused_attention);
  s.offload = offload(r);
  s.sharding = words<Sharding>(r, "sharding", kShardingNames);
  s.sharding_group = integers(r, "sharding_group");
  s.overlap_gradient_reduce = switches(r, "overlap_gradient_reduce");
  s.overlap_parameter_gather = switches(r, "overlap_parameter_gather");
  s.bucket_parameters = counts(r, "bucket_parameters");
  s.precision = words<Precision>(r, "precision", kPrecisionNames);
  s.expert_placement = words<ExpertPlacement>(r, "expert_placement", kExpertPlacementNames);
  s.rank_order = rank_orders(r);
  r.ignore({"clusters"});  // with their topology files: load_scenario.cpp
  return s;
}

}  // namespace trillion
