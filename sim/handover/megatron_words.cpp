#include "sim/handover/megatron_words.h"

#include <algorithm>
#include <cctype>

namespace trillion {
namespace {

constexpr std::size_t kMost = 1u << 16;  // layers and stages that an expression may expand to

std::string stage_text(std::int64_t layers) {
  if (layers == 0) return {};
  return layers == 1 ? "t" : "t*" + std::to_string(layers);
}

// The number behind '*' at `at`, which it moves behind it; empty if there is none or it is beyond reason.
std::optional<std::size_t> count_at(std::string_view text, std::size_t& at) {
  std::size_t count = 0;
  const std::size_t begin = at;
  while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at]))) {
    count = count * 10 + static_cast<std::size_t>(text[at] - '0');
    if (count > kMost) return std::nullopt;
    ++at;
  }
  if (at == begin) return std::nullopt;
  return count;
}

// "x*n" to n times x, where x is one character or, with `brackets`, what stands in a pair of them.
std::optional<std::string> unrolled(std::string_view text, bool brackets) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    std::string_view unit = text.substr(i, 1);
    std::size_t after = i + 1;
    if (brackets && text[i] == '(') {
      const std::size_t close = text.find(')', i);
      if (close == std::string_view::npos) return std::nullopt;
      unit = text.substr(i + 1, close - i - 1);
      after = close + 1;
      if (after >= text.size() || text[after] != '*') return std::nullopt;  // Megatron-LM knows no plain brackets either
    }
    std::size_t times = 1;
    const bool repeated = after < text.size() && text[after] == '*' && (!brackets || text[i] == '(');
    if (repeated) {
      ++after;
      const auto count = count_at(text, after);
      if (!count) return std::nullopt;
      times = *count;
    }
    if (out.size() + times * unit.size() > kMost) return std::nullopt;
    for (std::size_t n = 0; n < times; ++n) out += unit;
    i = after;
  }
  return out;
}

// A Python list expression of [...], + and *.
class ListExpression {
 public:
  explicit ListExpression(std::string_view text) : text_(text) {}

  std::optional<std::vector<bool>> whole() {
    auto list = sum(0);
    return list && next_ == text_.size() ? list : std::nullopt;
  }

 private:
  bool take(char c) {
    if (next_ >= text_.size() || text_[next_] != c) return false;
    ++next_;
    return true;
  }

  std::optional<std::vector<bool>> sum(int depth) {
    auto list = product(depth);
    while (list && take('+')) {
      const auto more = product(depth);
      if (!more || list->size() + more->size() > kMost) return std::nullopt;
      list->insert(list->end(), more->begin(), more->end());
    }
    return list;
  }

  std::optional<std::vector<bool>> product(int depth) {
    auto list = item(depth);
    while (list && take('*')) {
      const auto times = count_at(text_, next_);
      if (!times || list->size() * *times > kMost) return std::nullopt;
      const std::vector<bool> once = std::exchange(*list, {});
      for (std::size_t n = 0; n < *times; ++n) list->insert(list->end(), once.begin(), once.end());
    }
    return list;
  }

  std::optional<std::vector<bool>> item(int depth) {
    if (depth > 32) return std::nullopt;
    if (take('(')) {
      auto list = sum(depth + 1);
      return take(')') ? list : std::nullopt;
    }
    if (!take('[')) return std::nullopt;
    std::vector<bool> list;
    while (!take(']')) {
      if (!list.empty() && !take(',')) return std::nullopt;
      const auto value = count_at(text_, next_);
      if (!value || *value > 1 || list.size() == kMost) return std::nullopt;
      list.push_back(*value == 1);
    }
    return list;
  }

  std::string_view text_;
  std::size_t next_ = 0;
};

}  // namespace

std::string megatron_layout(const std::vector<std::int64_t>& layers, std::int64_t mtp_layers) {
  std::string text = "E";
  const std::size_t last = layers.size() - 1;
  for (std::size_t stage = 0; stage <= last;) {
    std::size_t same = 1;  // equal stages in a row; the first and the last hold more than layers
    if (stage > 0) {
      while (stage + same < last && layers[stage + same] == layers[stage]) ++same;
    }
    if (stage > 0 && stage < last && same > 2) {
      text += "(" + stage_text(layers[stage]) + "|)*" + std::to_string(same);
      stage += same;
      continue;
    }
    text += stage_text(layers[stage]) + (stage == last ? "" : "|");
    ++stage;
  }
  for (std::int64_t i = 0; i < mtp_layers; ++i) text += "m";
  return text + "L";
}

std::optional<MegatronCut> cut_of_megatron_layout(std::string_view text, std::string& problem) {
  std::string plain(text);
  plain.erase(std::remove(plain.begin(), plain.end(), ','), plain.end());
  const auto fail = [&](const std::string& why) {
    problem = why;
    return std::nullopt;
  };
  auto outer = unrolled(plain, true);
  if (outer) outer = unrolled(*outer, false);
  if (!outer) return fail("'" + std::string(text) + "' is no pipeline layout, such as \"Et*3|(t*4|)*14t,L\"");
  MegatronCut cut{{0}, 0, true};
  std::int64_t embeddings = 0, losses = 0;
  for (std::size_t i = 0; i < outer->size(); ++i) {
    switch ((*outer)[i]) {
      case '|': cut.layers_per_stage.push_back(0); break;
      case 't': ++cut.layers_per_stage.back(); break;
      case 'E':
        ++embeddings;
        cut.ends_in_place = cut.ends_in_place && i == 0;
        break;
      case 'L':
        ++losses;
        cut.ends_in_place = cut.ends_in_place && i + 1 == outer->size();
        break;
      case 'm': ++cut.mtp_layers; break;
      default: return fail("'" + std::string(1, (*outer)[i]) + "' in a pipeline layout, which knows E, t, m, L and |");
    }
  }
  if (embeddings != 1 || losses != 1) return fail("a pipeline layout has one E and one L");
  // Multi-token prediction closes the last stage in ours.
  const std::size_t last = outer->rfind('|') == std::string::npos ? 0 : outer->rfind('|') + 1;
  const std::size_t first_mtp = outer->find('m');
  if (first_mtp != std::string::npos && first_mtp < last) cut.ends_in_place = false;
  return cut;
}

std::optional<std::vector<bool>> megatron_moe_layers(std::string_view text, std::int64_t layers) {
  std::string plain(text);
  plain.erase(std::remove_if(plain.begin(), plain.end(), [](char c) { return c == ' '; }), plain.end());
  std::size_t at = 0;
  if (plain.find('[') == std::string::npos) {
    const auto every = count_at(plain, at);
    if (!every || *every == 0 || at != plain.size()) return std::nullopt;
    std::vector<bool> pattern;
    for (std::int64_t i = 0; i < layers; ++i) pattern.push_back(i % static_cast<std::int64_t>(*every) == 0);
    return pattern;
  }
  auto list = ListExpression(plain).whole();
  return list && static_cast<std::int64_t>(list->size()) == layers ? list : std::nullopt;
}

std::string megatron_pattern(const std::vector<bool>& layers) {
  std::string text;
  for (std::size_t i = 0; i < layers.size();) {
    std::size_t same = 1;
    while (i + same < layers.size() && layers[i + same] == layers[i]) ++same;
    text += (text.empty() ? "" : "+") + std::string(layers[i] ? "[1]*" : "[0]*") + std::to_string(same);
    i += same;
  }
  return "(" + text + ")";
}

}  // namespace trillion
