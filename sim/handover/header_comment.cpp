#include "sim/handover/header_comment.h"

#include <algorithm>
#include <sstream>

#include "sim/base/number_text.h"
#include "sim/estimate/price.h"

namespace trillion {
namespace {

constexpr std::size_t kCommentColumns = 120;

// One line of comment, continued under its text where it is too long.
std::string comment(const std::string& text, std::size_t indent = 0) {
  std::istringstream words(text);
  std::string out, line = "#" + std::string(indent + 1, ' ');
  bool empty = true;
  for (std::string word; words >> word;) {
    if (!empty && line.size() + 1 + word.size() > kCommentColumns) {
      out += line + "\n";
      line = "#" + std::string(indent + 3, ' ');
      empty = true;
    }
    line += (empty ? "" : " ") + word;
    empty = false;
  }
  return out + line + "\n";
}

std::string hours_text(const Scenario& s, const StepResult& step) {
  const double hours = gpu_hours(step.time, s.cluster.gpus()) / step.tokens * 1e12;
  std::string text = count_text(hours) + " GPU-hours per trillion tokens (90 % interval " + count_text(hours * step.time_low_ratio) +
                     " to " + count_text(hours * step.time_high_ratio) + ")";
  if (const auto usd = rent(hours, s.cluster)) text += ", " + usd_text(*usd);
  return text;
}

std::string prediction(const Scenario& s, const StepResult& step) {
  const double gpus = static_cast<double>(s.cluster.gpus());
  const double per_gpu = step.tokens / step.time.value() / gpus;
  Bytes peak;
  for (const StageMemory& m : step.memory) peak = std::max(peak, m.peak());
  std::string text = comment("step " + duration_text(step.time) + ", " + count_text(per_gpu) + " tokens/s/GPU, " +
                                 flops_rate_text(step.model_flops_causal / step.time / gpus) + "/GPU (causal attention, no recomputation)",
                             2);
  text += comment(hours_text(s, step), 2);
  return text + comment("fullest GPU " + bytes_text(peak) + " of " + bytes_text(s.cluster.gpu.usable_memory) + " usable", 2);
}

std::string sizes(const Scenario& s) {
  const Plan& p = s.plan;
  const std::int64_t gpus = s.cluster.gpus();
  const auto n = [](std::int64_t value) { return std::to_string(value); };
  std::string text = comment(n(gpus) + " GPUs, " + n(s.cluster.nodes) + " nodes of " + n(s.cluster.gpus_per_node) + " " +
                             s.cluster.gpu.name + ": TP " + n(p.tensor_parallel) + " x CP " + n(p.context_parallel) + " x PP " +
                             n(p.pipeline_parallel) + " x DP " + n(p.data_parallel.value_or(1)));
  if (!s.model.moe) return text;
  const std::int64_t inside = p.expert_tensor_parallel * p.expert_parallel * p.pipeline_parallel;
  return text + comment("experts: ETP " + n(p.expert_tensor_parallel) + " x EP " + n(p.expert_parallel) + " x PP " +
                        n(p.pipeline_parallel) + " x EDP " + n(gpus / std::max<std::int64_t>(inside, 1)));
}

}  // namespace

std::string header_comment(const HandedPlan& plan, std::string_view what, const Expressed& nearest, const std::vector<std::string>& notes) {
  const Scenario& s = plan.scenario;
  std::string text = comment(s.name + ": " + s.model.name + " as " + std::string(what) + ", written by trillion.");
  text += sizes(s) + "#\n" + comment("Predicted for the plan as simulated:") + prediction(s, plan.step);
  if (!nearest.lost.empty()) {
    text += "#\n" + comment("What it cannot be asked for; this file asks for the nearest:");
    for (const std::string& lost : nearest.lost) text += comment(lost, 2);
    if (plan.nearest) {
      if (const auto* step = std::get_if<StepResult>(&*plan.nearest)) {
        text += comment("Predicted for what this file asks for:") + prediction(s, *step);
      } else {
        text += comment("What this file asks for cannot run: " + std::get<Infeasible>(*plan.nearest).reason);
      }
    }
  }
  if (!notes.empty()) text += "#\n" + comment("To know:");
  for (const std::string& note : notes) text += comment(note, 2);
  return text;
}

std::string layout_name(const Scenario& s) {
  std::string name = s.name;
  const Plan& p = s.plan;
  const auto add = [&](const char* axis, std::int64_t size) {
    if (size > 1) name += std::string("_") + axis + std::to_string(size);
  };
  add("tp", p.tensor_parallel);
  add("cp", p.context_parallel);
  add("pp", p.pipeline_parallel);
  add("vp", p.virtual_pipeline_stages);
  add("ep", p.expert_parallel);
  name += "_" + std::to_string(s.cluster.gpus()) + "gpu";
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) c = '_';
  }
  if (name.front() >= '0' && name.front() <= '9') name.insert(0, "run_");
  return name;
}

}  // namespace trillion
