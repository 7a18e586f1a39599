// A stream of shapes as JSON lines (spec/shape_text.h): what `trillion time` is asked and `trillion check` checks.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "sim/spec/json_line.h"
#include "sim/spec/shape_text.h"

namespace trillion {

struct ShapeLine {
  JsonLine line;
  ShapeQuery query;
};

// Empty lines and lines that begin with '#' are skipped. Throws one InputError with every wrong line of the stream.
std::vector<ShapeLine> read_shape_lines(std::istream& stream, const std::string& file);

}  // namespace trillion
