#include <chrono>
#include <csignal>
#include <ctime>
#include <string>
#include <variant>

#include "sim/base/number_text.h"
#include "sim/cli/command_line.h"
#include "sim/cli/export.h"
#include "sim/cli/output_file.h"
#include "sim/cli/simulation.h"
#include "sim/cli/verbs.h"
#include "sim/estimate/estimate.h"
#include "sim/planner/plan_json.h"
#include "sim/planner/work_sharing.h"
#include "sim/report/plan_page.h"
#include "sim/report/progress.h"

namespace trillion {
namespace {

// Ctrl-C ends the search, not the program: the best so far is the answer. A signal handler can only talk through such a variable.
volatile std::sig_atomic_t interrupted = 0;
extern "C" void on_interrupt(int) { interrupted = 1; }

class InterruptGuard {
 public:
  InterruptGuard() : previous_(std::signal(SIGINT, on_interrupt)) { interrupted = 0; }
  ~InterruptGuard() { std::signal(SIGINT, previous_); }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  bool asked() const { return interrupted != 0; }

 private:
  void (*previous_)(int);
};

}  // namespace

int run_plan(const PlanOptions& options, const Streams& streams) {
  check_export(options.hand_over, options.json);
  const ScenarioRead read = read_scenario(options.scenario, options.how);
  if (!options.quiet) print_notes(read.notes, streams);
  const Scenario& s = read.scenario;
  const auto begin = std::chrono::steady_clock::now();
  const auto wall = [&] { return Seconds{std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()}; };
  Progress progress(streams.err, streams.err_is_terminal && !options.quiet, streams.err_style);
  progress.update(0, 1, "bounding every layout");
  PlanSearch search(s, {.keep = options.top, .screen = !options.whole});
  bool cut = false;
  Seconds screened, screened_cpu;
  const auto cpu = [] { return Seconds{static_cast<double>(std::clock()) / CLOCKS_PER_SEC}; };
  {
    const InterruptGuard interrupt;
    for (std::vector<SearchTask> tasks = search.next(); !tasks.empty(); tasks = search.next()) {
      const std::vector<std::string> results = perform_all(search, tasks, options.how.threads);
      for (std::size_t i = 0; i < tasks.size(); ++i) search.take(tasks[i], results[i]);
      if (tasks.front().what == SearchTask::What::screen) screened = wall(), screened_cpu = cpu();
      cut = interrupt.asked() || (options.budget && wall() > *options.budget);
      if (cut) break;
      std::string label = "layouts";
      if (!search.ranked().empty()) {
        const Ranked& best = search.ranked().front();
        label = "best " + count_text(best.gpu_hours_per_trillion_tokens) + " GPU-hours/Ttok: " + layout_text(best.layout);
      }
      progress.update(search.done(), search.total(), label);
    }
  }
  progress.clear();
  if (!options.quiet) {
    streams.err << "note: searched in " << duration_text(wall()) << (cut ? ", cut before the end" : "") << ", of which "
                << duration_text(screened) << " enumerating and screening (processors: " << duration_text(cpu()) << " and "
                << duration_text(screened_cpu) << ")\n";
  }
  const bool found = !search.ranked().empty();
  if (options.json == "-") {
    streams.out << plan_json(s, search, options.top, wall());
  } else {
    if (!options.json.empty()) write_whole_file(options.json, plan_json(s, search, options.top, wall()));
    if (!found) {
      streams.out << no_plan_page(s, search, streams.out_style);
    } else if (!takes_standard_output(options.hand_over)) {
      streams.out << plan_page(s, search, options.top, streams.out_style);
    }
  }
  if (found && options.hand_over.target) {
    const Ranked& best = search.ranked().front();
    const Scenario winner = search.scenario(best.layout);
    export_plan(winner, std::get<StepResult>(simulate_step(winner)), options.hand_over, streams);  // with its memory table
  }
  const bool within_limits = found && search.score(search.ranked().front()).beyond == 0;
  return within_limits ? kExitDone : kExitCannotRun;
}

}  // namespace trillion
