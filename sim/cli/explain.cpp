#include <string>
#include <utility>
#include <variant>

#include "sim/base/error.h"
#include "sim/cli/command_line.h"
#include "sim/cli/output_file.h"
#include "sim/cli/simulation.h"
#include "sim/cli/verbs.h"
#include "sim/handover/hand_over.h"
#include "sim/handover/megatron_change.h"
#include "sim/report/explanation_page.h"
#include "sim/report/page.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

// How Megatron-LM is asked for a change of the plan.
std::string megatron_of(const Scenario& s, const StepResult& base, const TriedChange& change) {
  const auto* step = std::get_if<StepResult>(&change.outcome);
  if (step == nullptr) return {};
  Scenario changed = s;
  changed.plan = change.plan;
  return megatron_change(resolved(s, base), resolved(changed, *step));
}

// "6.3 s" a step, "120 TFLOP/s" or "5200 tokens/s" of one GPU.
Seconds measured_step(const std::string& text, const Scenario& s, const StepResult& step) {
  const double gpus = static_cast<double>(s.cluster.gpus());
  double seconds = 0;
  if (const ParsedNumber time = parse_quantity(text, Dimension::seconds); time.ok()) {
    seconds = time.value;
  } else if (const ParsedNumber rate = parse_quantity(text, Dimension::flops_per_second); rate.ok() && rate.value > 0) {
    seconds = step.model_flops_causal.value() / gpus / rate.value;
  } else if (text.ends_with("tokens/s")) {
    const ParsedNumber tokens = parse_number(text.substr(0, text.find_last_not_of(' ', text.size() - 9) + 1));
    if (tokens.ok() && tokens.value > 0) seconds = step.tokens / gpus / tokens.value;
  }
  if (seconds > 0) return Seconds{seconds};
  throw InputError(Diagnostic{
      {}, "--measured '" + text + "' is no step time or speed", {}, "--measured '6.3 s', '120 TFLOP/s' or '5200 tokens/s' (both per GPU)"});
}

}  // namespace

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
    e.path = critical_path_story(step);
  }
  e.step = std::get<StepResult>(simulate_step(s));  // as the changes are simulated: kernels of a stream joined
  if (!options.measured.empty()) e.measured = measured_step(options.measured, s, e.step);
  e.parts = time_parts(s, e.step);
  const std::vector<Change> changes = s.extent == Extent::step ? neighbours(s) : std::vector<Change>{};
  if (!options.quiet && !changes.empty()) streams.err << "note: trying " << changes.size() << " changes of the plan\n";
  e.changes = try_changes(e.step, changes, options.how.threads);
  for (const Cause& cause : main_causes(s, e.step, e.changes)) {
    e.causes.push_back({cause, megatron_of(s, e.step, e.changes[cause.change])});
  }
  if (e.causes.size() > 1) {
    e.all = together(s, e.step, e.changes, main_causes(s, e.step, e.changes));
    e.all_megatron = megatron_of(s, e.step, *e.all);
  }
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
