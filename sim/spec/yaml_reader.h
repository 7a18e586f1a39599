// Reads a mapping of an input file key by key and remembers everything that is wrong with it, each with file:line:column, the
// line, what was found, what is accepted and the nearest word. Reading goes on after a mistake (getters return the fallback or
// zero), so that one run shows all of them; finish() throws one InputError with the lot.
//
//   Diagnostics diagnostics;
//   YamlReader root = YamlReader::open(YamlDocument::from_file("x.yaml"), diagnostics);
//   Gpu gpu;
//   YamlReader r = root.mapping("gpu");                                   // required; absent: one diagnostic, no follow-ups
//   gpu.sms = r.integer("sms");                                           // required
//   gpu.power_limit = r.quantity<Watts>("power_limit");                   // "700 W"
//   gpu.l2_cache = r.quantity<Bytes>("l2_cache", 50 * kMiB);              // optional, with a fallback
//   gpu.provenance = r.provenance();                                      // origin: vendor, source: "..."
//   auto kind = r.choice<FabricKind>("kind", kFabricKindNames);           // one of a table of names, in enum order
//   for (YamlReader curve : root.mappings("curves")) ...                  // a list of mappings
//   root.report(gpu.validate(), "gpu");                                   // "sms: must be positive" lands on gpu.sms
//   root.finish();                                                        // unknown, duplicate and missing keys of all levels
//   diagnostics.throw_if_any();
//
// Unknown keys are those that no getter asked for, so ask for optional keys on every path (or ignore() them). A missing key
// whose misspelling is present is one mistake, not two. A key with the value null counts as absent.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/spec/diagnostics.h"
#include "sim/spec/origin.h"
#include "sim/spec/unit_text.h"
#include "sim/spec/yaml_tree.h"

namespace trillion {

// A handle: copies read the same mapping and share what was asked for.
class YamlReader {
 public:
  // `diagnostics` must outlive the reader; the document is shared.
  static YamlReader open(YamlDocument document, Diagnostics& diagnostics);
  // The mapping at `key` as a document of its own: what was written inline instead of a file name. Only its keys are checked
  // by the reader of that document. REQUIRES: kind_of(key) is a mapping.
  YamlDocument subdocument(std::string_view key);
  // The document and the node that is being read here, for callers that combine files (load_scenario).
  const YamlNode* node(std::string_view key) const;
  const YamlDocument& document() const;
  Diagnostics& diagnostics() const;

  // The key is there and is not null.
  bool has(std::string_view key) const;
  // The first of several spellings that is there, else the first. Problems with the first name then land on that spelling.
  std::string spelling(std::initializer_list<std::string_view> names);

  // Without a fallback the key is required.
  std::int64_t integer(std::string_view key, std::optional<std::int64_t> fallback = {});  // 12; never 12.0, 1e3, 010
  double number(std::string_view key, std::optional<double> fallback = {});               // 0.5, 3e-4
  double count(std::string_view key, std::optional<double> fallback = {});                // 14.8T, 469B, 1e12, 1000
  bool boolean(std::string_view key, std::optional<bool> fallback = {});                  // true, false
  std::string text(std::string_view key, std::optional<std::string> fallback = {});

  template <class Q>
  Q quantity(std::string_view key, std::optional<Q> fallback = {}) {
    const std::optional<double> value = fallback ? std::optional<double>(fallback->value()) : std::nullopt;
    return Q{quantity_value(key, kDimensionOf<Q>, value)};
  }

  // A word out of a table; the table's order is the enum's.
  template <class Enum, std::size_t kCount>
  Enum choice(std::string_view key, const std::array<std::string_view, kCount>& names, std::optional<Enum> fallback = {}) {
    const std::optional<std::size_t> index = fallback ? std::optional<std::size_t>(static_cast<std::size_t>(*fallback)) : std::nullopt;
    return static_cast<Enum>(choice_index(key, {names.begin(), names.end()}, index));
  }

  // Empty when the key is absent. A list in YAML; no element may be null.
  std::optional<std::vector<std::int64_t>> integers(std::string_view key);
  std::optional<std::vector<double>> numbers(std::string_view key);
  std::optional<std::vector<std::string>> texts(std::string_view key);
  template <class Q>
  std::optional<std::vector<Q>> quantities(std::string_view key) {
    const auto values = quantity_values(key, kDimensionOf<Q>);
    if (!values) return std::nullopt;
    std::vector<Q> list;
    for (const double value : *values) list.emplace_back(value);
    return list;
  }
  template <class Enum, std::size_t kCount>
  std::optional<std::vector<Enum>> choices(std::string_view key, const std::array<std::string_view, kCount>& names) {
    const auto indices = choice_indices(key, {names.begin(), names.end()});
    if (!indices) return std::nullopt;
    std::vector<Enum> list;
    for (const std::size_t index : *indices) list.push_back(static_cast<Enum>(index));
    return list;
  }

  YamlReader mapping(std::string_view key);                          // required
  std::optional<YamlReader> optional_mapping(std::string_view key);  // empty when absent
  std::vector<YamlReader> mappings(std::string_view key);            // a list of mappings; empty when absent
  Provenance provenance();                                           // origin and source, both required

  // What kind of value a key has, for keys that take several; null when absent.
  YamlNode::Kind kind_of(std::string_view key) const;
  // Every key that is written here, in file order.
  std::vector<std::string> keys() const;
  // Known keys that are not read.
  void ignore(std::span<const std::string_view> keys);
  void ignore(std::initializer_list<std::string_view> keys) { ignore(std::span(keys.begin(), keys.size())); }
  // What this mapping holds cannot be judged as a whole (an unknown model family, say): finish() then names misspelt keys
  // only, and no missing ones.
  void judge_spelling_only();

  // A complaint of the caller's about one of this mapping's values; "a.b" goes into nested mappings. An absent key puts it on
  // the mapping itself.
  void problem(std::string_view path, std::string message, std::string hint = {});
  // Messages of a validate(): "key: what is wrong". `prefix` is the path from here to the struct's mapping. A message that
  // names a key of that mapping which is in error already says nothing new and is dropped.
  void report(const std::vector<std::string>& messages, std::string_view prefix = {});
  // The key is required and was absent or unreadable; or some problem was reported for it.
  bool failed(std::string_view key) const;

  // Unknown, duplicate and missing keys, here and below. Call it once, on the root, after everything has been asked for.
  void finish();

  // "plan.micro_batch_size: 1" for every optional key that was left out, here and below: what the answer takes for granted.
  std::vector<std::string> defaults() const;

  SourceLocation location() const;

 private:
  struct State;
  explicit YamlReader(std::shared_ptr<State> state) : state_(std::move(state)) {}

  double quantity_value(std::string_view key, Dimension dimension, std::optional<double> fallback);
  std::optional<std::vector<double>> quantity_values(std::string_view key, Dimension dimension);
  std::size_t choice_index(std::string_view key, const std::vector<std::string>& names, std::optional<std::size_t> fallback);
  std::optional<std::vector<std::size_t>> choice_indices(std::string_view key, const std::vector<std::string>& names);

  std::shared_ptr<State> state_;
};

}  // namespace trillion
