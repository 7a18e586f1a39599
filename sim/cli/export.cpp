#include "sim/cli/export.h"

#include <filesystem>

#include "sim/base/error.h"
#include "sim/cli/output_file.h"
#include "sim/handover/hand_over.h"

namespace trillion {

bool takes_standard_output(const ExportOptions& options) { return options.target && (options.file.empty() || options.file == "-"); }

void check_export(const ExportOptions& options, const std::string& json) {
  if (!options.file.empty() && !options.target) {
    throw InputError(Diagnostic{{}, "--export-file without --export: for which framework?", {}, "--export megatron --export-file run.sh"});
  }
  if (takes_standard_output(options) && json == "-") {
    throw InputError(Diagnostic{{}, "--export and --json - both want standard output", {}, "--export-file FILE"});
  }
}

void export_plan(const Scenario& scenario, const StepResult& step, const ExportOptions& options, const Streams& streams) {
  HandedPlan plan{resolved(scenario, step), step, {}};
  const Expressed nearest = expressed(*options.target, plan.scenario);
  if (!nearest.lost.empty()) {
    Scenario asked = plan.scenario;
    asked.plan = nearest.plan;
    plan.nearest = simulate_step(asked);
  }
  const HandedOver handed = hand_over(*options.target, plan);
  if (takes_standard_output(options)) {
    streams.out << handed.text;
    streams.err << handed.notes;
    return;
  }
  write_whole_file(options.file, handed.text);
  streams.err << "note: the plan is in " << options.file;
  if (!handed.notes.empty()) {
    const std::string beside = std::filesystem::path(options.file).replace_extension(".launch.sh").string();
    write_whole_file(beside, handed.notes);
    streams.err << ", how to start it in " << beside;
  }
  streams.err << "\n";
  if (!nearest.lost.empty())
    streams.err << "note: " << nearest.lost.size() << " keys of the plan have no words there; the file says which\n";
}

}  // namespace trillion
