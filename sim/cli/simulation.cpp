#include "sim/cli/simulation.h"

#include <sys/resource.h>

#include <chrono>
#include <utility>
#include <variant>

namespace trillion {
namespace {

// The process's peak so far; Linux counts ru_maxrss in KiB.
Bytes peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * kKiB;
}

}  // namespace

Scenario read_scenario(const std::string& path, const ScenarioOptions& how) {
  Scenario scenario = load_scenario(path, how.overrides);
  scenario.overrides = how.overrides;
  if (how.seed) scenario.seed = *how.seed;
  scenario.fidelity = how.fidelity;
  return scenario;
}

Simulation simulate(const std::string& path, const ScenarioOptions& how) {
  Scenario scenario = read_scenario(path, how);
  const auto begin = std::chrono::steady_clock::now();
  Outcome outcome = estimate(scenario, how.threads);
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  return {std::move(scenario), std::move(outcome), {Seconds{wall.count()}, peak_memory()}};
}

std::string simulation_json(const Simulation& simulation) {
  if (const auto* why = std::get_if<Infeasible>(&simulation.outcome)) return infeasible_json(simulation.scenario, *why);
  return report_json(simulation.scenario, std::get<Estimate>(simulation.outcome), simulation.cost);
}

}  // namespace trillion
