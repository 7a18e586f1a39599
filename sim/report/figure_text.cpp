#include "sim/report/figure_text.h"

#include <cmath>

#include "sim/base/number_text.h"

namespace trillion {
namespace {

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// Seconds live in "..._s" fields and in blocks of them: "step.phases_s.forward".
bool is_time(std::string_view path) { return (ends_with(path, "_s") || has(path, "_s.")) && !has(path, "_per_s"); }

bool is_share(std::string_view leaf) {
  return leaf.substr(0, 3) == "mfu" || leaf == "hfu" || leaf == "utilization" || leaf == "share_of_time" || leaf == "relative_error" ||
         leaf == "tolerance";
}

}  // namespace

std::string figure_text(std::string_view path, double value) {
  const std::string_view leaf = path.substr(path.rfind('.') == std::string_view::npos ? 0 : path.rfind('.') + 1);
  if (is_share(leaf)) return percent_text(value);
  if (is_time(path)) return duration_text(Seconds{value});
  if (has(leaf, "flops_per_s")) return flops_rate_text(FlopsPerSecond{value});
  if (has(leaf, "flops_per_token")) return flops_text(Flops{value});
  if (has(leaf, "bytes")) return bytes_text(Bytes{value});
  if (has(leaf, "usd")) return usd_text(Usd{value});
  if (has(leaf, "joules")) return significant_text(value / 3.6e12, 4) + " GWh";
  if (leaf == "days") return fixed_text(value, 1);
  if (leaf == "seed") return fixed_text(value, 0);
  if (value == std::floor(value) && std::abs(value) < 1e6) return fixed_text(value, 0);
  if (std::abs(value) < 1000) return significant_text(value, 4);
  return count_text(value);
}

}  // namespace trillion
