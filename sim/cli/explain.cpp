#include <string>
#include <utility>
#include <variant>

#include "sim/cli/command_line.h"
#include "sim/cli/output_file.h"
#include "sim/cli/simulation.h"
#include "sim/cli/verbs.h"
#include "sim/report/explanation_page.h"
#include "sim/report/page.h"

namespace trillion {

int run_explain(const ExplainOptions& options, const Streams& streams) {
  const ScenarioRead read = read_scenario(options.scenario, options.how);
  if (!options.quiet) print_notes(read.notes, streams);
  const Scenario& s = read.scenario;
  const Timing timing(s.calibration, s.cluster);
  auto traced = trace_step(s, timing);
  if (const auto* why = std::get_if<Infeasible>(&traced)) {
    streams.out << infeasible_page(s, *why, streams.out_style);
    return kExitCannotRun;
  }
  Explanation e;
  {
    const TracedStep step = std::get<TracedStep>(std::move(traced));
    e.step = step.result;
    e.path = critical_path_story(step);
  }
  e.parts = time_parts(s, e.step);
  const std::vector<Change> changes = s.extent == Extent::step ? neighbours(s) : std::vector<Change>{};
  if (!options.quiet && !changes.empty()) streams.err << "note: trying " << changes.size() << " changes of the plan\n";
  e.changes = try_changes(e.step, changes, options.how.threads);
  e.relieved = try_changes(e.step, relieved(s), options.how.threads);
  if (options.json == "-") {
    streams.out << explanation_json(s, e);
    return kExitDone;
  }
  if (!options.json.empty()) write_whole_file(options.json, explanation_json(s, e));
  streams.out << explanation_page(s, e, streams.out_style);
  return kExitDone;
}

}  // namespace trillion
