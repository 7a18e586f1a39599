#include <filesystem>
#include <string>
#include <variant>

#include "sim/base/error.h"
#include "sim/base/number_text.h"
#include "sim/cli/command_line.h"
#include "sim/cli/export.h"
#include "sim/cli/output_file.h"
#include "sim/cli/simulation.h"
#include "sim/cli/verbs.h"
#include "sim/estimate/traced_step.h"
#include "sim/estimate/traffic_csv.h"
#include "sim/report/chrome_trace.h"
#include "sim/report/page.h"
#include "sim/report/page_details.h"

namespace trillion {
namespace {

std::string page_of(const Simulation& simulation, const TextStyle& style) {
  if (const auto* why = std::get_if<Infeasible>(&simulation.outcome)) return infeasible_page(simulation.scenario, *why, style);
  return report_page(simulation.scenario, std::get<Estimate>(simulation.outcome), style);
}

// The default folder may not be writable (a shared installation): that costs the copy, not the answer. A folder that was asked
// for must be written.
void write_output(const Simulation& simulation, const SimulateOptions& options, const Streams& streams) {
  namespace fs = std::filesystem;
  const fs::path folder = options.output.empty() ? fs::path("outputs") / simulation.scenario.name : fs::path(options.output);
  try {
    write_whole_file((folder / "report.json").string(), simulation_json(simulation));
    write_whole_file((folder / "report.txt").string(), page_of(simulation, TextStyle{}));
  } catch (const InputError& error) {
    if (!options.output.empty()) throw;
    streams.err << "note: no copy of the report is kept, " << error.diagnostics().front().message << "\n";
    return;
  }
  if (options.quiet) return;
  const bool ran = !std::holds_alternative<Infeasible>(simulation.outcome);
  streams.err << "note: " << (ran ? "simulated in " + duration_text(simulation.cost.wall) : std::string("nothing was simulated"))
              << "; the report is in " << folder.string() << "\n";
}

// A timeline of the steady step.
void write_trace(const Simulation& simulation, const SimulateOptions& options, const Streams& streams) {
  const Scenario& s = simulation.scenario;
  for (const std::int64_t rank : options.trace_ranks) {
    if (rank >= 0 && rank < s.plan.pipeline_parallel) continue;
    throw InputError("--trace-ranks: there is no pipeline rank " + std::to_string(rank) + "; the plan has 0 to " +
                     std::to_string(s.plan.pipeline_parallel - 1));
  }
  const Timing timing(s.calibration, s.cluster);
  const auto traced = trace_step(s, timing);
  if (std::holds_alternative<Infeasible>(traced)) return;  // said already
  write_whole_file(options.trace, chrome_trace(s, std::get<TracedStep>(traced), options.trace_ranks));
  if (!options.quiet) streams.err << "note: the timeline of one step is in " << options.trace << "; open it at ui.perfetto.dev\n";
}

// The table, and what stands on the page below the rest.
std::string write_traffic(const Simulation& simulation, const SimulateOptions& options, const TextStyle& style) {
  if (options.traffic.empty() || std::holds_alternative<Infeasible>(simulation.outcome)) return {};
  const ExchangeFlows flows = exchange_flows(simulation.scenario);
  write_whole_file(options.traffic, traffic_csv(flows));
  return exchange_section(flows, style);
}

}  // namespace

int run_simulate(const SimulateOptions& options, const Streams& streams) {
  check_export(options.hand_over, options.json);
  const Simulation simulation = simulate(options.scenario, options.how);
  if (!options.quiet) print_notes(simulation.notes, streams);
  write_output(simulation, options, streams);
  if (!options.trace.empty()) write_trace(simulation, options, streams);
  const std::string exchange = write_traffic(simulation, options, streams.out_style);
  const auto* why = std::get_if<Infeasible>(&simulation.outcome);
  if (options.json == "-") {
    streams.out << simulation_json(simulation);
  } else {
    if (!options.json.empty()) write_whole_file(options.json, simulation_json(simulation));
    if (why != nullptr || !takes_standard_output(options.hand_over)) streams.out << page_of(simulation, streams.out_style) << exchange;
  }
  if (why == nullptr && options.hand_over.target) {
    export_plan(simulation.scenario, std::get<Estimate>(simulation.outcome).step, options.hand_over, streams);
  }
  if (why == nullptr) return kExitDone;
  if (options.json == "-") streams.err << "cannot run: " << why->reason << "\n";
  return kExitCannotRun;
}

}  // namespace trillion
