#include "sim/report/plan_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/base/enum_name.h"
#include "sim/base/number_text.h"
#include "sim/planner/best_by_value.h"
#include "sim/planner/step_reasons.h"
#include "sim/report/figure_text.h"
#include "sim/report/page_details.h"
#include "sim/report/table.h"

namespace trillion {

namespace {

std::string counts_text(const PlanSearch& search) {
  const SearchCounts c = search.counts();
  const auto grouped = [](std::size_t n) { return grouped_text(static_cast<std::int64_t>(n)); };
  std::string text = fmt::format("{} layouts: {} do not fit in memory", grouped(c.enumerated), grouped(c.pruned_by_memory));
  if (c.pruned_by_bound > 0) text += fmt::format(", {} cannot be among the best by their bound", grouped(c.pruned_by_bound));
  if (c.pruned_by_screening > 0) text += fmt::format(", {} are not by their screened time", grouped(c.pruned_by_screening));
  text += fmt::format(", {} simulated whole", grouped(c.simulated));
  if (c.screened > 0) text += fmt::format(" of {} screened", grouped(c.screened));
  if (!search.complete()) {
    text += fmt::format(", {} not looked at to the end: the search was cut, and what is shown is the best so far",
                        grouped(c.enumerated - c.pruned_by_memory - c.simulated));
  }
  return text;
}

std::vector<std::string> cells(const Scenario& s, const PlanSearch& search, const std::string& place, const Ranked& r, const Ranked& best) {
  const StepReasons why = step_reasons(search.clusters()[r.layout.cluster], r);
  const double more = r.gpu_hours_per_trillion_tokens / best.gpu_hours_per_trillion_tokens - 1;
  return {place,
          count_text(r.gpu_hours_per_trillion_tokens),
          &r == &best ? "" : fmt::format("{}{}", more < 0 ? "" : "+", percent_text(more)),
          r.usd_per_trillion_tokens ? usd_text(*r.usd_per_trillion_tokens) : "",
          fixed_text(r.days, 1),
          percent_text(why.bubble),
          percent_text(why.exposed),
          percent_text(why.recompute),
          percent_text(why.below_peak),
          percent_text(why.step_end),
          bytes_text(r.peak_memory),
          (search.clusters().size() > 1 ? cluster_name(s, r.layout) + ": " : "") + layout_text(r.layout)};
}

Table ranking() {
  return Table({{""},
                {"GPU-h/Ttok"},
                {""},
                {"USD/Ttok", Align::right, Fit::drop},
                {"days", Align::right, Fit::drop},
                {"bubble"},
                {"exposed"},
                {"recomp."},
                {"kernels", Align::right, Fit::drop},
                {"end", Align::right, Fit::drop},
                {"peak"},
                {"layout", Align::left}});
}

// "12.0 % more"; from ten times on "55 times as much".
std::string excess_text(double ratio) {
  return ratio < 10 ? percent_text(ratio - 1) + " more" : grouped_text(std::llround(ratio)) + " times as much";
}

// Where nobody keeps the budget or the deadline: who comes closest, and what is missing.
std::string limits_text(const Scenario& s, const PlanSearch& search, const TextStyle& style) {
  const Ranked& best = search.ranked().front();
  std::string text;
  const Seconds run{best.days * 86400};
  if (s.search.deadline && run > *s.search.deadline) {
    text += page_paragraph(fmt::format("no layout ends within {}: the closest takes {}, {}", duration_text(*s.search.deadline),
                                       duration_text(run), excess_text(run / *s.search.deadline)),
                           style);
  }
  if (s.search.budget && best.usd && *best.usd > *s.search.budget) {
    text += page_paragraph(fmt::format("no layout costs at most {}: the closest costs {}, {}", usd_text(*s.search.budget),
                                       usd_text(*best.usd), excess_text(*best.usd / *s.search.budget)),
                           style);
  }
  return text;
}

// The best layout of each cluster and size: what another cluster, or more of it, would cost.
std::string by_size_text(const Scenario& s, const PlanSearch& search, const TextStyle& style) {
  const std::vector<Ranked>& ranked = search.ranked();
  const std::vector<std::size_t> best = best_by_size(ranked);
  if (best.size() < 2) return "";
  Table table({{"cluster", Align::left}, {"size"}, {"GPU-h/Ttok"}, {"USD/Ttok"}, {"days"}, {"USD"}, {"peak"}, {"layout", Align::left}});
  for (const std::size_t i : best) {
    const Ranked& r = ranked[i];
    const std::int64_t gpus = r.layout.nodes * search.clusters()[r.layout.cluster].cluster.gpus_per_node;
    table.add_row({cluster_name(s, r.layout), fmt::format("{} GPUs", gpus), count_text(r.gpu_hours_per_trillion_tokens),
                   r.usd_per_trillion_tokens ? usd_text(*r.usd_per_trillion_tokens) : "", fixed_text(r.days, 1),
                   r.usd ? usd_text(*r.usd) : "", bytes_text(r.peak_memory), layout_text(r.layout)});
  }
  return page_heading("BY SIZE", "the best layout of each", style) + table.to_text(kPageIndent, style);
}

// "schedule   1f1b, dualpipe-v +1.9 %, zb-v ~ +6.2 %, gpipe: none fits"
std::string by_value_text(const Scenario& s, const PlanSearch& search, const TextStyle& style) {
  const std::vector<AxisBests> axes = best_by_value(s, search);
  if (axes.empty()) return "";
  const double least = search.score(search.ranked().front()).value;
  std::string text = page_heading("BY VALUE", "of each axis, the best layout that has it, over the winner; ~ by its screened time", style);
  std::size_t width = 0;
  for (const AxisBests& axis : axes) width = std::max(width, axis.axis.size());
  for (const AxisBests& axis : axes) {
    std::string values;
    for (const BestOfValue& v : axis.values) {
      values += (values.empty() ? "" : ", ") + v.value;
      if (!v.best) {
        values += ": none fits";
        continue;
      }
      const double more = v.best->score.value / least - 1;
      if (more == 0 && v.best->how == LookedAt::How::simulated) continue;
      values += fmt::format("{}{}", v.best->how == LookedAt::How::simulated ? " " : " ~ ", signed_percent_text(more));
      if (v.best->score.beyond > 0) values += " beyond the limits";
    }
    const int indent = kPageIndent + static_cast<int>(width) + 2;
    text +=
        std::string(kPageIndent, ' ') + axis.axis + std::string(width + 2 - axis.axis.size(), ' ') + wrapped(values, indent, style) + "\n";
  }
  return text;
}

// "+-4.4 %": what is known of it, and from whom.
std::string interval_text(const Lever& lever) {
  return (lever.interval ? "\u00b1" + percent_text(*lever.interval) : "") + (lever.interval ? " " : "") + to_text(lever.provenance.origin);
}

// What the winner costs over the best within the interval; infinite where it no longer fits there.
std::string cost_text(double cost) {
  if (cost <= 0) return "";
  return std::isfinite(cost) ? percent_text(cost) : "no room";
}

std::string sensitivity_text(const Scenario& s, const SensitivityAnalysis& analysis, const PlanSearch& search, const TextStyle& style) {
  constexpr std::size_t kRows = 8;
  std::string text =
      page_heading("WHAT WOULD CHANGE THE CHOICE",
                   fmt::format("each alone, from halved to doubled; {} layouts contend, simulated ones that are the best of some value of "
                               "an axis; what was only screened (~ above) does not; may cost: within the interval, or 10 %",
                               analysis.contenders().size()),
                   style);
  if (!analysis.done()) text += page_paragraph("not looked at to the end", style);
  if (analysis.found().empty()) return text + page_paragraph("nothing that was looked at", style);
  Table table(
      {{"quantity", Align::left}, {"known to", Align::left}, {"changes at"}, {"may cost"}, {"then wins", Align::left, Fit::shrink}});
  for (std::size_t i = 0; i < std::min(kRows, analysis.found().size()); ++i) {
    const Sensitivity& found = analysis.found()[i];
    const Tipping& t = *found.nearest();
    const std::string whose =
        found.lever.cluster && !s.search.clusters.empty() ? s.search.clusters.at(*found.lever.cluster).name + ": " : "";
    const Ranked& wins = search.ranked()[analysis.contenders()[t.wins]];
    table.add_row({whose + found.lever.name, interval_text(found.lever), (t.simulated_whole ? "" : "~ ") + signed_percent_text(t.change),
                   cost_text(found.could_cost),
                   fmt::format("{}: {}{}", analysis.contenders()[t.wins] + 1,
                               search.clusters().size() > 1 ? cluster_name(s, wins.layout) + ": " : "", layout_text(wins.layout))});
  }
  return text + table.to_text(kPageIndent, style);
}

}  // namespace

std::string layout_text(const Layout& layout) {
  const Plan& p = layout.plan;
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : " ") + part; };
  if (p.tensor_parallel > 1) {
    add(fmt::format("tp{}{}", p.tensor_parallel, p.sequence_parallel ? "+sp" : ""));
    if (p.tensor_parallel_overlap != TensorOverlap::bulk) text += "+" + name_of(kTensorOverlapNames, p.tensor_parallel_overlap);
  }
  if (p.context_parallel > 1) {
    add(fmt::format("cp{}", p.context_parallel));
    if (p.context_parallel_method != ContextParallelMethod::all_gather) {
      text += "+" + name_of(kContextParallelMethodNames, p.context_parallel_method);
    }
  }
  if (p.pipeline_parallel > 1) {
    add(fmt::format("pp{}{}", p.pipeline_parallel, p.virtual_pipeline_stages > 1 ? fmt::format("x{}", p.virtual_pipeline_stages) : ""));
  }
  if (p.expert_parallel > 1) add(fmt::format("ep{}", p.expert_parallel));
  if (p.expert_tensor_parallel > 1) add(fmt::format("etp{}", p.expert_tensor_parallel));
  if (p.data_parallel) add(fmt::format("dp{}", *p.data_parallel));
  add(fmt::format("mbs{}", p.micro_batch_size));
  if (p.pipeline_parallel > 1) add(p.schedule_name());
  if (!p.recompute.empty()) {
    std::string modules;
    for (const RecomputeModule m : p.recompute) {
      modules += (modules.empty() ? "" : "+") + std::string(kRecomputeModuleNames[static_cast<std::size_t>(m)]);
    }
    add("recompute " + modules);
  }
  for (const Offload o : p.offload) add("offload " + name_of(kOffloadNames, o));
  add(name_of(kShardingNames, p.sharding));
  if (p.sharding_group) text += fmt::format("/{}", *p.sharding_group);
  if (!p.overlap_gradient_reduce) add("late-reduce");
  if (p.overlap_parameter_gather) add("gather-ahead");
  if (p.rank_order != kMegatronOrder) add(to_text(p.rank_order));
  return text;
}

std::string plan_page(const Scenario& s, const PlanAnswer& answer, const TextStyle& style) {
  const PlanSearch& search = answer.search;
  const std::size_t top = answer.top;
  const std::vector<Ranked>& ranked = search.ranked();
  const Ranked& best = ranked.front();
  std::string text = emphasised(fmt::format("{}: {} GPU-hours per trillion tokens with {}", s.name,
                                            count_text(best.gpu_hours_per_trillion_tokens), layout_text(best.layout)),
                                Emphasis::heading, style);
  text = wrapped(text, 0, style) + "\n";
  text += limits_text(s, search, style);
  text += page_paragraph(counts_text(search), style);
  if (const ScreeningError e = search.screening_error(); e.layouts > 0) {
    text += page_paragraph(
        fmt::format("screened times against simulated ones: {} off in the median, {} too long and {} too short at most, over {} "
                    "layouts; {} was allowed for",
                    percent_text(e.median), percent_text(e.largest_over), percent_text(e.largest_under),
                    grouped_text(static_cast<std::int64_t>(e.layouts)), percent_text(e.allowance)),
        style);
  }

  text += page_heading("RANKED", fmt::format("by {}", kObjectiveNames[static_cast<std::size_t>(s.search.objective)]), style);
  Table table = ranking();
  for (std::size_t i = 0; i < std::min(top, ranked.size()); ++i) table.add_row(cells(s, search, std::to_string(i + 1), ranked[i], best));
  const auto own = std::find_if(ranked.begin(), ranked.end(), [&](const Ranked& r) { return layout_flags(s, r.asked).empty(); });
  if (own != ranked.end() && own - ranked.begin() >= static_cast<std::ptrdiff_t>(top)) {
    table.add_row(cells(s, search, std::to_string(own - ranked.begin() + 1), *own, best));
  }
  text += table.to_text(kPageIndent, style);

  text += page_heading(
      "PARETO", "GPU-hours, days, memory: none is beaten in all three by another that was simulated; up to half again the winner", style);
  Table front = ranking();
  std::size_t rows = 0;
  for (const std::size_t i : pareto_front(ranked)) {
    if (rows++ < top) front.add_row(cells(s, search, std::to_string(i + 1), ranked[i], best));
  }
  text += front.to_text(kPageIndent, style);

  text += by_size_text(s, search, style);
  text += by_value_text(s, search, style);
  if (answer.sensitivity != nullptr) text += sensitivity_text(s, *answer.sensitivity, search, style);

  const std::string flags = layout_flags(s, best.asked);
  text += page_heading("THE WINNER", "", style);
  text += page_paragraph(flags.empty() ? "is the scenario's own plan" : "trillion simulate SCENARIO " + flags, style);
  return text;
}

std::string no_plan_page(const Scenario& s, const PlanSearch& search, const TextStyle& style) {
  std::string text = wrapped(emphasised(s.name + (search.complete() ? ": no layout can run" : ": cut before a layout was simulated"),
                                        Emphasis::heading, style),
                             0, style) +
                     "\n";
  if (search.layouts().empty()) {
    return text +
           page_paragraph(
               "no combination of the values under search: makes a layout: sizes must divide the GPUs (" + grouped_text(s.cluster.gpus()) +
                   " in the scenario) and what the model has of heads, layers and experts, replicas times micro_batch_size the batch (" +
                   grouped_text(s.training.global_batch_size) + " sequences)",
               style);
  }
  text += page_paragraph(counts_text(search), style);
  if (search.near_miss()) {
    text += page_paragraph(
        fmt::format("closest: {}: {}", layout_text(search.near_miss()->layout),
                    bytes_text(search.near_miss()->peak) + " at least, " + bytes_text(search.near_miss()->excess) + " too much"),
        style);
  }
  return text;
}

}  // namespace trillion
