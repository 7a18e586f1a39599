#include "sim/planner/lever.h"

#include <algorithm>
#include <map>
#include <type_traits>

#include "sim/base/error.h"

namespace trillion {

namespace {

// Figures of a stack that are times, or factors of times.
constexpr std::array<std::string_view, 12> kTimedFigures = {"kernel_gap",
                                                            "host_launch",
                                                            "host_product",
                                                            "host_elementwise",
                                                            "host_wait",
                                                            "sustained_gemm",
                                                            "sustained_attention",
                                                            "sustained_memory",
                                                            "beside_communication_gemm",
                                                            "beside_communication_attention",
                                                            "beside_communication_memory",
                                                            "beside_compute_communication"};

template <class T>
constexpr bool kIsTime = std::is_same_v<T, double> || std::is_same_v<T, Seconds>;

double number(double value) { return value; }
double number(Seconds value) { return value.value(); }

std::vector<Lever> kernel_levers(std::optional<std::size_t> cluster, const std::vector<CurveShare>& curves) {
  struct Family {
    double share = 0, spread = 0, largest = 0;
    Provenance provenance;
  };
  std::map<std::string, Family> families;
  for (const CurveShare& c : curves) {
    if (c.share_of_time <= 0) continue;
    Family& f = families[kernel_family(c.curve.name)];
    f.share += c.share_of_time;
    f.spread += c.share_of_time * c.curve.residuals.p90;
    if (c.share_of_time > f.largest) f.largest = c.share_of_time, f.provenance = c.curve.provenance;
  }
  std::vector<Lever> out;
  for (const auto& [name, f] : families) out.push_back({LeverKind::kernel_time, name, cluster, f.provenance, f.spread / f.share});
  return out;
}

}  // namespace

std::string kernel_family(std::string_view curve) {
  constexpr std::string_view kAs = "(as ";
  if (const auto as = curve.find(kAs); as != std::string_view::npos) curve.remove_prefix(as + kAs.size());
  const auto words = [&](int count) {
    std::size_t end = 0;
    for (int i = 0; i < count && end != std::string_view::npos; ++i) end = curve.find_first_of(" )", i == 0 ? 0 : end + 1);
    return std::string(curve.substr(0, end));
  };
  const std::string first = words(1);
  if (first == "attention") return words(3);
  if (first == "gemm" || first == "grouped_gemm" || first == "collective") return words(2);
  return first;
}

std::vector<Lever> levers(const Scenario& on, std::optional<std::size_t> cluster, const std::vector<CurveShare>& curves) {
  std::vector<Lever> out = kernel_levers(cluster, curves);
  for_each_figure(on.calibration.stack, [&]<class T>(const char* name, const Figure<T>& figure) {
    if constexpr (kIsTime<T>) {
      const bool timed = std::find(kTimedFigures.begin(), kTimedFigures.end(), name) != kTimedFigures.end();
      if (timed && number(figure.value) > 0) out.push_back({LeverKind::stack, name, cluster, figure.provenance, {}});
    }
  });
  const Cluster& c = on.cluster;
  out.push_back({LeverKind::nvlink, "NVLink bandwidth", cluster, c.scale_up.provenance, {}});
  out.push_back({LeverKind::nic, "NIC bandwidth", cluster, c.scale_out.provenance, {}});
  out.push_back({LeverKind::network_latency, "network latency", cluster, c.scale_out.provenance, {}});
  const bool priced = on.search.objective == Objective::usd || on.search.budget;
  if (c.price && priced) out.push_back({LeverKind::price, "price of a GPU-hour", cluster, c.price->provenance, {}});
  const Provenance memory{Origin::assumed, "scenarios/published.md: memory of the runs that published it"};
  out.push_back({LeverKind::memory, "memory that a GPU needs", cluster, memory, {}});
  return out;
}

std::vector<Lever> common_levers(const Scenario& s) {
  const Routing& r = s.training.routing;
  if (!s.model.moe || r.balance == Balance::forced || r.balance == Balance::measured) return {};
  std::vector<Lever> out;
  if (r.domain_skew > 0) out.push_back({LeverKind::domain_skew, "router's skew between domains", {}, r.provenance, {}});
  // Balancing over all data takes it away.
  const bool evened = r.balance == Balance::loss_free || r.balance == Balance::auxiliary_batch;
  if (r.popularity_skew > 0 && !evened) out.push_back({LeverKind::popularity_skew, "router's skew over all data", {}, r.provenance, {}});
  return out;
}

Scenario with_lever(const Scenario& on, const Lever& lever, double factor) {
  CHECK(factor > 0, "a lever's factor must be positive");
  Scenario s = on;
  switch (lever.kind) {
    case LeverKind::kernel_time:
      for_each_curve(s.calibration, [&](auto& curve) {
        if (kernel_family(curve.info.name) == lever.name) curve.info.scale *= factor;
      });
      break;
    case LeverKind::stack:
      for_each_figure(s.calibration.stack, [&]<class T>(const char* name, Figure<T>& figure) {
        if constexpr (kIsTime<T>) {
          if (name == lever.name) figure.value = figure.value * factor;
        }
      });
      break;
    case LeverKind::nvlink: s.cluster.scale_up.bandwidth *= factor; break;
    case LeverKind::nic: s.cluster.scale_out.nic_bandwidth *= factor; break;
    case LeverKind::network_latency:
      s.cluster.scale_out.nic_latency *= factor;
      s.cluster.scale_out.hop_latency *= factor;
      break;
    case LeverKind::price:
      if (s.cluster.price) s.cluster.price->per_gpu *= factor;
      break;
    case LeverKind::popularity_skew: s.training.routing.popularity_skew *= factor; break;
    case LeverKind::domain_skew: s.training.routing.domain_skew *= factor; break;
    case LeverKind::memory: s.cluster.gpu.usable_memory /= factor; break;
  }
  return s;
}

}  // namespace trillion
