#include <chrono>
#include <csignal>
#include <string>

#include "sim/base/number_text.h"
#include "sim/cli/command_line.h"
#include "sim/cli/export.h"
#include "sim/cli/output_file.h"
#include "sim/cli/simulation.h"
#include "sim/cli/verbs.h"
#include "sim/planner/plan_json.h"
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
  PlanSearch search(s, {.keep = options.top, .threads = options.how.threads});
  bool cut = false;
  {
    const InterruptGuard interrupt;
    while (search.advance()) {
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
    streams.err << "note: searched in " << duration_text(wall()) << (cut ? ", cut before the end" : "") << "\n";
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
    export_plan(with_layout(s, best.layout), best.step, options.hand_over, streams);
  }
  return found ? kExitDone : kExitCannotRun;
}

}  // namespace trillion
