#include "sim/cli/shape_lines.h"

#include <utility>

#include "sim/base/error.h"

namespace trillion {

std::vector<ShapeLine> read_shape_lines(std::istream& stream, const std::string& file) {
  std::vector<ShapeLine> shapes;
  std::vector<Diagnostic> wrong;
  std::string text;
  for (int number = 1; std::getline(stream, text); ++number) {
    if (!text.empty() && text.back() == '\r') text.pop_back();
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string::npos || text[first] == '#') continue;
    try {
      JsonLine line = parse_json_line(text, {file, number, 1});
      const ShapeQuery query = read_shape(line);
      shapes.push_back({std::move(line), query});
    } catch (const InputError& error) {
      wrong.insert(wrong.end(), error.diagnostics().begin(), error.diagnostics().end());
    }
  }
  if (!wrong.empty()) throw InputError(std::move(wrong));
  return shapes;
}

}  // namespace trillion
