// A report read back as a flat list of figures: what was simulated before, to be compared or validated.
//
//   figure(report_figures(report_json(scenario, estimate, cost), "report.json"), "step.time_s")->number    // 20.2
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trillion {

// One value of a report. Elements of lists have their index in the path: "memory.stages.3.peak_bytes".
struct ReportFigure {
  std::string path;
  bool is_number = false;
  double number = 0;  // of a number
  std::string text;   // of anything else: the string itself, "true", "null"
};

// Every value, in the order of the report. `file` is for messages. Throws InputError for what is not a report of ours.
std::vector<ReportFigure> report_figures(const std::string& json, const std::string& file);

// The figure of that path; null when there is none.
const ReportFigure* figure(const std::vector<ReportFigure>& figures, std::string_view path);

}  // namespace trillion
