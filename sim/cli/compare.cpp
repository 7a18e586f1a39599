#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sim/base/parallel_for.h"
#include "sim/cli/command_line.h"
#include "sim/cli/output_file.h"
#include "sim/cli/simulation.h"
#include "sim/cli/verbs.h"
#include "sim/report/comparison.h"
#include "sim/report/progress.h"

namespace trillion {
namespace {

bool is_report(const std::string& path) {
  std::error_code error;
  return std::filesystem::path(path).extension() == ".json" && !std::filesystem::is_directory(path, error);
}

struct Compared {
  NamedReport report;
  std::vector<std::string> notes;
};

Compared report_of(const std::string& path, const ScenarioOptions& how) {
  Compared compared{{path, {}}, {}};
  std::string json;
  if (is_report(path)) {
    json = read_whole_file(path);
  } else {
    const Simulation simulation = simulate(path, how);
    compared.notes = simulation.notes;
    json = simulation_json(simulation);
  }
  compared.report.figures = report_figures(json, path);
  if (const ReportFigure* name = figure(compared.report.figures, "scenario")) compared.report.name = name->text;
  return compared;
}

// Two reports of one scenario are told apart by the paths they came from.
void name_apart(std::vector<NamedReport>& reports, const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const NamedReport& report : reports) names.push_back(report.name);
  for (std::size_t i = 0; i < reports.size(); ++i) {
    for (std::size_t j = 0; j < names.size(); ++j) {
      if (i != j && names[i] == names[j]) reports[i].name = paths[i];
    }
  }
}

}  // namespace

int run_compare(const CompareOptions& options, const Streams& streams) {
  std::vector<std::optional<Compared>> read(options.inputs.size());
  Progress progress(streams.err, streams.err_is_terminal && !options.quiet, streams.err_style);
  progress.update(0, options.inputs.size(), "simulating");
  parallel_for(read.size(), options.how.threads, [&](std::size_t i) { read[i] = report_of(options.inputs[i], options.how); });
  progress.clear();
  std::vector<NamedReport> reports;
  for (auto& one : read) {
    if (!options.quiet) print_notes(one->notes, streams);
    reports.push_back(std::move(one->report));
  }
  name_apart(reports, options.inputs);
  const ComparedRows rows = options.all ? ComparedRows::all : ComparedRows::differing;
  if (options.json == "-") {
    streams.out << comparison_json(reports, rows);
  } else {
    if (!options.json.empty()) write_whole_file(options.json, comparison_json(reports, rows));
    streams.out << comparison_page(reports, rows, streams.out_style);
  }
  for (const NamedReport& report : reports) {
    const ReportFigure* why = figure(report.figures, "infeasible.reason");
    if (why == nullptr) continue;
    streams.err << report.name << " cannot run: " << why->text << "\n";
    return kExitCannotRun;
  }
  return kExitDone;
}

}  // namespace trillion
