// The verbs: what each is asked (its options, already parsed) and what it does. One source file per verb, named after it. Each
// returns an exit code (command_line.h) and throws InputError for what the user must mend.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/cli/streams.h"
#include "sim/handover/target.h"
#include "sim/spec/load.h"
#include "sim/spec/scenario.h"

namespace trillion {

// How scenarios are read and simulated.
struct ScenarioOptions {
  Overrides overrides;  // --set
  std::optional<std::uint64_t> seed;
  Fidelity fidelity = Fidelity::folded;
  unsigned threads = 0;   // 0: every core
  std::string plan_file;  // --plan: Megatron-LM flags in the place of the scenario's plan; empty: none
};

// --export: in which framework's words the plan is written, and where.
struct ExportOptions {
  std::optional<Target> target;
  std::string file;  // empty: standard output, and nothing else goes there
};

struct SimulateOptions {
  std::string scenario;
  ScenarioOptions how;
  std::string json;                       // empty: none; "-": standard output, and nothing else goes there
  std::string output;                     // empty: outputs/<scenario>
  std::string traffic;                    // empty: none
  std::string trace;                      // empty: none
  std::vector<std::int64_t> trace_ranks;  // empty: all pipeline ranks
  ExportOptions hand_over;                // of the plan
  bool quiet = false;
};
// One plan: prints the page, writes report.json and report.txt.
int run_simulate(const SimulateOptions& options, const Streams& streams);

struct CompareOptions {
  std::vector<std::string> inputs;  // scenarios, or JSON reports of earlier runs
  ScenarioOptions how;
  bool all = false;
  std::string json;  // empty: the page; "-": standard output
  bool quiet = false;
};
// Side by side; the first is the base. Then the causes of the difference in cost, which add up to it.
int run_compare(const CompareOptions& options, const Streams& streams);

struct PlanOptions {
  std::string scenario;
  ScenarioOptions how;
  std::size_t top = 10;
  std::optional<Seconds> budget;  // of wall time; then the best so far
  std::string resume;             // empty: none; a journal that remembers results
  bool whole = false;             // nothing is left out by its screened time
  std::string json;               // as of simulate
  std::string output;             // empty: outputs/<scenario>
  ExportOptions hand_over;        // of the best
  bool quiet = false;
};
// Which layout is best.
int run_plan(const PlanOptions& options, const Streams& streams);

struct ExplainOptions {
  std::string scenario;
  ScenarioOptions how;
  std::string measured;  // "6.3 s", "120 TFLOP/s", "5200 tokens/s"; empty: nobody has measured
  std::string json;
  bool quiet = false;
};
// Why the step takes as long as it does, and what would shorten it.
int run_explain(const ExplainOptions& options, const Streams& streams);

struct ValidateOptions {
  std::vector<std::string> scenarios;  // empty: every scenarios/*/ of the repository that has an expected.yaml
  ScenarioOptions how;
  std::string json;
  bool quiet = false;
};
// Predicted against published.
int run_validate(const ValidateOptions& options, const Streams& streams);

struct TimeOptions {
  std::string shapes;  // JSON lines; "-": standard input
  std::string calibration;
  std::string cluster;  // empty: the machine that was calibrated
  std::string json;     // empty: a table on a terminal, JSON lines elsewhere
};
// How long one kernel or collective takes alone.
int run_time(const TimeOptions& options, const Streams& streams);

struct CalibrateOptions {
  std::vector<std::string> raw;  // files or folders of measurements
  std::string output;            // the profile; "-": standard output
  bool quiet = false;
};
// Measurements to profile; prints how far the fit is from points that it did not see.
int run_calibrate(const CalibrateOptions& options, const Streams& streams);

struct CheckOptions {
  std::vector<std::string> files;
};
// Reads input files and says what they hold, or everything that is wrong with them.
int run_check(const CheckOptions& options, const Streams& streams);

}  // namespace trillion
