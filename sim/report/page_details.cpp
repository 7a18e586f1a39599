#include "sim/report/page_details.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "sim/base/number_text.h"
#include "sim/report/bar.h"
#include "sim/report/table.h"

namespace trillion {
namespace {

using NamedTime = std::pair<std::string_view, Seconds>;

constexpr int kBarColumns = 30;

std::string gib_text(Bytes bytes) { return fixed_text(bytes / kGiB, 1); }

// One line per part that is not zero: name, time, share of the step, bar.
std::string parts_lines(const std::vector<NamedTime>& parts, Seconds whole, const TextStyle& style) {
  std::string text;
  for (const auto& [name, time] : parts) {
    if (time == Seconds{}) continue;
    const double share = time / whole;
    text +=
        page_line(name, fmt::format("{:>10}  {:>7}  {}", duration_text(time), percent_text(share), bar(share, kBarColumns, style)), style);
  }
  return text;
}

}  // namespace

std::string page_heading(std::string_view title, std::string_view remark, const TextStyle& style) {
  std::string line = "\n" + emphasised(title, Emphasis::heading, style);
  if (!remark.empty()) line += "  " + wrapped(remark, display_width(title) + 2, style);
  return line + "\n";
}

std::string page_line(std::string_view label, std::string_view text, const TextStyle& style) {
  const int indent = kPageIndent + kPageLabel;
  std::string line = std::string(kPageIndent, ' ') + padded_right(label, kPageLabel);
  line += display_width(text) + indent > style.columns ? wrapped(text, indent, style) : std::string(text);
  while (line.back() == ' ') line.pop_back();
  return line + "\n";
}

std::string page_paragraph(const std::string& text, const TextStyle& style) {
  return std::string(kPageIndent, ' ') + wrapped(text, kPageIndent, style) + "\n";
}

std::string page_separator(const TextStyle& style) { return style.unicode ? " · " : " | "; }

std::string phases_section(const StepResult& step, const TextStyle& style) {
  const PhaseSeconds& p = step.phases;
  const std::array<NamedTime, kPartSigns> parts = {{{"forward", p.forward},
                                                    {"backward", p.backward},
                                                    {"weight gradient", p.weight},
                                                    {"forward + backward", p.forward_backward},
                                                    {"bubble", p.bubble},
                                                    {"optimizer", p.optimizer},
                                                    {"other", p.other}}};
  std::string text = page_heading("WHERE THE TIME GOES", "slowest pipeline rank; 'forward + backward' are chunks that overlap", style);
  std::vector<double> values;
  for (const auto& [name, time] : parts) values.push_back(time.value());
  text += std::string(kPageIndent, ' ') + stacked_bar(values, style.columns - 2 * kPageIndent, style) + "\n";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& [name, time] = parts[i];
    if (time == Seconds{}) continue;
    text += page_line(part_sign(i, style) + " " + std::string(name),
                      fmt::format("{:>10}  {:>7}", duration_text(time), percent_text(time / step.time)), style);
  }
  return text;
}

std::string exposed_section(const StepResult& step, const TextStyle& style) {
  const ExposedSeconds& e = step.exposed;
  const std::string lines = parts_lines({{"expert all-to-all", e.expert_all_to_all},
                                         {"pipeline send/receive", e.pipeline_p2p},
                                         {"tensor parallel", e.tensor_parallel},
                                         {"context parallel", e.context_parallel},
                                         {"gradient reduction", e.gradient_reduce},
                                         {"parameter gather", e.parameter_gather},
                                         {"offload to the host", e.host_offload},
                                         {"straggling ranks", e.straggler}},
                                        step.time, style);
  const std::string heading = page_heading("EXPOSED COMMUNICATION", "that no computation hides, on the slowest pipeline rank", style);
  return heading + (lines.empty() ? page_line("none", "", style) : lines);
}

std::string compute_section(const StepResult& step, const TextStyle& style) {
  const ComputeSeconds& c = step.compute;
  const std::string remark = fmt::format("kernels per GPU, mean over ranks: {} of {}", duration_text(c.total()), duration_text(step.time));
  return page_heading("COMPUTATION", remark, style) + parts_lines({{"attention", c.attention},
                                                                   {"experts", c.experts},
                                                                   {"dense feed-forward", c.dense_ffn},
                                                                   {"gate", c.gate},
                                                                   {"embedding and head", c.embedding_and_head},
                                                                   {"norm and elementwise", c.norm_and_elementwise},
                                                                   {"cast and quantise", c.cast_and_quantize},
                                                                   {"recomputation", c.recompute},
                                                                   {"optimizer", c.optimizer}},
                                                                  step.time, style);
}

namespace {

// "fragmentation 3.1, communicators 2.0"
std::string parts_text(const std::vector<NamedBytes>& parts) {
  std::string text;
  for (const NamedBytes& part : parts) {
    if (part.bytes < 0.05 * kGiB) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", part.name, gib_text(part.bytes));
  }
  return text;
}

// The fullest rank by module.
std::string modules_table(const StageMemory& m, const TextStyle& style) {
  Table table({{"", Align::left}, {"parameters"}, {"gradients"}, {"optimizer"}, {"activations"}});
  for (std::size_t i = 0; i < kModuleCount; ++i) {
    const ModuleMemory& module = m.modules[i];
    const Bytes all = module.parameters + module.gradients + module.optimizer + module.activations;
    if (all < 0.05 * kGiB) continue;
    table.add_row({std::string(kModuleNames[i]), gib_text(module.parameters), gib_text(module.gradients), gib_text(module.optimizer),
                   gib_text(module.activations)});
  }
  std::string text = "\n" + page_line("rank " + std::to_string(m.stage), "is the fullest; GiB by module", style);
  text += table.to_text(kPageIndent, style);
  if (const std::string parts = parts_text(m.buffer_parts); !parts.empty()) text += page_line("buffers", parts, style);
  if (const std::string parts = parts_text(m.overhead_parts); !parts.empty()) text += page_line("overhead", parts, style);
  if (m.host.value() > 0) text += page_line("on the host", gib_text(m.host) + " GiB of each GPU's", style);
  return text;
}

}  // namespace

std::string memory_section(const StepResult& step, Bytes usable, const TextStyle& style) {
  Table table({{"rank", Align::right},
               {"parameters", Align::right, Fit::drop},
               {"gradients", Align::right, Fit::drop},
               {"optimizer", Align::right, Fit::drop},
               {"activations", Align::right, Fit::drop},
               {"in flight", Align::right, Fit::drop},
               {"buffers", Align::right, Fit::drop},
               {"overhead", Align::right, Fit::drop},
               {"peak", Align::right},
               {"free", Align::right}});
  Bytes worst;
  const StageMemory* fullest = nullptr;
  for (const StageMemory& m : step.memory) {
    table.add_row({std::to_string(m.stage), gib_text(m.parameters), gib_text(m.gradients), gib_text(m.optimizer), gib_text(m.activations),
                   std::to_string(m.in_flight), gib_text(m.buffers), gib_text(m.overhead), gib_text(m.peak()),
                   gib_text(usable - m.peak())});
    if (!fullest || m.peak() > worst) fullest = &m;
    worst = std::max(worst, m.peak());
  }
  if (table.empty()) return {};
  const bool fits = worst <= usable;
  const std::string verdict = fits ? emphasised("fits", Emphasis::good, style) : emphasised("DOES NOT FIT", Emphasis::bad, style);
  const std::string remark = fmt::format("GiB per pipeline rank, {} usable: {}, {} GiB {} on the fullest rank", gib_text(usable), verdict,
                                         gib_text(fits ? usable - worst : worst - usable), fits ? "free" : "too much");
  return page_heading("MEMORY", remark, style) + table.to_text(kPageIndent, style) + modules_table(*fullest, style);
}

std::string groups_section(const StepResult& step, const TextStyle& style) {
  Table table({{"group", Align::left}, {"GPUs"}, {"apart", Align::right, Fit::drop}, {"nodes"}, {"links", Align::left}});
  for (const GroupPlacement& g : step.groups) {
    const std::string narrow = g.nic_share < 1 ? ", the network leaves " + percent_text(g.nic_share) + " of the NICs" : "";
    table.add_row({g.name, std::to_string(g.size), std::to_string(g.stride), std::to_string(g.nodes), g.links + narrow});
  }
  if (table.empty()) return {};
  return page_heading("GROUPS", "which GPUs talk to each other, as plan.rank_order places them", style) + table.to_text(kPageIndent, style);
}

std::string traffic_section(const StepResult& step, const TextStyle& style) {
  Table table({{"link", Align::left}, {"kind", Align::left, Fit::drop}, {"bytes per step"}, {"mean use"}, {"", Align::left, Fit::drop}});
  for (const LinkTraffic& link : step.traffic) {
    table.add_row(
        {link.name, link.kind, bytes_text(link.bytes_per_step), percent_text(link.utilization), bar(link.utilization, kBarColumns, style)});
  }
  if (table.empty()) return {};
  return page_heading("TRAFFIC", "over all links of a kind; mean use over links and step", style) + table.to_text(kPageIndent, style);
}

namespace {

// Over all data, and the domain and expert that fit best, of all layers.
std::string loads_text(const std::vector<LayerLoad>& layers) {
  double all = 0, hottest = 0;
  for (const LayerLoad& layer : layers) {
    all += layer.all_data.max_over_mean / static_cast<double>(layers.size());
    for (const LoadStatistics& domain : layer.domains) hottest = std::max(hottest, domain.max_over_mean);
  }
  std::string text = fmt::format("{} x over all data", fixed_text(all, 2));
  if (layers.front().domains.size() > 1) text += fmt::format(", up to {} x in one domain alone", fixed_text(hottest, 1));
  return text;
}

}  // namespace

std::string routing_section(const Model& model, const RoutingResult& routing, const TextStyle& style) {
  if (!model.moe) return {};
  const bool forced = routing.balance == Balance::forced;
  std::string text = page_heading("ROUTING", forced ? "FORCED to be balanced: a best case that no trained router reaches" : "", style);
  text += page_line("balancing", kBalanceNames.at(static_cast<std::size_t>(routing.balance)), style);
  text += page_line("busiest expert",
                    fmt::format("{} x the mean expert's tokens in a micro-batch, coefficient of variation {}",
                                fixed_text(routing.tokens_per_expert_max_over_mean, 2), fixed_text(routing.tokens_per_expert_variation, 2)),
                    style);
  if (!routing.layers.empty()) text += page_line("", loads_text(routing.layers), style);
  text += page_line("busiest rank",
                    fmt::format("{} x the mean rank's tokens; busiest NIC {} x the mean NIC's",
                                fixed_text(routing.rank_load_max_over_mean, 2), fixed_text(routing.scale_out_max_over_mean, 2)),
                    style);
  if (routing.dropped_share > 0 || routing.served_rows != 1) {
    text += page_line("capacity",
                      fmt::format("{} of the (token, expert) pairs are dropped; experts compute {} rows a pair",
                                  percent_text(routing.dropped_share), fixed_text(routing.served_rows, 2)),
                      style);
  }
  text += page_line("a token and layer",
                    fmt::format("visits {} nodes; {} between nodes, {} over NVLink (dispatch and combine, forward)",
                                fixed_text(routing.nodes_per_token_mean, 2), bytes_text(routing.bytes_per_token_scale_out),
                                bytes_text(routing.bytes_per_token_scale_up)),
                    style);
  if (routing.limited) {
    text += page_line("without node limit",
                      fmt::format("it would visit {} nodes; {} between nodes", fixed_text(routing.free_nodes_per_token, 2),
                                  bytes_text(routing.free_bytes_per_token_scale_out)),
                      style);
  }
  return text;
}

std::string exchange_section(const ExchangeFlows& flows, const TextStyle& style) {
  Table table({{"way", Align::left},
               {"busiest wire"},
               {"flows, alone"},
               {fmt::format("flows, {} groups", flows.groups)},
               {"", Align::left, Fit::drop}});
  for (const auto& [name, way] : {std::pair{"dispatch", flows.dispatch}, std::pair{"combine", flows.combine}}) {
    const double ratio = way.together / way.busiest_wire - 1;
    const std::string verdict = ratio > 0.01    ? signed_percent_text(ratio) + ": the network holds it up"
                                : ratio < -0.01 ? signed_percent_text(ratio) + ": the network evens it out"
                                                : "the busiest wire sets the pace";
    table.add_row({name, duration_text(way.busiest_wire), duration_text(way.alone), duration_text(way.together), verdict});
  }
  return page_heading("EXCHANGE", "one layer and micro-batch, drawn token by token, as flows at the links' full rates", style) +
         table.to_text(kPageIndent, style);
}

std::string evidence_section(const Scenario& scenario, const StepResult& step, const TextStyle& style) {
  constexpr std::size_t kMostRows = 14;
  constexpr double kLeastShare = 0.002;
  std::array<double, 4> by_origin{};
  Table table({{"share", Align::right}, {"origin", Align::left}, {"part", Align::left, Fit::shrink}, {"source", Align::left, Fit::shrink}});
  std::size_t shown = 0;
  double rest = 0;
  bool extrapolated = false;
  for (const OriginShare& o : step.origins) {
    by_origin.at(static_cast<std::size_t>(o.provenance.origin)) += o.share_of_time;
    if (shown >= kMostRows || o.share_of_time < kLeastShare) {
      rest += o.share_of_time;
      continue;
    }
    ++shown;
    extrapolated = extrapolated || o.extrapolated;
    table.add_row(
        {percent_text(o.share_of_time), to_text(o.provenance.origin), o.parameter + (o.extrapolated ? " *" : ""), o.provenance.source});
  }
  std::string summary = "of the step's kernel time:";
  for (const Origin origin : {Origin::measured, Origin::paper, Origin::vendor, Origin::assumed}) {
    summary += fmt::format("{} {} {}", origin == Origin::measured ? "" : ",", to_text(origin),
                           percent_text(by_origin.at(static_cast<std::size_t>(origin))));
  }
  std::string text = page_heading("EVIDENCE", summary, style);
  if (!table.empty()) text += table.to_text(kPageIndent, style);
  const std::string margin(kPageIndent, ' ');
  if (shown < step.origins.size()) {
    text += margin + fmt::format("and {} more, together {} (all in the JSON report)\n", step.origins.size() - shown, percent_text(rest));
  }
  if (extrapolated) text += margin + "* asked beyond the range of shapes that its source covers\n";
  for (const std::string& sentence : scenario.model.assumed) text += margin + wrapped("assumed: " + sentence, kPageIndent, style) + "\n";
  return text;
}

}  // namespace trillion
