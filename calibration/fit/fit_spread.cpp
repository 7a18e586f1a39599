#include "calibration/fit/fit_spread.h"

#include <cmath>
#include <map>
#include <utility>

#include "calibration/fit/median.h"
#include "sim/base/number_text.h"

namespace trillion {
namespace {

constexpr double kHeldBack = 0.985;  // of the highest clock, which is reached to a few MHz
constexpr double kOutlier = 0.95;    // of the median, as survey.cu has it

struct SurveyedChip {
  double sum = 0;
  int rows = 0;
  double rate() const { return sum / rows; }
};

using Kind = std::map<std::string, SurveyedChip>;  // by name of the chip

double median_rate(const Kind& kind) {
  std::vector<double> rates;
  for (const auto& [name, chip] : kind) rates.push_back(chip.rate());
  return median(std::move(rates));
}

}  // namespace

std::optional<Figure<double>> fit_spread(const std::vector<RawFile>& files, std::vector<std::string>& notes) {
  std::map<std::string, Kind> kinds;
  std::size_t free = 0, outliers = 0, chips = 0;
  for (const RawFile& file : files) {
    for (const JsonLine& line : file.others) {
      if (text_of(line, "op") != "survey") continue;
      if (file.clock_max_mhz > 0 && number_of(line, "clock_mhz") > kHeldBack * file.clock_max_mhz) {
        ++free;
        continue;
      }
      SurveyedChip& entry = kinds[file.gpu][text_of(line, "chip")];
      entry.sum += number_of(line, "flops_per_s");
      ++entry.rows;
    }
  }
  double squares = 0;
  std::string of_kinds;
  for (auto& [gpu, kind] : kinds) {
    const double slow = kOutlier * median_rate(kind);
    outliers += std::erase_if(kind, [&](const auto& entry) { return entry.second.rate() < slow; });
    double mean = 0;
    for (const auto& [name, chip] : kind) mean += chip.rate() / static_cast<double>(kind.size());
    for (const auto& [name, chip] : kind) squares += std::pow(chip.rate() / mean - 1, 2);
    chips += kind.size();
    of_kinds += (of_kinds.empty() ? "" : " and ") + std::to_string(kind.size()) + " " + gpu;
  }
  if (free > 0) notes.push_back(std::to_string(free) + " chips of a survey ran unhindered by their power limit and tell no spread");
  if (outliers > 0)
    notes.push_back(std::to_string(outliers) + " chips of a survey are more than 5 % below the median: left out of the spread");
  if (chips < kEnoughChips) {
    if (chips > 1) notes.push_back("a survey of " + std::to_string(chips) + " chips is too small for their spread");
    return std::nullopt;
  }
  const double freedom = static_cast<double>(chips - kinds.size());
  const double factor = std::exp(1.96 / std::sqrt(2 * freedom)), spread = std::round(1e4 * std::sqrt(squares / freedom)) / 1e4;
  return Figure<double>{spread,
                        {Origin::measured, "calibration/probes/survey on " + of_kinds + "; 95 % interval " + percent_text(spread / factor) +
                                               " to " + percent_text(spread * factor)}};
}

}  // namespace trillion
