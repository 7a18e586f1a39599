#include "sim/report/explanation_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "sim/base/number_text.h"
#include "sim/report/bar.h"
#include "sim/report/figure_text.h"
#include "sim/report/page_details.h"
#include "sim/report/table.h"

namespace trillion {

namespace {

constexpr std::size_t kMostChanges = 5;
constexpr std::size_t kMostLegs = 12;
constexpr double kNoticeable = 0.002;  // gain or share that is worth a line

Seconds abs(Seconds t) { return t.value() < 0 ? t * -1.0 : t; }

std::string parts_section(const Explanation& e, const TextStyle& style) {
  std::string text = page_heading("WHERE THE TIME GOES", "one GPU's step; the parts add up", style);
  Table table({{"part", Align::left}, {"time"}, {"share"}, {"", Align::left, Fit::shrink}});
  for (const TimePart& part : e.parts) {
    const double share = part.time / e.step.time;
    if (abs(part.time) < e.step.time * kNoticeable) continue;
    table.add_row({part.name, duration_text(part.time), percent_text(share), bar(share, 40, style)});
  }
  return text + table.to_text(kPageIndent, style);
}

std::string leg_text(const PathLeg& leg, bool pipeline) {
  const Seconds time = (leg.end - leg.start).seconds();
  std::string text = fmt::format("{} to {}: ", duration_text(leg.start.seconds()), duration_text(leg.end.seconds()));
  if (!pipeline) {
    text += "runs";
  } else if (leg.visits == 1) {
    text += fmt::format("stays on pipeline rank {}", leg.first_rank);
  } else {
    text += fmt::format("passes over {} ranks, from {} to {}", leg.visits, leg.first_rank, leg.last_rank);
  }
  text += leg.first_action == leg.last_action ? fmt::format(" in {}", leg.first_action)
                                              : fmt::format(" from {} to {}", leg.first_action, leg.last_action);
  text += fmt::format("; {} computing", percent_text(leg.compute / time));
  if (!leg.longest_wait.empty()) text += fmt::format(", {} in {}", percent_text(leg.longest_wait_time / time), leg.longest_wait);
  return text + ".";
}

std::string path_section(const Scenario& s, const Explanation& e, const TextStyle& style) {
  std::string text = page_heading("CRITICAL PATH", "what would have to be faster for the step to be shorter", style);
  const bool pipeline = s.plan.pipeline_parallel > 1;
  std::size_t told = 0;
  for (const PathLeg& leg : e.path.legs) {
    if (told++ == kMostLegs) break;
    text += fmt::format("{:>{}}. {}\n", told, kPageIndent + 1, wrapped(leg_text(leg, pipeline), kPageIndent + 3, style));
  }
  if (e.path.legs.size() > kMostLegs) text += fmt::format("{:>{}}and {} more stretches\n", "", kPageIndent, e.path.legs.size() - kMostLegs);
  Table table({{"kernel or communication", Align::left}, {"on the path"}, {"share"}});
  std::size_t rows = 0;
  for (const TimePart& part : e.path.by_kernel) {
    if (rows == 10 || part.time / e.step.time < kNoticeable) break;
    table.add_row({part.name, duration_text(part.time), percent_text(part.time / e.step.time)});
    ++rows;
  }
  return text + "\n" + table.to_text(kPageIndent, style);
}

bool runs(const TriedChange& change) { return std::holds_alternative<StepResult>(change.outcome); }

std::string line(const std::string& text, const TextStyle& style) {
  return std::string(kPageIndent, ' ') + wrapped(text, kPageIndent, style) + "\n";
}

// What only memory forbids: the reason without its parts.
std::string misses_text(const std::vector<TriedChange>& changes, const TextStyle& style) {
  constexpr std::size_t kMost = 4;
  std::string text;
  std::size_t told = 0;
  for (const TriedChange& change : changes) {
    if (runs(change) || told == kMost) continue;
    const std::string& reason = std::get<Infeasible>(change.outcome).reason;
    if (reason.find(" usable on ") == std::string::npos) continue;
    text += line(change.what + " does not fit: " + reason.substr(0, reason.find(" (")), style);
    ++told;
  }
  return text;
}

std::string changes_section(const Explanation& e, const TextStyle& style) {
  std::string text =
      page_heading("WHAT WOULD SHORTEN THE STEP", "one change at a time, each simulated; same model, tokens and batch", style);
  Table table({{"gain"}, {"step"}, {"fullest GPU"}, {"change", Align::left, Fit::shrink}});
  std::size_t shown = 0, useless = 0, refused = 0;
  for (const TriedChange& change : e.changes) {
    if (!runs(change)) {
      ++refused;
    } else if (change.gain < kNoticeable) {
      ++useless;
    } else if (shown++ < kMostChanges) {
      const auto& step = std::get<StepResult>(change.outcome);
      Bytes peak;
      for (const StageMemory& m : step.memory) peak = std::max(peak, m.peak());
      table.add_row({percent_text(change.gain), duration_text(step.time), bytes_text(peak), change.what});
    }
  }
  if (!table.empty()) text += table.to_text(kPageIndent, style);
  text += line(fmt::format("{}{} changes tried: {} gain more than {}, {} do not, {} cannot run",
                           shown == 0 ? "no single change of the plan does; " : "", e.changes.size(), shown, percent_text(kNoticeable),
                           useless, refused),
               style);
  return text + misses_text(e.changes, style);
}

std::string relief_section(const Explanation& e, const TextStyle& style) {
  Table table({{"gain"}, {"if", Align::left}});
  for (const TriedChange& change : e.relieved) {
    if (runs(change)) table.add_row({percent_text(change.gain), change.what});
  }
  if (table.empty()) return {};
  return page_heading("WHAT BINDS", "what the plan cannot change", style) + table.to_text(kPageIndent, style);
}

}  // namespace

std::string explanation_page(const Scenario& s, const Explanation& e, const TextStyle& style) {
  std::string text = fmt::format("{}\n", emphasised(s.name + ": why a step takes " + duration_text(e.step.time), Emphasis::heading, style));
  text += parts_section(e, style) + path_section(s, e, style);
  if (s.extent == Extent::step) text += changes_section(e, style);
  return text + relief_section(e, style);
}

}  // namespace trillion
