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
};

using Expected = std::vector<ExpectedFigure>;

}  // namespace trillion
