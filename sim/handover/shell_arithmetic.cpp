#include "sim/handover/shell_arithmetic.h"

#include <cctype>
#include <charconv>

namespace trillion {
namespace {

using Number = std::optional<std::int64_t>;

class Evaluation {
 public:
  Evaluation(std::string_view text, const std::map<std::string, std::string, std::less<>>& variables)
      : text_(text), variables_(variables) {}

  Number whole() {
    const Number value = sum(0);
    skip_blanks();
    return next_ == text_.size() ? value : Number{};
  }

 private:
  static constexpr int kDeepest = 64;

  void skip_blanks() {
    while (next_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[next_]))) ++next_;
  }
  bool take(char c) {
    skip_blanks();
    if (next_ == text_.size() || text_[next_] != c) return false;
    ++next_;
    return true;
  }

  Number sum(int depth) {
    Number value = product(depth);
    while (value) {
      std::int64_t result = 0;
      if (take('+')) {
        const Number right = product(depth);
        if (!right || __builtin_add_overflow(*value, *right, &result)) return {};
      } else if (take('-')) {
        const Number right = product(depth);
        if (!right || __builtin_sub_overflow(*value, *right, &result)) return {};
      } else {
        return value;
      }
      value = result;
    }
    return {};
  }

  Number product(int depth) {
    Number value = factor(depth);
    while (value) {
      std::int64_t result = 0;
      if (take('*')) {
        const Number right = factor(depth);
        if (!right || __builtin_mul_overflow(*value, *right, &result)) return {};
      } else if (take('/') || take('%')) {
        const bool rest = text_[next_ - 1] == '%';
        const Number right = factor(depth);
        if (!right || *right == 0 || (*right == -1 && *value == INT64_MIN)) return {};
        result = rest ? *value % *right : *value / *right;
      } else {
        return value;
      }
      value = result;
    }
    return {};
  }

  Number factor(int depth) {
    if (depth == kDeepest) return {};
    if (take('(')) {
      const Number value = sum(depth + 1);
      return take(')') ? value : Number{};
    }
    if (take('-')) {
      const Number value = factor(depth + 1);
      return value && *value != INT64_MIN ? Number{-*value} : Number{};
    }
    const bool braces = take('$') && take('{');
    skip_blanks();
    const std::size_t begin = next_;
    while (next_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[next_])) || text_[next_] == '_')) ++next_;
    std::string word(text_.substr(begin, next_ - begin));
    if (braces && !take('}')) return {};
    if (!word.empty() && !std::isdigit(static_cast<unsigned char>(word.front()))) {
      const auto variable = variables_.find(word);
      if (variable == variables_.end()) return {};
      word = variable->second;
    }
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc{} && end == word.data() + word.size() && !word.empty() ? Number{value} : Number{};
  }

  std::string_view text_;
  const std::map<std::string, std::string, std::less<>>& variables_;
  std::size_t next_ = 0;
};

}  // namespace

std::optional<std::int64_t> shell_arithmetic(std::string_view expression,
                                             const std::map<std::string, std::string, std::less<>>& variables) {
  return Evaluation(expression, variables).whole();
}

}  // namespace trillion
