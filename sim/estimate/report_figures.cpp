#include "sim/estimate/report_figures.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/base/error.h"

namespace trillion {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeepest = 16;  // a report of ours nests four deep; a hostile one must not exhaust the stack

void flatten(const Json& value, const std::string& path, int depth, std::vector<ReportFigure>& figures) {
  if (depth > kDeepest) throw InputError("'" + path + "' is nested too deeply for a report");
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) flatten(member, below(key), depth + 1, figures);
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) flatten(value[i], below(std::to_string(i)), depth + 1, figures);
  } else if (value.is_number()) {
    figures.push_back({path, true, value.get<double>(), {}});
  } else {
    figures.push_back({path, false, 0, value.is_string() ? value.get<std::string>() : value.dump()});
  }
}

}  // namespace

std::vector<ReportFigure> report_figures(const std::string& json, const std::string& file) {
  Json report;
  try {
    report = Json::parse(json);
  } catch (const Json::parse_error& error) {
    throw InputError(
        Diagnostic{{file, 0, 0}, std::string("not JSON: ") + error.what(), {}, "a report is what 'trillion simulate --json FILE' writes"});
  }
  if (!report.is_object() || report.value("schema", Json()) != "trillion.report/1") {
    throw InputError(Diagnostic{{file, 0, 0}, "not a report: its \"schema\" is not \"trillion.report/1\"", {}, {}});
  }
  std::vector<ReportFigure> figures;
  flatten(report, "", 0, figures);
  return figures;
}

const ReportFigure* figure(const std::vector<ReportFigure>& figures, std::string_view path) {
  const auto found = std::find_if(figures.begin(), figures.end(), [&](const ReportFigure& f) { return f.path == path; });
  return found == figures.end() ? nullptr : &*found;
}

}  // namespace trillion
