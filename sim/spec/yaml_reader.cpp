#include "sim/spec/yaml_reader.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "sim/base/closest_word.h"
#include "sim/spec/yaml_scalar.h"

namespace trillion {

struct YamlReader::State {
  std::shared_ptr<const YamlDocument> document;
  Diagnostics* diagnostics = nullptr;
  const YamlNode* node = nullptr;  // nullptr: the mapping is absent or no mapping; said already, so everything below is silent
  YamlPosition position;           // of the key that opened it
  std::string path;                // "gpu", "curves[3]"; empty for the root

  std::vector<std::string> known;    // keys asked for, in order
  std::vector<std::string> ignored;  // known and not read
  bool spelling_only = false;
  std::vector<std::string> missing;                           // required and absent
  std::set<std::string, std::less<>> failed;                  // keys with a diagnostic
  std::map<std::string, std::string, std::less<>> spellings;  // first name -> name written
  std::vector<std::string> defaults;
  std::vector<std::pair<std::string, std::shared_ptr<State>>> children;

  void ask(std::string_view key) {
    if (std::find(known.begin(), known.end(), key) == known.end()) known.emplace_back(key);
  }

  void complain(const YamlPosition& at, std::string message, std::string hint = {}) const {
    diagnostics->add({document->location(at), std::move(message), document->source_line(at), std::move(hint)});
  }

  std::string full(std::string_view key) const { return path.empty() ? std::string(key) : path + "." + std::string(key); }

  // The value of an optional or required key; nullptr when it is absent (which is noted when it is required).
  const YamlNode* value(std::string_view key, bool required) {
    ask(key);
    if (node == nullptr) return nullptr;
    const YamlNode* found = node->find(key);
    if (found != nullptr && found->kind != YamlNode::Kind::null) return found;
    if (required && found != nullptr) {
      fail(key, found->position, "'" + full(key) + "' has no value");
    } else if (required && !failed.contains(key)) {
      missing.emplace_back(key);
      failed.emplace(key);
    }
    return nullptr;
  }

  void fail(std::string_view key, const YamlPosition& at, std::string message, std::string hint = {}) {
    complain(at, std::move(message), std::move(hint));
    failed.emplace(key);
  }

  void note_default(std::string_view key, const std::string& value) {
    if (node != nullptr && !failed.contains(key)) defaults.push_back(full(key) + ": " + value);
  }

  std::optional<std::string> nearest_key(const std::string& key);
  void add_misspelt_keys(std::set<std::string>& keys) const;
  void finish();

  // "a.b" is in the file, under whichever spelling.
  bool is_written(std::string_view dotted) const {
    const YamlNode* at = node;
    while (at != nullptr && !dotted.empty()) {
      const std::size_t dot = dotted.find('.');
      const auto other = at == node ? spellings.find(dotted.substr(0, dot)) : spellings.end();
      at = at->find(other == spellings.end() ? dotted.substr(0, dot) : std::string_view(other->second));
      dotted.remove_prefix(dot == std::string_view::npos ? dotted.size() : dot + 1);
    }
    return at != nullptr;
  }

  std::shared_ptr<State> child(std::string key, const YamlNode* below, const YamlPosition& at) {
    auto state = std::make_shared<State>();
    state->document = document;
    state->diagnostics = diagnostics;
    state->node = below;
    state->position = at;
    state->path = full(key);
    children.emplace_back(std::move(key), state);
    return state;
  }
};

namespace {

// One value: required without a fallback. `show` writes the fallback into the list of defaults.
template <class State, class T>
T read_one(State& state, std::string_view key, const Parse<T>& parse, const std::optional<T>& fallback) {
  T value = fallback.value_or(T{});
  const YamlNode* node = state.value(key, !fallback.has_value());
  if (node == nullptr) return value;
  T parsed{};
  if (auto complaint = parse(*node, parsed)) {
    state.fail(key, node->position, "'" + state.full(key) + "': " + complaint->message, complaint->hint);
    return value;
  }
  return parsed;
}

// A list; empty when the key is absent or holds no list.
template <class State, class T>
std::optional<std::vector<T>> read_list(State& state, std::string_view key, const Parse<T>& parse) {
  const YamlNode* node = state.value(key, false);
  if (node == nullptr) return std::nullopt;
  if (node->kind != YamlNode::Kind::list) {
    state.fail(key, node->position, "'" + state.full(key) + "': expected a list, found " + found_text(*node), "write it as [a, b, c]");
    return std::nullopt;
  }
  std::vector<T> values;
  values.reserve(node->items.size());
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    T value{};
    if (auto complaint = parse(node->items[i], value)) {
      state.fail(key, node->items[i].position, "'" + state.full(key) + "[" + std::to_string(i) + "]': " + complaint->message,
                 complaint->hint);
    }
    values.push_back(std::move(value));
  }
  return values;
}

}  // namespace

YamlReader YamlReader::open(YamlDocument document, Diagnostics& diagnostics) {
  auto state = std::make_shared<State>();
  state->document = std::make_shared<const YamlDocument>(std::move(document));
  state->diagnostics = &diagnostics;
  state->node = &state->document->root();
  state->position = state->node->position;
  return YamlReader(std::move(state));
}

bool YamlReader::has(std::string_view key) const {
  const YamlNode* found = state_->node == nullptr ? nullptr : state_->node->find(key);
  return found != nullptr && found->kind != YamlNode::Kind::null;
}

std::string YamlReader::spelling(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (has(name)) {
      state_->spellings[std::string(*names.begin())] = std::string(name);
      return std::string(name);
    }
  }
  return std::string(*names.begin());
}

std::int64_t YamlReader::integer(std::string_view key, std::optional<std::int64_t> fallback) {
  if (fallback && !has(key)) state_->note_default(key, std::to_string(*fallback));
  return read_one<State, std::int64_t>(*state_, key, parse_integer, fallback);
}

double YamlReader::number(std::string_view key, std::optional<double> fallback) {
  if (fallback && !has(key)) state_->note_default(key, exact_number_text(*fallback));
  return read_one<State, double>(*state_, key, parse_double, fallback);
}

double YamlReader::count(std::string_view key, std::optional<double> fallback) { return quantity_value(key, Dimension::count, fallback); }

bool YamlReader::boolean(std::string_view key, std::optional<bool> fallback) {
  if (fallback && !has(key)) state_->note_default(key, *fallback ? "true" : "false");
  return read_one<State, bool>(*state_, key, parse_bool, fallback);
}

std::string YamlReader::text(std::string_view key, std::optional<std::string> fallback) {
  if (fallback && !fallback->empty() && !has(key)) state_->note_default(key, *fallback);
  return read_one<State, std::string>(*state_, key, parse_text, fallback);
}

double YamlReader::quantity_value(std::string_view key, Dimension dimension, std::optional<double> fallback) {
  if (fallback && !has(key)) state_->note_default(key, quantity_text(*fallback, dimension));
  return read_one<State, double>(*state_, key, parse_of_dimension(dimension), fallback);
}

std::size_t YamlReader::choice_index(std::string_view key, const std::vector<std::string>& names, std::optional<std::size_t> fallback) {
  if (fallback && !has(key)) state_->note_default(key, names[*fallback]);
  return read_one<State, std::size_t>(*state_, key, parse_of_names(names), fallback);
}

std::optional<std::vector<std::int64_t>> YamlReader::integers(std::string_view key) {
  return read_list<State, std::int64_t>(*state_, key, parse_integer);
}

std::optional<std::vector<double>> YamlReader::numbers(std::string_view key) {
  return read_list<State, double>(*state_, key, parse_double);
}

std::optional<std::vector<std::string>> YamlReader::texts(std::string_view key) {
  return read_list<State, std::string>(*state_, key, parse_text);
}

std::optional<std::vector<double>> YamlReader::quantity_values(std::string_view key, Dimension dimension) {
  return read_list<State, double>(*state_, key, parse_of_dimension(dimension));
}

std::optional<std::vector<std::size_t>> YamlReader::choice_indices(std::string_view key, const std::vector<std::string>& names) {
  return read_list<State, std::size_t>(*state_, key, parse_of_names(names));
}

YamlReader YamlReader::mapping(std::string_view key) {
  const YamlNode* node = state_->value(key, true);
  if (node == nullptr) return YamlReader(state_->child(std::string(key), nullptr, state_->position));
  if (node->kind == YamlNode::Kind::mapping) return YamlReader(state_->child(std::string(key), node, node->position));
  state_->fail(key, node->position, "'" + state_->full(key) + "': expected a mapping, found " + found_text(*node));
  return YamlReader(state_->child(std::string(key), nullptr, node->position));
}

std::optional<YamlReader> YamlReader::optional_mapping(std::string_view key) {
  state_->ask(key);
  if (!has(key)) return std::nullopt;
  return mapping(key);
}

std::vector<YamlReader> YamlReader::mappings(std::string_view key) {
  const YamlNode* node = state_->value(key, false);
  std::vector<YamlReader> list;
  if (node == nullptr) return list;
  if (node->kind != YamlNode::Kind::list) {
    state_->fail(key, node->position, "'" + state_->full(key) + "': expected a list of mappings, found " + found_text(*node));
    return list;
  }
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    const YamlNode& item = node->items[i];
    const std::string name = std::string(key) + "[" + std::to_string(i) + "]";
    const bool good = item.kind == YamlNode::Kind::mapping;
    if (!good) state_->fail(key, item.position, "'" + state_->full(name) + "': expected a mapping, found " + found_text(item));
    if (good) list.push_back(YamlReader(state_->child(name, &item, item.position)));
  }
  return list;
}

Provenance YamlReader::provenance() {
  static constexpr std::array<std::string_view, 4> kOriginNames = {"measured", "paper", "vendor", "assumed"};
  Provenance p;
  p.origin = choice<Origin>("origin", kOriginNames);
  p.source = text("source");
  return p;
}

YamlNode::Kind YamlReader::kind_of(std::string_view key) const {
  const YamlNode* found = state_->node == nullptr ? nullptr : state_->node->find(key);
  return found == nullptr ? YamlNode::Kind::null : found->kind;
}

std::vector<std::string> YamlReader::keys() const {
  std::vector<std::string> names;
  if (state_->node == nullptr) return names;
  for (const YamlEntry& entry : state_->node->entries) names.push_back(entry.key);
  return names;
}

void YamlReader::ignore(std::span<const std::string_view> keys) { state_->ignored.insert(state_->ignored.end(), keys.begin(), keys.end()); }

void YamlReader::judge_spelling_only() { state_->spelling_only = true; }

const YamlNode* YamlReader::node(std::string_view key) const { return state_->node == nullptr ? nullptr : state_->node->find(key); }

const YamlDocument& YamlReader::document() const { return *state_->document; }

Diagnostics& YamlReader::diagnostics() const { return *state_->diagnostics; }

YamlDocument YamlReader::subdocument(std::string_view key) {
  state_->ask(key);
  const YamlNode* found = node(key);
  CHECK(found != nullptr && found->kind == YamlNode::Kind::mapping);
  return state_->document->subdocument(*found);
}

bool YamlReader::failed(std::string_view key) const { return state_->node == nullptr || state_->failed.contains(key); }

void YamlReader::problem(std::string_view path, std::string message, std::string hint) {
  if (state_->node == nullptr) return;
  const std::size_t dot = path.find('.');
  const std::string first(path.substr(0, dot));
  if (dot != std::string_view::npos) {
    for (const auto& [name, below] : state_->children) {
      if (name == first) return YamlReader(below).problem(path.substr(dot + 1), std::move(message), std::move(hint));
    }
  }
  const auto other = state_->spellings.find(first);
  const std::string& key = other == state_->spellings.end() ? first : other->second;
  const YamlNode* node = state_->node->find(key);
  if (!key.empty()) message = "'" + state_->full(key) + "': " + message;
  state_->fail(key, node == nullptr ? state_->position : node->position, std::move(message), std::move(hint));
}

namespace {
bool names_key(std::string_view message, std::string_view key) {
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  for (std::size_t at = message.find(key); at != std::string_view::npos; at = message.find(key, at + 1)) {
    const bool begins = at == 0 || !is_word(message[at - 1]);
    const bool ends = at + key.size() == message.size() || !is_word(message[at + key.size()]);
    if (begins && ends) return true;
  }
  return false;
}
}  // namespace

void YamlReader::report(const std::vector<std::string>& messages, std::string_view prefix) {
  if (!prefix.empty()) {
    const std::size_t dot = prefix.find('.');
    for (const auto& [name, below] : state_->children) {
      if (name == prefix.substr(0, dot))
        return YamlReader(below).report(messages, dot == std::string_view::npos ? "" : prefix.substr(dot + 1));
    }
    return;  // never asked for, or absent and said so
  }
  // Keys that were in error before these messages; one validate() may well say two things about one key.
  std::set<std::string> failed_before;
  const std::function<void(const State&)> collect = [&](const State& state) {
    failed_before.insert(state.failed.begin(), state.failed.end());
    state.add_misspelt_keys(failed_before);
    for (const auto& [first, written] : state.spellings) {
      if (state.failed.contains(written)) failed_before.insert(first);
    }
    for (const auto& [name, below] : state.children) collect(*below);
  };
  collect(*state_);
  for (const std::string& message : messages) {
    const bool stale =
        std::any_of(failed_before.begin(), failed_before.end(), [&](const std::string& key) { return names_key(message, key); });
    const std::size_t colon = message.find(": ");
    const std::string path = colon == std::string::npos ? "" : message.substr(0, colon);
    // A figure that is not in the file was derived from the others: with one of them in error it means nothing.
    if (stale || (!failed_before.empty() && !state_->is_written(path))) continue;
    problem(path, colon == std::string::npos ? message : message.substr(colon + 2));
  }
}

namespace {
bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}
}  // namespace

// The nearest key that could have been meant, the missing ones first: a misspelt required key is one mistake, not two.
std::optional<std::string> YamlReader::State::nearest_key(const std::string& key) {
  if (auto nearest = closest_word(key, missing)) {
    missing.erase(std::find(missing.begin(), missing.end(), *nearest));
    return nearest;
  }
  if (auto nearest = closest_word(key, known)) return nearest;
  return closest_word(key, ignored);
}

// Keys that were left out while a word like them is there: their fallbacks are not what the file means.
void YamlReader::State::add_misspelt_keys(std::set<std::string>& keys) const {
  if (node == nullptr) return;
  for (const YamlEntry& entry : node->entries) {
    if (contains(known, entry.key) || contains(ignored, entry.key)) continue;
    if (const auto nearest = closest_word(entry.key, known)) keys.insert(*nearest);
  }
}

void YamlReader::State::finish() {
  if (node == nullptr) return;
  std::map<std::string_view, int> first_lines;
  for (const YamlEntry& entry : node->entries) {
    const auto [first, is_new] = first_lines.emplace(entry.key, entry.position.line);
    if (!is_new) {
      const std::string line = first->second > 0 ? ", first on line " + std::to_string(first->second) : "";
      complain(entry.position, "duplicate key '" + full(entry.key) + "'" + line, "keep one of the two");
    } else if (!contains(known, entry.key) && !contains(ignored, entry.key)) {
      const auto nearest = nearest_key(entry.key);
      if (!nearest && spelling_only) continue;
      complain(entry.position, "unknown key '" + full(entry.key) + "'",
               nearest ? "did you mean '" + *nearest + "'?" : "accepted are " + comma_list(known));
    }
  }
  for (const std::string& key : missing) {
    if (!spelling_only) complain(position, "missing key '" + full(key) + "'");
  }
  for (const auto& [name, below] : children) below->finish();
}

void YamlReader::finish() { state_->finish(); }

std::vector<std::string> YamlReader::defaults() const {
  std::vector<std::string> all = state_->defaults;
  for (const auto& [name, below] : state_->children) {
    const std::vector<std::string> more = YamlReader(below).defaults();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

SourceLocation YamlReader::location() const { return state_->document->location(state_->position); }

}  // namespace trillion
