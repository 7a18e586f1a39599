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
std::vector<std::string> scenarios_of(const std::string& home) {
  std::vector<std::string> scenarios;
  std::error_code error;
  const fs::path folder = fs::path(home) / "scenarios";
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (has_expected(entry.path().string())) scenarios.push_back(entry.path().lexically_normal().string());
  }
  if (scenarios.empty()) throw InputError("no scenario in " + folder.lexically_normal().string() + " has an expected.yaml");
  std::sort(scenarios.begin(), scenarios.end());
  return scenarios;
}

struct Case {
  std::string path;  // of its scenario
  ExpectedCase expected;
};

std::vector<Case> cases_of(const std::vector<std::string>& scenarios) {
  std::vector<Case> cases;
  for (const std::string& path : scenarios) {
    for (const ExpectedCase& expected : load_expected(path)) cases.push_back({path, expected});
  }
  return cases;
}

// What the command line sets comes last and wins.
std::vector<ValidationRow> rows_of(const Case& c, ScenarioOptions how) {
  how.overrides.insert(how.overrides.begin(), c.expected.set.begin(), c.expected.set.end());
  how.threads = 1;  // the cases themselves are spread over the threads
  const Simulation simulation = simulate(c.path, how);
  const std::string& name = simulation.scenario.name;
  if (std::holds_alternative<Infeasible>(simulation.outcome)) return unpredicted_rows(name, c.expected);
  return validation_rows(name, c.expected, report_figures(simulation_json(simulation), name));
}

}  // namespace

int run_validate(const ValidateOptions& options, const Streams& streams) {
  const std::vector<Case> cases = cases_of(options.scenarios.empty() ? scenarios_of(streams.home) : options.scenarios);
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
  const bool ok = std::all_of(rows.begin(), rows.end(), [](const ValidationRow& row) { return !row.unexplained(); });
  return ok ? kExitDone : kExitCannotRun;
}

}  // namespace trillion
