#include "sim/report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "sim/base/number_text.h"
#include "sim/estimate/result_json.h"
#include "sim/report/page_details.h"

namespace trillion {
namespace {

std::string head(const Scenario& scenario, const TextStyle& style) {
  std::string text = emphasised(scenario.name, Emphasis::heading, style);
  if (!scenario.question.empty()) text += ": " + wrapped(scenario.question, display_width(scenario.name) + 2, style);
  text += "\n";
  for (const auto& [label, file] : {std::pair{"model", scenario.model_file}, std::pair{"cluster", scenario.cluster_file},
                                    std::pair{"calibration", scenario.calibration_file}}) {
    text += page_line(label, file, style);
  }
  for (const std::string& change : scenario.overrides) text += page_line("changed", change, style);
  return text;
}

std::string plan_line(const Scenario& scenario, const StepResult& step, const TextStyle& style) {
  const Plan& p = scenario.plan;
  const std::string separator = page_separator(style);
  std::string text = fmt::format("{} GPUs = data {}", grouped_text(scenario.cluster.gpus()), step.data_parallel);
  const auto axis = [&](const char* name, std::int64_t size) {
    if (size > 1) text += fmt::format(" x {} {}", name, size);
  };
  axis("pipeline", p.pipeline_parallel);
  axis("tensor", p.tensor_parallel);
  axis("context", p.context_parallel);
  if (p.expert_parallel > 1) text += fmt::format("{}expert parallel {}", separator, p.expert_parallel);
  if (p.expert_parallel > 1 && p.expert_exchange == ExpertExchange::all_to_all) text += " by all-to-all";
  text += fmt::format("{}{}{}{}{}{}", separator, p.schedule_name(), separator, kShardingNames.at(static_cast<std::size_t>(p.sharding)),
                      separator, kPrecisionNames.at(static_cast<std::size_t>(p.precision)));
  text += fmt::format("{}{} micro-batches of {} sequence{}", separator, step.micro_batches, p.micro_batch_size,
                      p.micro_batch_size == 1 ? "" : "s");
  if (!p.recompute.empty()) {
    text += separator + "recomputes";
    for (const RecomputeModule module : p.recompute) text += fmt::format(" {}", kRecomputeModuleNames.at(static_cast<std::size_t>(module)));
  }
  for (const Offload what : p.offload) text += fmt::format("{}{} on the host", separator, kOffloadNames.at(static_cast<std::size_t>(what)));
  return page_line("plan", text, style);
}

// A later phase of the run: "62.9B tokens · 61.4K GPU-hours · 1 000 steps of 1 920 sequences of 32 768 tokens, 110 s each".
std::string phase_line(const PhaseResult& phase, const TextStyle& style) {
  const std::string separator = page_separator(style);
  return page_line(phase.name,
                   fmt::format("{} tokens{}{} GPU-hours{}{} steps of {} sequences of {} tokens, {} each", count_text(phase.tokens),
                               separator, count_text(phase.gpu_hours), separator, grouped_text(std::llround(phase.steps)),
                               grouped_text(phase.global_batch_size), grouped_text(phase.sequence_length), duration_text(phase.step_time)),
                   style);
}

// "PER TRILLION TOKENS    180.8K GPU-hours · $361.7K": the question's answer, with its interval.
std::string answer_section(const Scenario& scenario, const Estimate& estimate, const TextStyle& style) {
  const std::string separator = page_separator(style);
  const Answer& a = estimate.answer;
  std::string figure = count_text(a.gpu_hours_per_trillion_tokens) + " GPU-hours";
  if (a.usd_per_trillion_tokens) figure += separator + usd_text(*a.usd_per_trillion_tokens);
  std::string text = page_heading("ANSWER", "", style);
  text += page_line("per trillion tokens", emphasised(figure, Emphasis::heading, style), style);
  text += page_line("", fmt::format("90 % interval {} to {} GPU-hours", count_text(a.low), count_text(a.high)), style);
  if (scenario.cluster.price) {
    const double per_hour = (scenario.cluster.price->per_gpu * kHour).value();
    const Provenance& source = scenario.cluster.price->provenance;
    text +=
        page_line("", fmt::format("at {} per GPU-hour ({}: {})", usd_text(Usd{per_hour}), to_text(source.origin), source.source), style);
  }
  if (!estimate.run) return text;
  const RunResult& run = *estimate.run;
  std::string whole = fmt::format("{} tokens{}{} GPU-hours{}{} days", count_text(run.tokens), separator, count_text(run.gpu_hours),
                                  separator, fixed_text(run.days, 1));
  if (run.usd) whole += separator + usd_text(*run.usd);
  if (run.energy) whole += fmt::format("{}at most {} GWh", separator, significant_text(run.energy->value() / 3.6e12, 3));
  text += page_line("whole run", whole, style);
  std::string phases = fmt::format("{} GPU-hours per trillion tokens", count_text(run.gpu_hours_per_trillion_tokens));
  const auto later = std::find_if(run.phases.begin(), run.phases.end(), [](const PhaseResult& phase) { return !phase.name.empty(); });
  if (later - run.phases.begin() > 1) {
    phases += fmt::format(", {} batch sizes from {} to {} sequences simulated", later - run.phases.begin(),
                          grouped_text(run.phases.front().global_batch_size), grouped_text(std::prev(later)->global_batch_size));
  }
  text += page_line("", phases, style);
  for (auto phase = later; phase != run.phases.end(); ++phase) text += phase_line(*phase, style);
  return text;
}

std::string peak_text(const Scenario& scenario, const Conventions& conventions) {
  return fmt::format("{}, dense {} of one {}", flops_rate_text(conventions.peak),
                     conventions.peak_precision == Precision::fp8 ? "FP8" : "BF16", scenario.cluster.gpu.name);
}

constexpr double kHostBound = 0.9;  // of the step

// Hosts of one kind differ twofold in what a launch takes them.
std::string host_line(const StepResult& step, const TextStyle& style) {
  const double share = step.host_issue / step.time;
  std::string text = fmt::format("{} to issue the kernels, {} of the step", duration_text(step.host_issue), percent_text(share));
  if (share > kHostBound) text += ": host-bound";
  return page_line("host", text + "; as the profile's host, others take half or twice as long", style);
}

std::string step_section(const Scenario& scenario, const Estimate& estimate, const TextStyle& style) {
  const std::string separator = page_separator(style);
  const StepResult& step = estimate.step;
  const Utilization used = utilization(scenario, estimate);
  const bool pair = scenario.extent == Extent::overlapped_pair;
  const double per_second = step.tokens / step.time.value();
  const std::string remark = pair ? fmt::format("one overlapped pair of chunks of {} layers, on one GPU", scenario.pair_layers)
                                  : fmt::format("{} sequences of {} tokens", grouped_text(scenario.training.global_batch_size),
                                                grouped_text(scenario.training.sequence_length));
  std::string text = page_heading(pair ? "PAIR" : "STEP", remark, style);
  text += page_line("time", duration_text(step.time), style);
  const double gpus = pair ? 1 : static_cast<double>(scenario.cluster.gpus());
  text += page_line("tokens",
                    fmt::format("{} per step{}{}/s{}{}/day{}{}/s per GPU", count_text(step.tokens), separator, count_text(per_second),
                                separator, count_text(per_second * kDay.value()), separator, count_text(per_second / gpus)),
                    style);
  text += page_line("MFU, causal attention",
                    fmt::format("{} = {} per GPU of {}", percent_text(used.mfu_causal), flops_rate_text(used.causal),
                                peak_text(scenario, estimate.conventions)),
                    style);
  text += page_line("MFU, full attention",
                    fmt::format("{} = {} per GPU", percent_text(used.mfu_noncausal), flops_rate_text(used.noncausal)), style);
  text += page_line("HFU, causal attention", fmt::format("{}, recomputation counted", percent_text(used.hfu)), style);
  if (step.host_issue.value() > 0) text += host_line(step, style);
  return text;
}

std::string conventions_section(const Scenario& scenario, const Estimate& estimate, const TextStyle& style) {
  const TokenFlops& flops = estimate.token_flops;
  std::string text = page_heading("CONVENTIONS", "", style);
  text += page_line("model",
                    fmt::format("{} parameters, {} activated per token", count_text(static_cast<double>(estimate.size.total)),
                                count_text(static_cast<double>(estimate.size.activated))),
                    style);
  std::string counted = fmt::format("{} per token with causal attention, {} with full; forward and backward, no recomputation",
                                    flops_text(flops.causal), flops_text(flops.noncausal));
  if (estimate.size.mtp > 0) {
    counted += fmt::format("; the {} of the multi-token-prediction modules cost time but are not in MFU", flops_text(flops.mtp));
  }
  text += page_line("FLOPs", counted, style);
  std::string peak = peak_text(scenario, estimate.conventions) + ", no structured sparsity";
  if (scenario.plan.precision == Precision::fp8 && estimate.conventions.peak_precision == Precision::bf16) {
    peak += "; FP8 GEMMs may exceed it";
  }
  text += page_line("peak", peak, style);
  text += page_line("memory",
                    fmt::format("{} usable of the {} installed; GiB = 2^30 bytes", bytes_text(estimate.conventions.usable_memory),
                                bytes_text(scenario.cluster.gpu.memory)),
                    style);
  text += page_line("GPU-hours", "every GPU of the cluster, for as long as the steps take; failures, restarts and evaluation are not in it",
                    style);
  text +=
      page_line("simulated",
                fmt::format("{} kernels and communications as {} tasks, {} events, {}, seed {}",
                            grouped_text(static_cast<std::int64_t>(estimate.step.kernels)),
                            grouped_text(static_cast<std::int64_t>(estimate.step.tasks)),
                            grouped_text(static_cast<std::int64_t>(estimate.step.events)),
                            scenario.fidelity == Fidelity::full ? "every GPU" : "replicas that behave alike once (folded)", scenario.seed),
                style);
  return text;
}

}  // namespace

std::string report_page(const Scenario& scenario, const Estimate& estimate, const TextStyle& style) {
  const StepResult& step = estimate.step;
  std::string text = head(scenario, style) + plan_line(scenario, step, style);
  text += answer_section(scenario, estimate, style);
  text += step_section(scenario, estimate, style);
  text += phases_section(step, style);
  text += exposed_section(step, style);
  text += compute_section(step, style);
  text += memory_section(step, estimate.conventions.usable_memory, style);
  text += groups_section(step, style);
  text += traffic_section(step, style);
  text += routing_section(scenario.model, step.routing, style);
  text += evidence_section(scenario, step, style);
  text += conventions_section(scenario, estimate, style);
  return text;
}

std::string infeasible_page(const Scenario& scenario, const Infeasible& infeasible, const TextStyle& style) {
  std::string text = head(scenario, style);
  text += page_heading("CANNOT RUN", "", style);
  const std::string margin(kPageIndent, ' ');
  text += margin + wrapped(infeasible.reason, kPageIndent, style) + "\n";
  if (infeasible.help.empty()) return text;
  text += page_heading("WHAT WOULD HELP", "", style);
  for (const std::string& help : infeasible.help) text += margin + "- " + wrapped(help, kPageIndent + 2, style) + "\n";
  return text;
}

}  // namespace trillion
