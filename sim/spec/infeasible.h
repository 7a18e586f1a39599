// A plan that cannot run: why, by how much, and what would help. A value, not an exception: a planner asks thousands of times.
#pragma once

#include <string>
#include <vector>

namespace trillion {

struct Infeasible {
  std::string reason;             // "stage 7 needs 83.1 GiB, 5.4 GiB more than the 77.7 GiB usable on an H800 SXM"
  std::vector<std::string> help;  // each one a change the user could make: "plan.recompute: full would save 12.3 GiB"
};

}  // namespace trillion
