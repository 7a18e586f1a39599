#include "calibration/fit/points.h"

#include <algorithm>
#include <set>

#include "calibration/fit/least_squares.h"

namespace trillion {
namespace {

constexpr std::size_t kFolds = 5;
constexpr std::size_t kLeaveOneOutBelow = 10;

// Fold of each point.
std::vector<std::size_t> folds_of(const Points& points, std::size_t& fold_count) {
  std::vector<std::uint64_t> shapes;
  for (const auto& point : points) shapes.push_back(point.hash);
  std::sort(shapes.begin(), shapes.end());
  shapes.erase(std::unique(shapes.begin(), shapes.end()), shapes.end());
  const bool each = shapes.size() < kLeaveOneOutBelow;
  fold_count = each ? shapes.size() : kFolds;
  std::vector<std::size_t> folds;
  for (const auto& point : points) {
    // Ranks of hashes are as good as random and make folds of equal size.
    const auto rank = static_cast<std::size_t>(std::lower_bound(shapes.begin(), shapes.end(), point.hash) - shapes.begin());
    folds.push_back(rank % fold_count);
  }
  return folds;
}

}  // namespace

std::vector<double> held_out(const Points& points,
                             const std::function<std::vector<double>(const Points& train, const Points& test)>& fit_and_predict) {
  std::size_t fold_count = 0;
  const std::vector<std::size_t> folds = folds_of(points, fold_count);
  std::vector<double> ratios;
  if (fold_count < 2) return ratios;
  for (std::size_t fold = 0; fold < fold_count; ++fold) {
    Points train, test;
    for (std::size_t i = 0; i < points.size(); ++i) (folds[i] == fold ? test : train).push_back(points[i]);
    const std::vector<double> predicted = fit_and_predict(train, test);
    for (std::size_t i = 0; i < test.size(); ++i) ratios.push_back(std::log(predicted[i] / test[i].seconds));
  }
  return ratios;
}

Residuals residuals_of(const std::vector<double>& log_ratios) {
  std::vector<double> errors;
  for (const double ratio : log_ratios) errors.push_back(std::abs(std::expm1(ratio)));
  return {quantile(errors, 0.5), quantile(errors, 0.9), static_cast<std::int64_t>(errors.size())};
}

Provenance provenance_of(const Points& points) {
  Provenance result{Origin::measured, ""};
  std::vector<std::string> sources;
  std::set<std::string> seen;
  for (const auto& point : points) {
    result.origin = std::max(result.origin, point.provenance.origin);
    if (seen.insert(point.provenance.source).second) sources.push_back(point.provenance.source);
  }
  for (std::size_t i = 0; i < sources.size() && i < 3; ++i) result.source += (i > 0 ? "; " : "") + sources[i];
  if (sources.size() > 3) result.source += "; and " + std::to_string(sources.size() - 3) + " more";
  return result;
}

std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 14695981039346656037ull;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

}  // namespace trillion
