#include "sim/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "sim/base/closest_word.h"
#include "sim/base/error.h"
#include "sim/cli/verbs.h"

namespace trillion {
namespace {

constexpr const char* kSummary = "What a trillion training tokens cost: GPU-hours, dollars and why, simulated from measured parts.";

constexpr const char* kExamples = R"(Examples:
  trillion simulate scenarios/deepseek-v3
  trillion simulate scenarios/deepseek-v3 --set plan.schedule=1f1b --set cluster.nodes=128 --json -
  trillion simulate scenarios/deepseek-v3 --trace step.json --trace-ranks 0,15
  trillion compare scenarios/deepseek-v3 outputs/deepseek-v3/report.json
  trillion plan scenarios/deepseek-v3 --set 'search.expert_parallel=[32, 64, 128]' --budget 5
  trillion plan scenarios/deepseek-v3 --export megatron --export-file run.sh
  trillion simulate scenarios/deepseek-v3 --plan run.sh
  trillion explain scenarios/deepseek-v3
  trillion validate
  trillion calibrate calibration/raw/h100 --output calibration/profiles/h100.yaml
  trillion check my-model/config.json topologies/my-cluster.yaml
  echo '{"op":"gemm","dtype":"bf16","m":4096,"n":7168,"k":2048}' | trillion time - --calibration calibration/profiles/h800.yaml

Glossary:
  scenario      a question: model x cluster x calibration x training x plan; a folder with scenario.yaml
  plan          how the work is laid out: parallel axes, schedule, sharding, recomputation, precision
  calibration   how fast one GPU model with one software stack runs kernels and collectives, each with its origin
  origin        measured (on a device), paper (published), vendor (a datasheet), assumed (our judgement, with the reason)
  GPU-hour      one GPU for one hour, busy or not
  MFU           FLOPs that the model needs, per second and GPU, over the chip's dense peak; the page names peak and convention
  HFU           the same with the FLOPs of recomputation counted
  exposed       communication that no computation hides
  bubble        time in which a pipeline rank has nothing to run
  folded        replicas that behave alike are simulated once; --fidelity full simulates every GPU

Exit codes: 0 done, 1 our bug, 2 bad input, 3 cannot run as asked (infeasible plan, validation outside its tolerance).)";

// The verb that was asked for, ready to run.
using Command = std::function<int(const Streams&)>;

// Everything that the parser writes into; lives as long as the parser.
struct Parsed {
  SimulateOptions simulate;
  CompareOptions compare;
  PlanOptions plan;
  ExplainOptions explain;
  ValidateOptions validate;
  TimeOptions time;
  CalibrateOptions calibrate;
  CheckOptions check;
};

void add_scenario_options(CLI::App& verb, ScenarioOptions& how) {
  verb.add_option("--set", how.overrides, "overrides a key of the scenario or of a file it names: plan.tensor_parallel=8 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  verb.add_option("--seed", how.seed, "of everything that is drawn at random; the same seed gives the same bytes")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  verb.add_option("--threads", how.threads, "at most so many; 0: one per core. The answer does not depend on it")->type_name("N");
  const std::map<std::string, Fidelity> fidelities = {{"folded", Fidelity::folded}, {"full", Fidelity::full}};
  verb.add_option("--fidelity", how.fidelity, "folded: replicas that behave alike are simulated once; full: every GPU")
      ->transform(CLI::Transformer(fidelities))
      ->type_name("folded|full");
}

void add_plan_file(CLI::App& verb, ScenarioOptions& how) {
  verb.add_option(
          "--plan", how.plan_file,
          "Megatron-LM flags in the place of the scenario's plan: a shell fragment, an sbatch script, or a YAML file as --yaml-cfg takes "
          "it; flags of the model must fit the scenario's, --set comes after")
      ->type_name("FILE");
}

void add_export(CLI::App& verb, ExportOptions& options, const char* what) {
  std::map<std::string, Target> targets;
  for (std::size_t i = 0; i < kTargetNames.size(); ++i) targets[std::string(kTargetNames[i])] = static_cast<Target>(i);
  verb.add_option("--export", options.target,
                  std::string(what) +
                      " in a framework's own words, with the prediction and what the framework cannot say in comments, on standard output "
                      "in the page's place; torchtitan-toml is for v0.2.2 and before")
      ->transform(CLI::CheckedTransformer(targets).description(""))
      ->type_name("megatron|megatron-bridge|torchtitan|torchtitan-toml|deepspeed");
  verb.add_option("--export-file", options.file, "the export goes here; deepspeed's JSON has its comments in FILE.launch.sh beside it")
      ->type_name("FILE");
}

void add_json(CLI::App& verb, std::string& json, const char* what) {
  verb.add_option("--json", json, std::string(what) + " as JSON; '-' is standard output, and nothing else goes there")->type_name("FILE");
}

void add_quiet(CLI::App& verb, bool& quiet) { verb.add_flag("--quiet", quiet, "no progress and no notes"); }

void add_simulate(CLI::App& app, SimulateOptions& options) {
  CLI::App& verb = *app.add_subcommand("simulate", "one plan: GPU-hours per trillion tokens, cost, step, memory, where the time goes");
  verb.add_option("scenario", options.scenario, "a folder with scenario.yaml, or the file")->required()->type_name("SCENARIO");
  add_scenario_options(verb, options.how);
  add_plan_file(verb, options.how);
  add_json(verb, options.json, "the report");
  verb.add_option("--output", options.output, "where report.json and report.txt go; outputs/<scenario> if not given")->type_name("DIR");
  verb.add_option("--traffic", options.traffic,
                  "who sends how many bytes to whom as experts are exchanged, one layer and micro-batch, as CSV")
      ->type_name("FILE");
  verb.add_option("--trace", options.trace, "the step's every kernel, for ui.perfetto.dev or chrome://tracing")->type_name("FILE");
  verb.add_option("--trace-ranks", options.trace_ranks, "these pipeline ranks only: 0,15")->delimiter(',')->type_name("LIST");
  add_export(verb, options.hand_over, "the plan");
  add_quiet(verb, options.quiet);
}

void add_compare(CLI::App& app, CompareOptions& options) {
  CLI::App& verb = *app.add_subcommand("compare", "scenarios or reports side by side; the first is the base");
  verb.add_option("inputs", options.inputs, "scenarios, or report.json files")->required()->type_name("SCENARIO|REPORT");
  add_scenario_options(verb, options.how);
  verb.add_flag("--all", options.all, "also figures that do not differ, and every rank, link and origin");
  add_plan_file(verb, options.how);
  add_json(verb, options.json, "the comparison");
  add_quiet(verb, options.quiet);
}

void add_plan(CLI::App& app, PlanOptions& options) {
  CLI::App& verb = *app.add_subcommand("plan", "searches layouts, ranks them, shows the Pareto front");
  verb.add_option("scenario", options.scenario,
                  "a folder with scenario.yaml, or the file; its search: says what may change (the axes are in scenarios/README.md)")
      ->required()
      ->type_name("SCENARIO");
  add_scenario_options(verb, options.how);
  verb.add_option("--top", options.top, "so many ranked layouts; they are exactly the best of all")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  verb.add_option_function<double>(
          "--budget", [&options](double minutes) { options.budget = Seconds{60 * minutes}; }, "minutes of search, then the best so far")
      ->check(CLI::PositiveNumber)
      ->type_name("MINUTES");
  add_plan_file(verb, options.how);
  verb.add_option("--resume", options.resume,
                  "a journal: goes on from what it remembers, and adds to it; a search that was killed loses nothing in it")
      ->type_name("FILE");
  verb.add_flag("--whole", options.whole, "simulate every layout that its bound does not exclude: none is left out by its screened time");
  add_json(verb, options.json, "the result");
  verb.add_option("--output", options.output, "where plan.json and plan.txt go; outputs/<scenario> if not given")->type_name("DIR");
  add_export(verb, options.hand_over, "the best layout");
  add_quiet(verb, options.quiet);
}

void add_explain(CLI::App& app, ExplainOptions& options) {
  CLI::App& verb = *app.add_subcommand("explain", "where a step's time goes, its critical path in words, and what would shorten it most");
  verb.add_option("scenario", options.scenario, "a folder with scenario.yaml, or the file")->required()->type_name("SCENARIO");
  add_scenario_options(verb, options.how);
  add_plan_file(verb, options.how);
  verb.add_option("--measured", options.measured,
                  "what your run shows: '6.3 s' a step, '120 TFLOP/s' or '5200 tokens/s' per GPU; says how much of it is explained")
      ->type_name("VALUE");
  add_json(verb, options.json, "the explanation");
  add_quiet(verb, options.quiet);
}

void add_validate(CLI::App& app, ValidateOptions& options) {
  CLI::App& verb = *app.add_subcommand("validate", "predicted against published, for every scenario that has an expected.yaml");
  verb.add_option("scenarios", options.scenarios, "these only")->type_name("SCENARIO");
  add_scenario_options(verb, options.how);
  add_json(verb, options.json, "the table");
  add_quiet(verb, options.quiet);
}

void add_time(CLI::App& app, TimeOptions& options) {
  CLI::App& verb = *app.add_subcommand("time", "how long one kernel or collective takes alone, one shape per JSON line");
  verb.add_option("shapes", options.shapes, "JSON lines; '-' is standard input")->required()->type_name("SHAPES");
  verb.add_option("--calibration", options.calibration, "the profile to ask")->required()->type_name("FILE");
  verb.add_option("--cluster", options.cluster,
                  "whose links collectives run on, at calibrated rates and as flows on its network; the calibrated machine's if not given")
      ->type_name("FILE");
  add_json(verb, options.json, "the lines with their answers (the default where standard output is no terminal)");
}

void add_calibrate(CLI::App& app, CalibrateOptions& options) {
  CLI::App& verb = *app.add_subcommand("calibrate", "measurements -> profile, with its error on points that the fit did not see");
  verb.add_option("raw", options.raw, "folders or files: the probes' rows, nccl-tests' text or JSON, GEMM timings as CSV, facts.yaml")
      ->required()
      ->type_name("RAW");
  verb.add_option("--output", options.output, "the profile; '-' is standard output")->required()->type_name("FILE");
  add_quiet(verb, options.quiet);
}

void add_check(CLI::App& app, CheckOptions& options) {
  CLI::App& verb = *app.add_subcommand("check", "reads input files and says what they hold, or everything that is wrong with them");
  verb.add_option("files", options.files, "models (config.json too), clusters, profiles, scenarios, expected figures, shapes")
      ->required()
      ->type_name("FILE");
}

std::string hint_for(const std::string& word, const std::vector<std::string>& known) {
  if (const auto nearest = closest_word(word, known)) return "did you mean '" + *nearest + "'?";
  std::string text = "known are";
  for (const std::string& one : known) text += (one == known.front() ? " " : ", ") + one;
  return text;
}

[[noreturn]] void throw_unknown_option(const CLI::App& verb, const std::string& word) {
  std::vector<std::string> known;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  const bool is_option = word.size() > 1 && word.front() == '-';
  const std::string verb_name = verb.get_name();
  throw InputError(Diagnostic{{},
                              is_option ? "unknown option '" + word.substr(0, word.find('=')) + "' of trillion " + verb_name
                                        : "'" + word + "' is one argument too many for trillion " + verb_name,
                              {},
                              is_option ? hint_for(word.substr(0, word.find('=')), known) : "see trillion " + verb_name + " --help"});
}

[[noreturn]] void throw_unknown_verb(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) known.push_back(verb->get_name());
  if (word.front() == '-')
    throw InputError(
        Diagnostic{{}, "option '" + word + "' before the verb", {}, "options follow the verb: trillion simulate SCENARIO " + word});
  throw InputError(Diagnostic{{}, "unknown verb '" + word + "'", {}, hint_for(word, known)});
}

// What the words ask for. Empty: help or the version was asked for, and is printed.
std::optional<Command> parse(std::vector<std::string> arguments, Parsed& parsed, const Streams& streams) {
  CLI::App app(kSummary, "trillion");
  app.set_version_flag("--version", "trillion " TRILLION_VERSION);
  app.footer(kExamples);
  app.require_subcommand(0, 1);
  add_simulate(app, parsed.simulate);
  add_plan(app, parsed.plan);
  add_compare(app, parsed.compare);
  add_explain(app, parsed.explain);
  add_validate(app, parsed.validate);
  add_time(app, parsed.time);
  add_calibrate(app, parsed.calibrate);
  add_check(app, parsed.check);
  app.allow_extras();
  for (CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) verb->allow_extras();

  const bool nothing_asked = arguments.empty();
  const std::set<std::string> alone = {"-h", "--help", "--version"};
  if (!nothing_asked && arguments.front().starts_with('-') && !alone.contains(arguments.front()))
    throw_unknown_verb(app, arguments.front());
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them last first
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    streams.out << app.help();
    return std::nullopt;
  } catch (const CLI::CallForVersion& version) {
    streams.out << version.what() << "\n";
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    const auto verbs = app.get_subcommands();
    if (!verbs.empty() && !verbs.front()->remaining().empty()) throw_unknown_option(*verbs.front(), verbs.front()->remaining().front());
    const std::string name = verbs.empty() ? std::string{} : " " + verbs.front()->get_name();
    throw InputError(Diagnostic{{}, error.what(), {}, "see trillion" + name + " --help"});
  }
  const auto verbs = app.get_subcommands();
  if (verbs.empty()) {
    if (!nothing_asked) throw_unknown_verb(app, app.remaining().front());
    streams.err << app.help();
    throw InputError("no verb: say what to do");
  }
  if (!app.remaining(true).empty()) throw_unknown_option(*verbs.front(), app.remaining(true).front());

  const std::string verb = verbs.front()->get_name();
  if (verb == "simulate") return [&parsed](const Streams& s) { return run_simulate(parsed.simulate, s); };
  if (verb == "plan") return [&parsed](const Streams& s) { return run_plan(parsed.plan, s); };
  if (verb == "compare") return [&parsed](const Streams& s) { return run_compare(parsed.compare, s); };
  if (verb == "explain") return [&parsed](const Streams& s) { return run_explain(parsed.explain, s); };
  if (verb == "validate") return [&parsed](const Streams& s) { return run_validate(parsed.validate, s); };
  if (verb == "time") return [&parsed](const Streams& s) { return run_time(parsed.time, s); };
  if (verb == "calibrate") return [&parsed](const Streams& s) { return run_calibrate(parsed.calibrate, s); };
  if (verb == "check") return [&parsed](const Streams& s) { return run_check(parsed.check, s); };
  throw InternalError("a verb without a command: " + verb);
}

// A full disk behind standard output must not pass for success.
int checked_output(int code, const Streams& streams) {
  if (!streams.out.flush()) throw InputError("cannot write standard output");
  return code;
}

// All of a few, the first of many: a person mends some and asks again.
std::string errors_text(const InputError& error) {
  constexpr std::size_t kMost = 25;
  const std::vector<Diagnostic>& all = error.diagnostics();
  std::string text;
  for (std::size_t i = 0; i < std::min(all.size(), kMost); ++i) text += to_text(all[i]) + "\n";
  if (all.size() > kMost) text += "and " + std::to_string(all.size() - kMost) + " more errors\n";
  return text;
}

}  // namespace

int run_command_line(std::vector<std::string> arguments, const Streams& streams) {
  try {
    Parsed parsed;
    const std::optional<Command> command = parse(std::move(arguments), parsed, streams);
    return checked_output(command ? (*command)(streams) : kExitDone, streams);
  } catch (const InputError& error) {
    streams.err << errors_text(error);
    return kExitBadInput;
  } catch (const std::exception& error) {
    streams.err << "trillion: this is a bug, please report it: " << error.what() << "\n";
    return kExitBug;
  }
}

}  // namespace trillion
