// Reports side by side: the first is the base, the others show their difference to it where both are numbers.
#pragma once

#include <string>
#include <vector>

#include "sim/estimate/result_json.h"
#include "sim/report/text_style.h"

namespace trillion {

struct NamedReport {
  std::string name;
  std::vector<ReportFigure> figures;
};

enum class ComparedRows {
  differing,  // figures that are not the same everywhere; lists (stages, links, origins) only as far as they have one name
  all,        // every figure
};

// One row per figure, in the base's order. What the simulation took is left out: it says nothing about the plan. More reports
// than fit beside each other go into blocks, each beginning with the base. REQUIRES: at least one report.
std::string comparison_page(const std::vector<NamedReport>& reports, ComparedRows rows, const TextStyle& style);

}  // namespace trillion
