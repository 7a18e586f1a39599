#include "sim/cli/simulation.h"

#include <sys/resource.h>

#include <chrono>
#include <utility>
#include <variant>

#include "sim/cli/megatron_plan.h"

namespace trillion {
namespace {

// The process's peak so far; Linux counts ru_maxrss in KiB.
Bytes peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * kKiB;
}

}  // namespace

ScenarioRead read_scenario(const std::string& path, const ScenarioOptions& how) {
  PlanFile file;
  if (!how.plan_file.empty()) file = read_plan_file(how.plan_file, path, how.overrides);
  Overrides all = file.overrides;
  all.insert(all.end(), how.overrides.begin(), how.overrides.end());
  ScenarioRead read{load_scenario(path, all), std::move(file.notes)};
  read.scenario.overrides = how.overrides;
  if (!how.plan_file.empty()) read.scenario.overrides.insert(read.scenario.overrides.begin(), "--plan " + how.plan_file);
  if (how.seed) read.scenario.seed = *how.seed;
  read.scenario.fidelity = how.fidelity;
  return read;
}

void print_notes(const std::vector<std::string>& notes, const Streams& streams) {
  for (const std::string& note : notes) streams.err << "note: " << note << "\n";
}

Simulation simulate(const std::string& path, const ScenarioOptions& how) {
  ScenarioRead read = read_scenario(path, how);
  const auto begin = std::chrono::steady_clock::now();
  Outcome outcome = estimate(read.scenario, how.threads);
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  return {std::move(read.scenario), std::move(read.notes), std::move(outcome), {Seconds{wall.count()}, peak_memory()}};
}

std::string simulation_json(const Simulation& simulation) {
  if (const auto* why = std::get_if<Infeasible>(&simulation.outcome)) return infeasible_json(simulation.scenario, *why);
  return report_json(simulation.scenario, std::get<Estimate>(simulation.outcome), simulation.cost);
}

}  // namespace trillion
