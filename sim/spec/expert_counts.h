// Tokens that experts got, from a log of the run: what training.routing.loads names.
//
//   CSV    a header with layer, expert and count in any order, then one row each; '#' begins a comment
//   JSON   {"loads": [{"layer": 3, "expert": 17, "count": 4096}, ...]}
//
// Only ratios within a layer matter, so counts may be of any number of tokens, or shares.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trillion {

struct ExpertCount {
  std::int64_t layer = 0, expert = 0;
  double count = 0;
};

// Throws InputError with file, line and column: no such file, a missing column, a row without three values, something that is no
// number, a negative or non-finite count, the same layer and expert twice, no rows.
std::vector<ExpertCount> load_expert_counts(const std::string& path);
std::vector<ExpertCount> parse_expert_counts_csv(const std::string& text, const std::string& name);

}  // namespace trillion
