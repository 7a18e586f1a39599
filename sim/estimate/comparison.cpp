#include "sim/estimate/comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "sim/base/error.h"

namespace trillion {
namespace {

bool is_about_the_plan(const std::string& path, ComparedRows rows) {
  if (path.rfind("simulation.", 0) == 0 || path == "schema" || path == "question") return false;
  if (rows == ComparedRows::all) return true;
  for (const char* list : {"origins.", "assumptions.", "defaults.", "overrides.", "memory.stages.", "run.phases.", "plan.layers_per_stage.",
                           "groups.", "routing.layers."}) {
    if (path.rfind(list, 0) == 0) return false;
  }
  return true;
}

void add_peak_memory(std::vector<ReportFigure>& figures) {
  constexpr std::string_view kEnd = ".peak_bytes";
  if (figure(figures, "memory.peak_bytes") != nullptr) return;
  ReportFigure peak{"memory.peak_bytes", true, 0, {}};
  for (const ReportFigure& f : figures) {
    if (f.path.rfind("memory.stages.", 0) == 0 && f.path.size() > kEnd.size() && f.path.substr(f.path.size() - kEnd.size()) == kEnd) {
      peak.number = std::max(peak.number, f.number);
    }
  }
  const auto fits = std::find_if(figures.begin(), figures.end(), [](const ReportFigure& f) { return f.path == "memory.fits"; });
  if (fits != figures.end()) figures.insert(fits + 1, peak);
}

// What a cause is called, and the figure of the step that holds its seconds.
constexpr std::array<std::pair<std::string_view, std::string_view>, 18> kCauses = {{
    {"attention", "step.compute_s.attention"},
    {"dense networks", "step.compute_s.dense_ffn"},
    {"experts", "step.compute_s.experts"},
    {"gate", "step.compute_s.gate"},
    {"embedding and head", "step.compute_s.embedding_and_head"},
    {"norms and elementwise", "step.compute_s.norm_and_elementwise"},
    {"casts and quantisation", "step.compute_s.cast_and_quantize"},
    {"recomputation", "step.compute_s.recompute"},
    {"optimizer", "step.compute_s.optimizer"},
    {"busiest expert rank beyond the mean", "step.exposed_s.straggler"},
    {"exposed expert all-to-all", "step.exposed_s.expert_all_to_all"},
    {"exposed tensor-parallel", "step.exposed_s.tensor_parallel"},
    {"exposed context-parallel", "step.exposed_s.context_parallel"},
    {"exposed pipeline transfers", "step.exposed_s.pipeline_p2p"},
    {"exposed gradient reduction", "step.exposed_s.gradient_reduce"},
    {"exposed parameter gather", "step.exposed_s.parameter_gather"},
    {"exposed host offload", "step.exposed_s.host_offload"},
    {"pipeline bubble", "step.phases_s.bubble"},
}};
constexpr const char* kRest = "slowest rank beyond the mean";

double number_of(const std::vector<ReportFigure>& report, std::string_view path) {
  const ReportFigure* f = figure(report, path);
  return f != nullptr && f->is_number ? f->number : 0;
}

using Json = nlohmann::ordered_json;

Json causes_json(const std::vector<CostPart>& base, const std::vector<CostPart>& other) {
  Json causes = Json::array();
  for (std::size_t i = 0; i < base.size(); ++i) {
    causes.push_back({{"cause", base[i].name},
                      {"base", base[i].gpu_hours},
                      {"value", other[i].gpu_hours},
                      {"difference", other[i].gpu_hours - base[i].gpu_hours}});
  }
  return causes;
}

Json figure_json(const ReportFigure* f) {
  if (f == nullptr) return nullptr;
  return f->is_number ? Json(f->number) : Json(f->text);
}

}  // namespace

bool same_figure(const ReportFigure* a, const ReportFigure* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->is_number == b->is_number && a->number == b->number && a->text == b->text;
}

std::vector<std::string> compared_paths(std::vector<NamedReport>& reports, ComparedRows rows) {
  CHECK(!reports.empty());
  for (NamedReport& report : reports) add_peak_memory(report.figures);
  const std::vector<ReportFigure>& base = reports.front().figures;
  std::vector<std::string> paths;
  for (const NamedReport& report : reports) {
    for (const ReportFigure& f : report.figures) {
      if (!is_about_the_plan(f.path, rows) || (&report != &reports.front() && figure(base, f.path) != nullptr)) continue;
      if (std::find(paths.begin(), paths.end(), f.path) == paths.end()) paths.push_back(f.path);
    }
  }
  if (rows == ComparedRows::all) return paths;
  const auto same_everywhere = [&](const std::string& path) {
    const ReportFigure* first = figure(base, path);
    return std::all_of(reports.begin(), reports.end(), [&](const NamedReport& r) { return same_figure(first, figure(r.figures, path)); });
  };
  paths.erase(std::remove_if(paths.begin(), paths.end(), same_everywhere), paths.end());
  return paths;
}

std::vector<CostPart> cost_parts(const std::vector<ReportFigure>& report) {
  const double time = number_of(report, "step.time_s"), tokens = number_of(report, "step.tokens");
  const double per_gpu = number_of(report, "step.tokens_per_s_per_gpu");
  if (!(time > 0 && tokens > 0 && per_gpu > 0)) return {};
  // Through the rate and not through "gpus": an overlapped pair is one GPU's work.
  const double gpus = number_of(report, "step.tokens_per_s") / per_gpu;
  const double hours = gpus / 3600 / tokens * 1e12;  // of one second
  std::vector<CostPart> parts;
  double known = 0;
  for (const auto& [name, path] : kCauses) {
    const double seconds = number_of(report, path);
    parts.push_back({std::string(name), seconds * hours});
    known += seconds;
  }
  parts.push_back({kRest, (time - known) * hours});
  return parts;
}

double cost_of(const std::vector<CostPart>& parts) {
  double sum = 0;
  for (const CostPart& part : parts) sum += part.gpu_hours;
  return sum;
}

std::string comparison_json(const std::vector<NamedReport>& given, ComparedRows rows) {
  std::vector<NamedReport> reports = given;
  const std::vector<std::string> paths = compared_paths(reports, rows);
  const std::vector<CostPart> base = cost_parts(reports.front().figures);
  Json json = {{"schema", "trillion.comparison/1"}, {"base", reports.front().name}, {"reports", Json::array()}};
  for (const NamedReport& report : reports) {
    const std::vector<CostPart> parts = cost_parts(report.figures);
    Json row = {{"name", report.name}, {"gpu_hours_per_trillion_tokens", parts.empty() ? Json(nullptr) : Json(cost_of(parts))}};
    if (!parts.empty() && !base.empty()) {
      row["difference"] = cost_of(parts) - cost_of(base);
      row["causes"] = causes_json(base, parts);
    }
    json["reports"].push_back(std::move(row));
  }
  json["figures"] = Json::array();
  for (const std::string& path : paths) {
    Json values = Json::array();
    for (const NamedReport& report : reports) values.push_back(figure_json(figure(report.figures, path)));
    json["figures"].push_back({{"path", path}, {"values", std::move(values)}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace trillion
