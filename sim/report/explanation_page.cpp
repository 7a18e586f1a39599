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
constexpr std::size_t kMainCauses = 3;
constexpr std::size_t kMostLegs = 12;
constexpr double kNoticeable = kNoticeableGain;  // also the share of a part that is worth a line
constexpr double kLarge = 0.05;                  // a part that no change shortens is worth a word

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

// What only memory forbids: the reason without its parts.
std::string misses_text(const std::vector<TriedChange>& changes, const TextStyle& style) {
  constexpr std::size_t kMost = 4;
  std::string text;
  std::size_t told = 0;
  for (const TriedChange& change : changes) {
    if (runs(change) || told == kMost) continue;
    const std::string& reason = std::get<Infeasible>(change.outcome).reason;
    if (reason.find(" usable on ") == std::string::npos) continue;
    text += page_paragraph(change.what + " does not fit: " + reason.substr(0, reason.find(" (")), style);
    ++told;
  }
  return text;
}

// One GPU's model FLOPs a second, as frameworks log them.
std::string speed_text(const Scenario& s, const StepResult& step) {
  return flops_rate_text(step.model_flops_causal / step.time / static_cast<double>(s.cluster.gpus())) + " per GPU";
}

std::string outcome_text(const Scenario& s, const TriedChange& change) {
  if (!runs(change)) return "cannot run: " + std::get<Infeasible>(change.outcome).reason;
  const auto& step = std::get<StepResult>(change.outcome);
  const char* numbers = change.plan.precision == s.plan.precision ? "" : ", in other arithmetic";
  return fmt::format("saves {}: {} a step, {}{}", percent_text(change.gain), duration_text(step.time), speed_text(s, step), numbers);
}

std::string asked_text(const TriedChange& change, const std::string& megatron, const TextStyle& style) {
  constexpr int kBelow = kPageIndent + 3;
  std::string text = fmt::format("{:{}}{}\n", "", kBelow, wrapped(change.what, kBelow + 2, style));
  return text + fmt::format("{:{}}{}\n", "", kBelow, wrapped("Megatron-LM: " + megatron, kBelow + 2, style));
}

// Parts that cost much and that none of the main causes is, the dearest first.
std::vector<TimePart> untold_parts(const Explanation& e) {
  std::vector<TimePart> untold;
  for (std::size_t i = 1; i < e.parts.size(); ++i) {
    const TimePart& part = e.parts[i];
    const bool told = std::any_of(e.causes.begin(), e.causes.end(), [&](const ToldCause& c) { return c.cause.part == part.name; });
    if (!told && part.time >= e.step.time * kLarge) untold.push_back(part);
  }
  std::stable_sort(untold.begin(), untold.end(), [](const TimePart& a, const TimePart& b) { return b.time < a.time; });
  return untold;
}

std::string numbered_cause(std::size_t number, const std::string& text, const TextStyle& style) {
  return fmt::format("{:>{}}. {}\n", number, kPageIndent + 1, wrapped(text, kPageIndent + 3, style));
}

std::string causes_section(const Scenario& s, const Explanation& e, const TextStyle& style) {
  std::string text = page_heading("MAIN CAUSES", "what a change of the plan would take away, each simulated", style);
  std::size_t number = 0;
  for (const ToldCause& told : e.causes) {
    const TriedChange& change = e.changes[told.cause.change];
    text += numbered_cause(
        ++number,
        fmt::format("{}, {} of the step; {}", told.cause.part, percent_text(told.cause.time / e.step.time), outcome_text(s, change)),
        style);
    text += asked_text(change, told.megatron, style);
  }
  for (const TimePart& part : untold_parts(e)) {
    if (number == kMainCauses) break;
    const std::string share = percent_text(part.time / e.step.time);
    text += numbered_cause(++number,
                           fmt::format("{}, {} of the step: no change of the plan tried is mainly for it; {} is the most there is to gain",
                                       part.name, share, share),
                           style);
  }
  if (e.causes.empty()) text += page_paragraph("no single change of the plan gains more than " + percent_text(kNoticeable), style);
  if (e.all) {
    text += page_paragraph("all these changes at once: " + outcome_text(s, *e.all), style);
    if (runs(*e.all)) text += asked_text(*e.all, e.all_megatron, style);
  }
  return text;
}

// What the simulation assumes and a real run may not keep, where it is known to matter.
std::vector<std::string> taken_for_granted(const Scenario& s) {
  std::vector<std::string> list;
  if (s.calibration.stack.framework.value == Framework::fused) {
    list.push_back(
        "kernels are issued in time: with small micro-batches the host may be too slow, which no stack but PyTorch's is charged with here. "
        "CUDA graphs or larger micro-batches help: --cuda-graph-impl transformer_engine --cuda-graph-modules attn moe_router "
        "moe_preprocess");
  }
  if (s.model.moe && s.training.routing.balance == Balance::forced) {
    list.push_back("every expert gets as many tokens as any other: --set training.routing.balance=none shows the other end");
  }
  if (s.model.moe && s.plan.expert_parallel > 1 && s.plan.expert_exchange == ExpertExchange::deduplicated) {
    list.push_back("a token crosses to a node once, as with DeepEP: --moe-token-dispatcher-type alltoall sends every copy of it");
  }
  if (s.perturbations.none())
    list.push_back("every GPU and link is as fast as the calibrated ones: try --set perturbations.gpu_spread=0.02");
  return list;
}

std::string measured_section(const Scenario& s, const Explanation& e, const TextStyle& style) {
  const Seconds measured = *e.measured;
  StepResult seen = e.step;
  seen.time = measured;
  std::string text = page_heading("MEASURED", "what you see, against what is simulated", style);
  text += page_paragraph(fmt::format("{} a step, {}; simulated {}, {}", duration_text(measured), speed_text(s, seen),
                                     duration_text(e.step.time), speed_text(s, e.step)),
                         style);
  const Seconds open = measured - e.step.time;
  if (measured < e.step.time * e.step.time_low_ratio) {
    return text + page_paragraph("faster than simulated: a kernel or an exchange is slower in the calibration than on your machine", style);
  }
  if (measured <= e.step.time * e.step.time_high_ratio) return text + page_paragraph("within the simulation's 90 % interval", style);
  text += page_paragraph(fmt::format("{}, {} of your step, are in no part below. This is taken for granted:", duration_text(open),
                                     percent_text(open / measured)),
                         style);
  for (const std::string& assumption : taken_for_granted(s)) {
    text += fmt::format("{:{}}- {}\n", "", kPageIndent, wrapped(assumption, kPageIndent + 2, style));
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
  text += page_paragraph(fmt::format("{}{} changes tried: {} gain more than {}, {} do not, {} cannot run",
                                     shown == 0 ? "no single change of the plan does; " : "", e.changes.size(), shown,
                                     percent_text(kNoticeable), useless, refused),
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
  std::string title = s.name + ": why a step takes " + duration_text(e.step.time);
  if (s.extent == Extent::step) title += ", " + speed_text(s, e.step);
  std::string text = fmt::format("{}\n", emphasised(title, Emphasis::heading, style));
  if (e.measured) text += measured_section(s, e, style);
  text += parts_section(e, style);
  if (s.extent == Extent::step) text += causes_section(s, e, style);
  text += path_section(s, e, style);
  if (s.extent == Extent::step) text += changes_section(e, style);
  return text + relief_section(e, style);
}

}  // namespace trillion
