#include "sim/cli/streams.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace trillion {
namespace {

constexpr int kMaximalColumns = 100;
constexpr int kMinimalColumns = 60;

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view value = environment(name);
    if (value.empty()) continue;
    std::string upper(value);
    std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    return upper.find("UTF-8") != std::string::npos || upper.find("UTF8") != std::string::npos;
  }
  return false;
}

int columns_of(int descriptor, bool is_terminal) {
  int columns = kMaximalColumns;
  const std::string_view asked = environment("COLUMNS");
  int value = 0;
  if (std::from_chars(asked.data(), asked.data() + asked.size(), value).ec == std::errc{} && value > 0) {
    columns = value;
  } else if (winsize size{}; is_terminal && ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    columns = size.ws_col;
  }
  return std::clamp(columns, kMinimalColumns, kMaximalColumns);
}

TextStyle style_of(int descriptor, bool is_terminal) {
  TextStyle style;
  style.columns = columns_of(descriptor, is_terminal);
  style.colour = is_terminal && environment("NO_COLOR").empty() && environment("TERM") != "dumb";
  style.unicode = locale_is_utf8();
  return style;
}

}  // namespace

Streams process_streams() {
  const bool out_is_terminal = isatty(STDOUT_FILENO) != 0;
  const bool err_is_terminal = isatty(STDERR_FILENO) != 0;
  const std::string_view home = environment("TRILLION_HOME");
  return Streams{std::cin,
                 std::cout,
                 std::cerr,
                 style_of(STDOUT_FILENO, out_is_terminal),
                 style_of(STDERR_FILENO, err_is_terminal),
                 out_is_terminal,
                 err_is_terminal,
                 home.empty() ? "." : std::string(home)};
}

}  // namespace trillion
