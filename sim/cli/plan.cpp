#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <iterator>
#include <optional>
#include <string>
#include <variant>

#include "sim/base/checksum.h"
#include "sim/base/number_text.h"
#include "sim/cli/command_line.h"
#include "sim/cli/export.h"
#include "sim/cli/output_file.h"
#include "sim/cli/simulation.h"
#include "sim/cli/verbs.h"
#include "sim/estimate/estimate.h"
#include "sim/planner/journal.h"
#include "sim/planner/plan_json.h"
#include "sim/planner/processes.h"
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

// Whom a journal is for.
JournalKey journal_key(const Scenario& s) {
  Checksum inputs, program;
  inputs.add(s.content);
  inputs.add(s.seed);
  inputs.add(static_cast<std::uint64_t>(s.fidelity));
  program.add(read_whole_file("/proc/self/exe"));
  return {inputs.value(), program.value()};
}

// What the journal remembers, and the rest performed and remembered.
std::vector<std::string> results_of(const PlanSearch& search, const std::vector<SearchTask>& tasks, Processes& processes,
                                    std::optional<SearchJournal>& journal) {
  if (!journal) return processes.perform_all(search, tasks);
  std::vector<SearchTask> missing;
  std::copy_if(tasks.begin(), tasks.end(), std::back_inserter(missing), [&](const SearchTask& t) { return !journal->find(t); });
  if (!missing.empty()) journal->add(missing, processes.perform_all(search, missing));
  std::vector<std::string> results;
  for (const SearchTask& task : tasks) results.push_back(*journal->find(task));
  return results;
}

// "best 181K GPU-hours/Ttok: pp16 ..., about 12 s left, 82 418 do not fit"
std::string progress_text(const PlanSearch& search, Seconds left) {
  std::string text;
  if (!search.ranked().empty()) {
    const Ranked& best = search.ranked().front();
    text = "best " + count_text(best.gpu_hours_per_trillion_tokens) + " GPU-hours/Ttok, ";
  }
  const SearchCounts counts = search.counts();
  text += "about " + duration_text(left) + " left, " + grouped_text(static_cast<std::int64_t>(counts.pruned_by_memory)) + " do not fit, " +
          grouped_text(static_cast<std::int64_t>(counts.simulated)) + " simulated";
  if (!search.ranked().empty()) text += ", best: " + layout_text(search.ranked().front().layout);
  return text;
}

using Clock = std::chrono::steady_clock;
Seconds since(Clock::time_point begin) { return Seconds{std::chrono::duration<double>(Clock::now() - begin).count()}; }
Seconds processor_time() { return Seconds{static_cast<double>(std::clock()) / CLOCKS_PER_SEC}; }

// How long it took, and whether it was cut.
struct Spent {
  Seconds all, screening, screening_processors;
  bool cut = false;
};

Spent search_on(PlanSearch& search, const PlanOptions& options, Processes& processes, std::optional<SearchJournal>& journal,
                Progress& progress) {
  const InterruptGuard interrupt;
  const auto begin = Clock::now();
  Spent spent;
  auto phase_begin = begin;
  std::size_t done_in_phase = 0;
  auto phase = SearchTask::What::look;
  for (std::vector<SearchTask> tasks = search.next(); !tasks.empty(); tasks = search.next()) {
    if (tasks.back().what != phase) phase = tasks.back().what, phase_begin = Clock::now(), done_in_phase = 0;
    const auto batch_begin = Clock::now();
    const Seconds processors_before = processor_time();
    const std::vector<std::string> results = results_of(search, tasks, processes, journal);
    for (std::size_t i = 0; i < tasks.size(); ++i) search.take(tasks[i], results[i]);
    done_in_phase += tasks.size();
    if (phase != SearchTask::What::simulate) {
      spent.screening += since(batch_begin);
      spent.screening_processors += processor_time() - processors_before;
    }
    spent.cut = interrupt.asked() || (options.budget && since(begin) > *options.budget);
    if (spent.cut) break;
    const double ahead = static_cast<double>(search.ahead()) / static_cast<double>(done_in_phase);
    progress.update(search.done(), search.total(), progress_text(search, since(phase_begin) * ahead));
  }
  if (spent.cut) {
    for (std::vector<SearchTask> tasks = search.next_of_a_cut(); !tasks.empty(); tasks = search.next_of_a_cut()) {
      const std::vector<std::string> results = results_of(search, tasks, processes, journal);
      for (std::size_t i = 0; i < tasks.size(); ++i) search.take(tasks[i], results[i]);
    }
  }
  spent.all = since(begin);
  return spent;
}

void print_spent(const Spent& spent, const Processes& processes, const Streams& streams) {
  streams.err << "note: searched in " << duration_text(spent.all) << (spent.cut ? ", cut before the end" : "") << ", "
              << duration_text(spent.screening) << " of it screening; processor time "
              << (processes.count() > 1 ? "of the first of " + std::to_string(processes.count()) + " processes " : "")
              << duration_text(processor_time()) << ", " << duration_text(spent.screening_processors) << " of it screening\n";
}

// Until it is done, or Ctrl-C.
void look_at_sensitivity(SensitivityAnalysis& analysis, const PlanOptions& options, Progress& progress) {
  const InterruptGuard interrupt;
  while (!analysis.done() && !interrupt.asked()) {
    progress.update(analysis.step(), analysis.steps(), "what would change the choice");
    analysis.advance(options.how.threads);
  }
}

std::string page_of(const Scenario& s, const PlanAnswer& answer, const TextStyle& style) {
  return answer.search.ranked().empty() ? no_plan_page(s, answer.search, style) : plan_page(s, answer, style);
}

// The default folder may not be writable: that costs the copy, not the answer.
void write_output(const Scenario& s, const PlanAnswer& answer, Seconds wall, const PlanOptions& options, const Streams& streams) {
  const std::string folder = options.output.empty() ? "outputs/" + s.name : options.output;
  try {
    write_whole_file(folder + "/plan.json", plan_json(s, answer, wall));
    write_whole_file(folder + "/plan.txt", page_of(s, answer, TextStyle{}));
  } catch (const InputError& error) {
    if (!options.output.empty()) throw;
    streams.err << "note: no copy of the result is kept, " << error.diagnostics().front().message << "\n";
    return;
  }
  if (!options.quiet) streams.err << "note: the result is in " << folder << "\n";
}

void print_result(const Scenario& s, const PlanAnswer& answer, Seconds wall, const PlanOptions& options, const Streams& streams) {
  const PlanSearch& search = answer.search;
  const bool found = !search.ranked().empty();
  write_output(s, answer, wall, options, streams);
  if (options.json == "-") {
    streams.out << plan_json(s, answer, wall);
  } else {
    if (!options.json.empty()) write_whole_file(options.json, plan_json(s, answer, wall));
    if (!found || !takes_standard_output(options.hand_over)) streams.out << page_of(s, answer, streams.out_style);
  }
  if (found && options.hand_over.target) {
    const Scenario winner = search.scenario(search.ranked().front().layout);
    export_plan(winner, std::get<StepResult>(simulate_step(winner)), options.hand_over, streams);  // with its memory table
  }
}

SearchOptions search_options(const PlanOptions& options, const Processes& processes) {
  const unsigned threads = processes.count() > 1 ? std::max(1u, options.how.threads) : options.how.threads;
  return {.keep = options.top, .screen = !options.whole, .threads = threads};
}

// One of the processes that share the work; the first one says what is wrong, and everything else.
int work_along(const PlanOptions& options, Processes& processes) {
  try {
    const Scenario s = read_scenario(options.scenario, options.how).scenario;
    processes.serve(PlanSearch(s, search_options(options, processes)));
    return kExitDone;
  } catch (const InputError&) {
    return kExitBadInput;
  }
}

}  // namespace

int run_plan(const PlanOptions& options, const Streams& streams) {
  Processes processes(options.how.threads);
  if (!processes.first()) return work_along(options, processes);
  check_export(options.hand_over, options.json);
  const ScenarioRead read = read_scenario(options.scenario, options.how);
  if (!options.quiet) print_notes(read.notes, streams);
  const Scenario& s = read.scenario;
  std::optional<SearchJournal> journal;
  if (!options.resume.empty()) {
    journal.emplace(options.resume, journal_key(s));
    if (!options.quiet && journal->size() > 0) {
      streams.err << "note: " << options.resume << " remembers " << grouped_text(static_cast<std::int64_t>(journal->size()))
                  << " results\n";
    }
  }
  Progress progress(streams.err, streams.err_is_terminal && !options.quiet, streams.err_style);
  progress.update(0, 1, "enumerating layouts");
  PlanSearch search(s, search_options(options, processes));
  const Spent spent = search_on(search, options, processes, journal, progress);
  std::optional<SensitivityAnalysis> sensitivity;
  if (!spent.cut && !search.ranked().empty()) look_at_sensitivity(sensitivity.emplace(search), options, progress);
  progress.clear();
  if (!options.quiet) print_spent(spent, processes, streams);
  print_result(s, {search, options.top, sensitivity ? &*sensitivity : nullptr}, spent.all, options, streams);
  const bool within_limits = !search.ranked().empty() && search.score(search.ranked().front()).beyond == 0;
  return within_limits ? kExitDone : kExitCannotRun;
}

}  // namespace trillion
