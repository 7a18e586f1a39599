// Reading expected.yaml: figures of the scenario as it stands, or cases that each set some keys otherwise.
#include <filesystem>
#include <optional>
#include <set>

#include "sim/spec/load.h"

namespace trillion {
namespace {

namespace fs = std::filesystem;

fs::path expected_file(const std::string& path) {
  const fs::path given(path);
  std::error_code error;
  if (given.filename() == "expected.yaml") return given;
  return (fs::is_directory(given, error) ? given : given.parent_path()) / "expected.yaml";
}

// What a figure leaves out and the file says once for all.
struct Defaults {
  std::optional<std::string> quantity;
  std::optional<double> tolerance;
  std::optional<Provenance> provenance;
};

double tolerance_of(YamlReader& r, const std::optional<double>& fallback) {
  const double tolerance = r.number("tolerance", fallback);
  if (!r.failed("tolerance") && !(tolerance > 0 && tolerance < 1))
    r.problem("tolerance", "must be between 0 and 1, the accepted relative error");
  return tolerance;
}

Provenance provenance_of(YamlReader& r, const std::optional<Provenance>& fallback) {
  if (fallback && !r.has("origin") && !r.has("source")) return *fallback;
  return r.provenance();
}

ExpectedFigure read_figure(YamlReader& r, const Defaults& defaults) {
  ExpectedFigure f;
  f.quantity = r.text("quantity", defaults.quantity);
  f.published = r.count("published");
  if (!r.failed("published") && f.published == 0) r.problem("published", "must not be zero: the error is relative to it");
  f.tolerance = tolerance_of(r, defaults.tolerance);
  f.provenance = provenance_of(r, defaults.provenance);
  f.known_gap = r.text("known_gap", std::string());
  return f;
}

Defaults read_defaults(YamlReader& root) {
  Defaults defaults;
  std::optional<YamlReader> r = root.optional_mapping("defaults");
  if (!r) return defaults;
  if (r->has("quantity")) defaults.quantity = r->text("quantity");
  if (r->has("tolerance")) defaults.tolerance = tolerance_of(*r, {});
  if (r->has("origin") || r->has("source")) defaults.provenance = r->provenance();
  return defaults;
}

// A case's figures are a list, or its only figure stands in the case itself.
ExpectedCase read_case(YamlReader& r, const Defaults& defaults) {
  ExpectedCase c;
  c.name = r.text("name");
  c.set = r.texts("set").value_or(std::vector<std::string>{});
  for (YamlReader& f : r.mappings("figures")) c.figures.push_back(read_figure(f, defaults));
  if (c.figures.empty()) c.figures.push_back(read_figure(r, defaults));
  return c;
}

}  // namespace

bool has_expected(const std::string& scenario_path) {
  std::error_code error;
  return fs::is_regular_file(expected_file(scenario_path), error);
}

Expected load_expected(const std::string& path) {
  Diagnostics diagnostics;
  YamlReader root = YamlReader::open(YamlDocument::from_file(expected_file(path).lexically_normal().string()), diagnostics);
  const Defaults defaults = read_defaults(root);
  Expected expected;
  ExpectedCase as_it_stands;
  for (YamlReader& r : root.mappings("figures")) as_it_stands.figures.push_back(read_figure(r, defaults));
  if (!as_it_stands.figures.empty()) expected.push_back(std::move(as_it_stands));
  std::set<std::string> names;
  for (YamlReader& r : root.mappings("cases")) {
    expected.push_back(read_case(r, defaults));
    if (!names.insert(expected.back().name).second) r.problem("name", "'" + expected.back().name + "' names two cases");
  }
  if (expected.empty() && diagnostics.empty()) root.problem("figures", "lists no published figure, and there are no cases");
  root.finish();
  diagnostics.throw_if_any();
  return expected;
}

}  // namespace trillion
