// Published figures beside a scenario: what it must come out at, who says so, and how far off is still right.
#pragma once

#include <string>
#include <vector>

#include "sim/spec/origin.h"

namespace trillion {

struct ExpectedFigure {
  std::string quantity;   // a path in the report: "answer.gpu_hours_per_trillion_tokens"
  double published = 0;   // SI, as the field's suffix says
  double tolerance = 0;   // accepted |relative error|
  Provenance provenance;  // source and how it was read
  std::string known_gap;  // what the model leaves out that this row needs; empty: nothing known. Such a row may be outside
};

// One run of the scenario: as it stands, or with some keys set otherwise.
struct ExpectedCase {
  std::string name;              // empty: the scenario as it stands
  std::vector<std::string> set;  // "plan.tensor_parallel=8", as `--set` takes them
  std::vector<ExpectedFigure> figures;
};

using Expected = std::vector<ExpectedCase>;

}  // namespace trillion
