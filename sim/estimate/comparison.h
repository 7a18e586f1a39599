// Reports against each other: which figures differ, and where a difference in cost comes from, in parts that add up to the whole.
//
//   const std::vector<NamedReport> reports = {{"base", report_figures(a, "a.json")}, {"other", report_figures(b, "b.json")}};
//   cost_parts(reports[1].figures)     // GPU-hours per trillion tokens of every cause; the sum is the answer's
#pragma once

#include <string>
#include <vector>

#include "sim/estimate/report_figures.h"

namespace trillion {

struct NamedReport {
  std::string name;
  std::vector<ReportFigure> figures;
};

enum class ComparedRows {
  differing,  // figures that are not the same everywhere; lists (stages, links, origins) only as far as they have one name
  all,        // every figure
};

// Paths of the figures to show, the base's first and in its order; the fullest rank's memory stands for the table of ranks
// ("memory.peak_bytes", which older reports don't have and is then added to them). What the simulation took is left out: it says
// nothing about the plan. REQUIRES: at least one report.
std::vector<std::string> compared_paths(std::vector<NamedReport>& reports, ComparedRows rows);

bool same_figure(const ReportFigure* a, const ReportFigure* b);

// One cause of a step's cost.
struct CostPart {
  std::string name;
  double gpu_hours = 0;  // per trillion tokens
};

// Kernels by what they compute, communication that nothing hides by what it is for, waiting, and the bubble: GPU-seconds of the step
// over its tokens. The names and their order are always the same, what a report does not know (an older one) is 0, and `slowest rank
// beyond the mean` is what remains, so that the parts add up to the step. Empty for a plan that cannot run.
std::vector<CostPart> cost_parts(const std::vector<ReportFigure>& report);

// The sum of them.
double cost_of(const std::vector<CostPart>& parts);

// "schema": "trillion.comparison/1": every report's cost, its difference to the first and that difference's causes; and the figures.
std::string comparison_json(const std::vector<NamedReport>& reports, ComparedRows rows);

}  // namespace trillion
