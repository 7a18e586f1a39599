// Reports side by side: the first is the base, the others show their difference to it where both are numbers, and below the causes of
// the difference in GPU-hours, which add up to it.
#pragma once

#include <string>
#include <vector>

#include "sim/estimate/comparison.h"
#include "sim/report/text_style.h"

namespace trillion {

// One row per figure, in the base's order. More reports than fit beside each other go into blocks, each beginning with the base.
// REQUIRES: at least one report.
std::string comparison_page(const std::vector<NamedReport>& reports, ComparedRows rows, const TextStyle& style);

}  // namespace trillion
