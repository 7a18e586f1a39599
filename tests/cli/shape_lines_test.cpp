// Shapes from a stream: empty lines and comments are skipped, and every wrong line is named, not only the first.
#include "sim/cli/shape_lines.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "sim/base/error.h"

namespace trillion::shape_lines_test {
namespace {

TEST(ShapeLines, SkipsEmptyLinesAndComments) {
  std::istringstream stream("# GEMMs\n\n{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":1,\"n\":2,\"k\":3}\r\n  \n");
  const auto shapes = read_shape_lines(stream, "s.jsonl");
  ASSERT_EQ(shapes.size(), 1u);
  EXPECT_EQ(std::get<Gemm>(shapes[0].query.shape).k, 3);
  EXPECT_EQ(shapes[0].line.where.line, 3);
}

TEST(ShapeLines, NamesEveryWrongLine) {
  std::istringstream stream("{\"op\":\"gemm\"\n{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":1,\"n\":2,\"k\":3}\n{\"op\":\"gem\"}\n");
  try {
    read_shape_lines(stream, "s.jsonl");
    FAIL() << "not refused";
  } catch (const InputError& error) {
    std::vector<int> lines;
    for (const Diagnostic& d : error.diagnostics()) lines.push_back(d.where.line);
    lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
    EXPECT_EQ(lines, (std::vector<int>{1, 3}));
  }
}

}  // namespace
}  // namespace trillion::shape_lines_test
