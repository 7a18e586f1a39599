#include "sim/base/error.h"

#include <utility>

namespace trillion {

std::string to_text(const Diagnostic& d) {
  std::string text;
  if (!d.where.file.empty()) {
    text += d.where.file;
    if (d.where.line > 0) text += ":" + std::to_string(d.where.line);
    if (d.where.column > 0) text += ":" + std::to_string(d.where.column);
    text += ": ";
  }
  text += "error: " + d.message;
  if (!d.source_line.empty()) {
    text += "\n    " + d.source_line;
    if (d.where.column > 0) {
      // Tabs are kept so that the caret stands under its column whatever the terminal's tab width.
      std::string pad;
      for (int i = 0; i + 1 < d.where.column; ++i) {
        const bool tab = static_cast<std::size_t>(i) < d.source_line.size() && d.source_line[static_cast<std::size_t>(i)] == '\t';
        pad += tab ? '\t' : ' ';
      }
      text += "\n    " + pad + "^";
    }
  }
  if (!d.hint.empty()) text += "\n    " + d.hint;
  return text;
}

namespace {
std::string join(const std::vector<Diagnostic>& diagnostics) {
  std::string text;
  for (const Diagnostic& d : diagnostics) text += (text.empty() ? "" : "\n") + to_text(d);
  return text;
}
}  // namespace

InputError::InputError(std::vector<Diagnostic> diagnostics) : std::runtime_error(join(diagnostics)), diagnostics_(std::move(diagnostics)) {}

void throw_internal_error(const char* file, int line, const char* condition, std::string_view message) {
  std::string text = std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition;
  if (!message.empty()) text += " (" + std::string(message) + ")";
  throw InternalError(text);
}

}  // namespace trillion
