#include "sim/report/plan_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/base/number_text.h"
#include "sim/planner/plan_json.h"
#include "sim/report/figure_text.h"
#include "sim/report/page_details.h"
#include "sim/report/table.h"

namespace trillion {

namespace {

std::string line(const std::string& text, const TextStyle& style) {
  return std::string(kPageIndent, ' ') + wrapped(text, kPageIndent, style) + "\n";
}

double share(Seconds part, const StepResult& step) { return part / step.time; }

Seconds exposed(const StepResult& step) {
  const ExposedSeconds& e = step.exposed;
  return e.expert_all_to_all + e.pipeline_p2p + e.tensor_parallel + e.context_parallel + e.gradient_reduce + e.parameter_gather;
}

std::string counts_text(const PlanSearch& search) {
  const SearchCounts& c = search.counts();
  const auto grouped = [](std::size_t n) { return grouped_text(static_cast<std::int64_t>(n)); };
  std::string text = fmt::format("{} layouts: {} do not fit in memory, {} cannot be among the best by their bound, {} simulated",
                                 grouped(c.enumerated), grouped(c.pruned_by_memory), grouped(c.pruned_by_bound), grouped(c.simulated));
  const std::size_t left = c.enumerated - c.pruned_by_memory - c.pruned_by_bound - c.simulated;
  if (left > 0) text += fmt::format(", {} not looked at: the search was cut, and what is shown is the best so far", grouped(left));
  return text;
}

std::vector<std::string> cells(const std::string& place, const Ranked& r, const Ranked& best) {
  const double more = r.gpu_hours_per_trillion_tokens / best.gpu_hours_per_trillion_tokens - 1;
  return {place,
          count_text(r.gpu_hours_per_trillion_tokens),
          &r == &best ? "" : fmt::format("{}{}", more < 0 ? "" : "+", percent_text(more)),
          r.usd_per_trillion_tokens ? usd_text(*r.usd_per_trillion_tokens) : "",
          fixed_text(r.days, 1),
          percent_text(share(r.step.phases.bubble, r.step)),
          percent_text(share(exposed(r.step), r.step)),
          percent_text(share(r.step.compute.recompute, r.step)),
          bytes_text(r.peak_memory),
          layout_text(r.layout)};
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
                {"peak"},
                {"layout", Align::left}});
}

}  // namespace

std::string layout_text(const Layout& layout) {
  const Plan& p = layout.plan;
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : " ") + part; };
  if (p.tensor_parallel > 1) add(fmt::format("tp{}{}", p.tensor_parallel, p.sequence_parallel ? "+sp" : ""));
  if (p.context_parallel > 1) add(fmt::format("cp{}", p.context_parallel));
  if (p.pipeline_parallel > 1) {
    add(fmt::format("pp{}{}", p.pipeline_parallel, p.virtual_pipeline_stages > 1 ? fmt::format("x{}", p.virtual_pipeline_stages) : ""));
  }
  if (p.expert_parallel > 1) add(fmt::format("ep{}", p.expert_parallel));
  if (p.expert_tensor_parallel > 1) add(fmt::format("etp{}", p.expert_tensor_parallel));
  if (p.data_parallel) add(fmt::format("dp{}", *p.data_parallel));
  add(fmt::format("mbs{}", p.micro_batch_size));
  if (p.pipeline_parallel > 1) add(std::string(kScheduleNames[static_cast<std::size_t>(p.schedule)]));
  if (!p.recompute.empty()) {
    std::string modules;
    for (const RecomputeModule m : p.recompute) {
      modules += (modules.empty() ? "" : "+") + std::string(kRecomputeModuleNames[static_cast<std::size_t>(m)]);
    }
    add("recompute " + modules);
  }
  add(std::string(kShardingNames[static_cast<std::size_t>(p.sharding)]));
  return text;
}

std::string plan_page(const Scenario& s, const PlanSearch& search, std::size_t top, const TextStyle& style) {
  const std::vector<Ranked>& ranked = search.ranked();
  const Ranked& best = ranked.front();
  std::string text = emphasised(fmt::format("{}: {} GPU-hours per trillion tokens with {}", s.name,
                                            count_text(best.gpu_hours_per_trillion_tokens), layout_text(best.layout)),
                                Emphasis::heading, style);
  text = wrapped(text, 0, style) + "\n";
  text += line(counts_text(search), style);

  text += page_heading("RANKED", fmt::format("by {}", kObjectiveNames[static_cast<std::size_t>(s.search.objective)]), style);
  Table table = ranking();
  for (std::size_t i = 0; i < std::min(top, ranked.size()); ++i) table.add_row(cells(std::to_string(i + 1), ranked[i], best));
  const auto own = std::find_if(ranked.begin(), ranked.end(), [&](const Ranked& r) { return layout_flags(s, r.layout).empty(); });
  if (own != ranked.end() && own - ranked.begin() >= static_cast<std::ptrdiff_t>(top)) {
    table.add_row(cells(std::to_string(own - ranked.begin() + 1), *own, best));
  }
  text += table.to_text(kPageIndent, style);

  text += page_heading("PARETO", "GPU-hours, days, memory: none of these is beaten in all three by another that was simulated", style);
  Table front = ranking();
  std::size_t rows = 0;
  for (const std::size_t i : pareto_front(ranked)) {
    if (rows++ < top) front.add_row(cells(std::to_string(i + 1), ranked[i], best));
  }
  text += front.to_text(kPageIndent, style);

  const std::string flags = layout_flags(s, best.layout);
  text += page_heading("THE WINNER", "", style);
  text += line(flags.empty() ? "is the scenario's own plan" : "trillion simulate SCENARIO " + flags, style);
  return text;
}

std::string no_plan_page(const Scenario& s, const PlanSearch& search, const TextStyle& style) {
  std::string text = wrapped(emphasised(s.name + ": no layout can run", Emphasis::heading, style), 0, style) + "\n";
  text += line(counts_text(search), style);
  if (search.near_miss()) {
    text += line(fmt::format("closest: {}: {}", layout_text(search.near_miss()->layout), search.near_miss()->reason), style);
  }
  return text;
}

}  // namespace trillion
