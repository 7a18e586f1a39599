// The integers of $((...)): + - * / % and parentheses.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace trillion {

// Empty: not an integer expression, a name that is not among the variables, a division by zero, or beyond 64 bits.
std::optional<std::int64_t> shell_arithmetic(std::string_view expression, const std::map<std::string, std::string, std::less<>>& variables);

}  // namespace trillion
