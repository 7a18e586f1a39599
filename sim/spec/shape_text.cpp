#include "sim/spec/shape_text.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "sim/base/closest_word.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

const std::vector<std::string> kOps = {"gemm", "grouped_gemm", "attention", "memory_bound", "collective"};

// Reads members of one line and collects what is wrong.
class Reader {
 public:
  explicit Reader(const JsonLine& line) : line_(line) {}

  // An integer of at least `least`; a missing one takes `fallback`, or is an error.
  std::int64_t integer(const char* key, std::int64_t least, std::optional<std::int64_t> fallback = std::nullopt) {
    const JsonValue* value = find(key, fallback.has_value());
    return value == nullptr ? fallback.value_or(least) : as_integer(key, *value, least);
  }

  std::vector<std::int64_t> integers(const char* key) {
    std::vector<std::int64_t> result;
    const JsonValue* value = find(key, false);
    if (value == nullptr) return result;
    if (value->kind != JsonKind::array) {
      say(value->column, std::string(key) + " must be a list of whole numbers, one per group");
      return result;
    }
    for (const auto& item : value->items) result.push_back(as_integer(key, item, 0));
    return result;
  }

  double number(const char* key, std::optional<double> fallback = std::nullopt) {
    const JsonValue* value = find(key, fallback.has_value());
    if (value == nullptr) return fallback.value_or(0);
    const ParsedNumber parsed = parse_number(value->text);
    if (value->kind != JsonKind::number || !parsed.ok() || parsed.value < 0) {
      say(value->column, std::string(key) + " must be a number of at least 0");
      return 0;
    }
    return parsed.value;
  }

  bool flag(const char* key, bool fallback) {
    const JsonValue* value = find(key, true);
    if (value == nullptr) return fallback;
    if (value->kind != JsonKind::boolean) say(value->column, std::string(key) + " must be true or false");
    return value->text == "true";
  }

  template <class Enum, std::size_t kCount>
  Enum choice(const char* key, const std::array<std::string_view, kCount>& names, std::optional<Enum> fallback = std::nullopt) {
    const JsonValue* value = find(key, fallback.has_value());
    if (value == nullptr) return fallback.value_or(Enum{});
    for (std::size_t i = 0; i < kCount; ++i) {
      if (value->kind == JsonKind::string && value->text == names[i]) return static_cast<Enum>(i);
    }
    not_among(key, *value, {names.begin(), names.end()});
    return Enum{};
  }

  std::string op() {
    known_.push_back("op");
    const JsonValue* value = line_.find("op");
    if (value == nullptr)
      throw InputError(line_.diagnostic(1, "a shape needs \"op\": gemm, grouped_gemm, attention, memory_bound or collective"));
    if (value->kind != JsonKind::string || std::find(kOps.begin(), kOps.end(), value->text) == kOps.end()) {
      not_among("op", *value, kOps);
      finish();
    }
    return value->text;
  }

  void say(int column, const std::string& message, const std::string& hint = {}) {
    wrong_.push_back(line_.diagnostic(column, message, hint));
  }

  // Throws what was found, after a look for slips of the pen among the other keys.
  void finish() {
    for (const auto& member : line_.members) {
      if (std::find(known_.begin(), known_.end(), member.key) != known_.end()) continue;
      const auto close = closest_word(member.key, known_);
      if (close && line_.find(*close) == nullptr) {
        say(member.column, "unknown key '" + member.key + "'", "did you mean '" + *close + "'?");
      }
    }
    if (!wrong_.empty()) throw InputError(wrong_);
  }

 private:
  const JsonValue* find(const char* key, bool optional) {
    known_.push_back(key);
    const JsonValue* value = line_.find(key);
    if (value == nullptr && !optional) say(1, std::string("a shape of this op needs \"") + key + "\"");
    return value;
  }

  std::int64_t as_integer(const char* key, const JsonValue& value, std::int64_t least) {
    const ParsedNumber parsed = parse_number(value.text);
    const bool whole = value.kind == JsonKind::number && parsed.ok() && parsed.value == std::floor(parsed.value);
    // 2^53: beyond it a double no longer counts.
    if (!whole || parsed.value < static_cast<double>(least) || parsed.value > 9007199254740992.0) {
      say(value.column, std::string(key) + " must be a whole number of at least " + std::to_string(least));
      return least;
    }
    return static_cast<std::int64_t>(parsed.value);
  }

  void not_among(const std::string& key, const JsonValue& value, const std::vector<std::string>& accepted) {
    std::string list;
    for (const auto& name : accepted) list += (list.empty() ? "" : ", ") + name;
    const auto close = closest_word(value.text, accepted);
    say(value.column, key + " '" + value.text + "' is not one of " + list, close ? "did you mean '" + *close + "'?" : "");
  }

  const JsonLine& line_;
  std::vector<std::string> known_;
  std::vector<Diagnostic> wrong_;
};

GemmLayout read_layout(Reader& r) { return r.choice<GemmLayout>("layout", kGemmLayoutNames, GemmLayout::forward); }

Gemm read_gemm(Reader& r) {
  Gemm g;
  g.dtype = r.choice<DType>("dtype", kDTypeNames);
  g.m = r.integer("m", 1);
  g.n = r.integer("n", 1);
  g.k = r.integer("k", 1);
  g.layout = read_layout(r);
  g.accumulate_fp32 = r.flag("accumulate", false);
  return g;
}

GroupedGemm read_grouped_gemm(Reader& r) {
  GroupedGemm g;
  g.dtype = r.choice<DType>("dtype", kDTypeNames);
  g.m = r.integers("m");
  g.n = r.integer("n", 1);
  g.k = r.integer("k", 1);
  g.layout = read_layout(r);
  g.accumulate_fp32 = r.flag("accumulate", false);
  return g;
}

Attention read_attention(Reader& r) {
  Attention a;
  a.dtype = r.choice<DType>("dtype", kDTypeNames);
  a.batch = r.integer("batch", 1, 1);
  a.heads = r.integer("heads", 1);
  a.kv_heads = r.integer("kv_heads", 1, a.heads);
  a.queries = r.integer("queries", 1);
  a.keys = r.integer("keys", 1);
  a.qk_dim = r.integer("qk_dim", 1);
  a.v_dim = r.integer("v_dim", 1, a.qk_dim);
  a.causal = r.flag("causal", true);
  a.direction = r.choice<Direction>("direction", kDirectionNames, Direction::forward);
  a.library = r.choice<AttentionLibrary>("library", kAttentionLibraryNames, AttentionLibrary::fastest);
  return a;
}

MemoryBound read_memory_bound(Reader& r) {
  MemoryBound m;
  m.kernel = r.choice<MemoryKernel>("kernel", kMemoryKernelNames);
  m.read = Bytes{r.number("read_bytes")};
  m.written = Bytes{r.number("written_bytes")};
  if (m.kernel == MemoryKernel::column_sum) m.rows = r.integer("rows", 1);
  return m;
}

Collective read_collective(Reader& r) {
  Collective c;
  c.kind = r.choice<CollectiveKind>("kind", kCollectiveKindNames);
  c.bytes = Bytes{r.number("bytes")};
  c.ranks = r.integer("ranks", 1);
  c.ranks_per_node = r.integer("ranks_per_node", 1, c.ranks);
  c.scale_up_bytes = Bytes{r.number("scale_up_bytes", 0.0)};
  return c;
}

// Writes "key":value members.
class Writer {
 public:
  void text(const char* key, std::string_view value) { begin(key) += json_quoted(value); }
  void integer(const char* key, std::int64_t value) { begin(key) += std::to_string(value); }
  void number(const char* key, double value) { begin(key) += exact_number_text(value); }
  void flag(const char* key, bool value) { begin(key) += value ? "true" : "false"; }
  void integers(const char* key, const std::vector<std::int64_t>& values) {
    std::string& out = begin(key);
    out += '[';
    for (std::size_t i = 0; i < values.size(); ++i) out += (i > 0 ? "," : "") + std::to_string(values[i]);
    out += ']';
  }
  template <class Enum>
  void choice(const char* key, std::span<const std::string_view> names, Enum value) {
    text(key, names[static_cast<std::size_t>(value)]);
  }

  void shape(const Gemm& g) {
    text("op", "gemm");
    choice("dtype", kDTypeNames, g.dtype);
    integer("m", g.m);
    product(g);
  }
  void shape(const GroupedGemm& g) {
    text("op", "grouped_gemm");
    choice("dtype", kDTypeNames, g.dtype);
    integers("m", g.m);
    product(g);
  }
  void shape(const Attention& a) {
    text("op", "attention");
    choice("dtype", kDTypeNames, a.dtype);
    integer("batch", a.batch);
    integer("heads", a.heads);
    integer("kv_heads", a.kv_heads);
    integer("queries", a.queries);
    integer("keys", a.keys);
    integer("qk_dim", a.qk_dim);
    integer("v_dim", a.v_dim);
    flag("causal", a.causal);
    choice("direction", kDirectionNames, a.direction);
    if (a.library != AttentionLibrary::fastest) choice("library", kAttentionLibraryNames, a.library);
  }
  void shape(const MemoryBound& m) {
    text("op", "memory_bound");
    choice("kernel", kMemoryKernelNames, m.kernel);
    number("read_bytes", m.read.value());
    number("written_bytes", m.written.value());
    if (m.rows > 0) integer("rows", m.rows);
  }
  void shape(const Collective& c) {
    text("op", "collective");
    choice("kind", kCollectiveKindNames, c.kind);
    number("bytes", c.bytes.value());
    integer("ranks", c.ranks);
    integer("ranks_per_node", c.ranks_per_node);
    if (c.scale_up_bytes.value() > 0) number("scale_up_bytes", c.scale_up_bytes.value());
  }

  std::string take() { return std::move(text_); }

 private:
  template <class Product>
  void product(const Product& g) {
    integer("n", g.n);
    integer("k", g.k);
    choice("layout", kGemmLayoutNames, g.layout);
    if (g.accumulate_fp32) flag("accumulate", true);
  }
  std::string& begin(const char* key) {
    if (!text_.empty()) text_ += ',';
    text_ += json_quoted(key);
    return text_ += ':';
  }
  std::string text_;
};

}  // namespace

ShapeQuery read_shape(const JsonLine& line) {
  Reader reader(line);
  ShapeQuery query;
  const std::string op = reader.op();
  if (op == "gemm") query.shape = read_gemm(reader);
  if (op == "grouped_gemm") query.shape = read_grouped_gemm(reader);
  if (op == "attention") query.shape = read_attention(reader);
  if (op == "memory_bound") query.shape = read_memory_bound(reader);
  if (op == "collective") query.shape = read_collective(reader);
  query.sms = reader.integer("sms", 0, 0);
  query.load = reader.choice<Load>("load", kLoadNames, Load::burst);
  reader.finish();
  return query;
}

std::string shape_text(const ShapeQuery& query) {
  Writer writer;
  std::visit([&](const auto& shape) { writer.shape(shape); }, query.shape);
  if (query.sms > 0) writer.integer("sms", query.sms);
  writer.choice("load", kLoadNames, query.load);
  return writer.take();
}

}  // namespace trillion
