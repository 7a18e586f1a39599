#include <algorithm>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/parallel_for.h"
#include "sim/cli/command_line.h"
#include "sim/cli/output_file.h"
#include "sim/cli/simulation.h"
#include "sim/cli/verbs.h"
#include "sim/estimate/validation.h"
#include "sim/report/progress.h"
#include "sim/report/validation_page.h"

namespace trillion {
namespace {

namespace fs = std::filesystem;

// Having an expected.yaml makes a scenario a validation case; nothing is registered.
std::vector<std::string> cases_of(const std::string& home) {
  std::vector<std::string> cases;
  std::error_code error;
  const fs::path folder = fs::path(home) / "scenarios";
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (has_expected(entry.path().string())) cases.push_back(entry.path().lexically_normal().string());
  }
  if (cases.empty()) throw InputError("no scenario in " + folder.lexically_normal().string() + " has an expected.yaml");
  std::sort(cases.begin(), cases.end());
  return cases;
}

std::vector<ValidationRow> rows_of(const std::string& path, const ScenarioOptions& how) {
  const Expected expected = load_expected(path);
  const Simulation simulation = simulate(path, how);
  const std::string& name = simulation.scenario.name;
  if (std::holds_alternative<Infeasible>(simulation.outcome)) return unpredicted_rows(name, expected);
  return validation_rows(name, expected, report_figures(simulation_json(simulation), name));
}

}  // namespace

int run_validate(const ValidateOptions& options, const Streams& streams) {
  const std::vector<std::string> cases = options.scenarios.empty() ? cases_of(streams.home) : options.scenarios;
  std::vector<std::vector<ValidationRow>> of_case(cases.size());
  Progress progress(streams.err, streams.err_is_terminal && !options.quiet, streams.err_style);
  progress.update(0, cases.size(), "simulating");
  parallel_for(cases.size(), options.how.threads, [&](std::size_t i) { of_case[i] = rows_of(cases[i], options.how); });
  progress.clear();

  std::vector<ValidationRow> rows;
  for (const auto& some : of_case) rows.insert(rows.end(), some.begin(), some.end());
  if (options.json == "-") {
    streams.out << validation_json(rows);
  } else {
    if (!options.json.empty()) write_whole_file(options.json, validation_json(rows));
    streams.out << validation_page(rows, streams.out_style);
  }
  const bool ok = std::all_of(rows.begin(), rows.end(), [](const ValidationRow& row) { return row.ok(); });
  return ok ? kExitDone : kExitCannotRun;
}

}  // namespace trillion
