#include "calibration/fit/curve_model.h"

namespace trillion {
namespace {

double bytes_of(const Point& point) { return std::get<Collective>(point.query.shape).bytes.value(); }

struct LinkPriors {
  Prior nvlink, nic;
};

// Achieved rates that the facts name; else what NCCL's own model expects of NVLink (82 % of the vendor's rate: 20.6 of 25 GB/s
// per link) and what NICs reach (93 %).
LinkPriors link_priors(const Chip& chip, const std::optional<AchievedLinks>& links) {
  if (links) return {{std::log(links->nvlink.value()), 0.15}, {std::log(links->nic.value()), 0.1}};
  return {{std::log(0.82 * chip.nvlink.value()), 0.3}, {std::log(0.93 * chip.nic.value()), 0.1}};
}

// ln base, ln nvlink_step, ln nic_step, ln pipeline, ln nvlink, ln nic.
CurveModel<CollectiveCurve> collective_model(const CollectiveCurve& key, const LinkPriors& links) {
  CurveModel<CollectiveCurve> model;
  // NCCL's own latencies (src/graph/tuning.cc): 6.6 us to start, 0.6 to 1.9 us per NVLink step, 2.7 to 5 us per NIC step. A peer
  // more in an all-to-all is cheaper than a step: its messages fly at the same time.
  const bool peers = key.kind == CollectiveKind::all_to_all;
  model.priors = {{std::log(7e-6), 0.7},
                  {std::log(peers ? 0.3e-6 : 1e-6), 0.7},
                  {std::log(peers ? 0.5e-6 : 5e-6), 0.5},
                  {std::log(1.5e-6), 1.0},
                  links.nvlink,
                  links.nic};
  model.curve = [key](const std::vector<double>& theta) {
    CollectiveCurve curve = key;
    curve.base = Seconds{std::exp(theta[0])};
    curve.nvlink_step = Seconds{std::exp(theta[1])};
    curve.nic_step = Seconds{std::exp(theta[2])};
    curve.pipeline = Seconds{std::exp(theta[3])};
    curve.nvlink = BytesPerSecond{std::exp(theta[4])};
    curve.nic = BytesPerSecond{std::exp(theta[5])};
    return curve;
  };
  model.weight = [](const Point& point) { return bytes_of(point) < 1048576 ? 0.4 : 1.0; };
  return model;
}

// ln latency, ln nic, ln nvlink.
CurveModel<ExpertCurve> expert_model(const ExpertCurve& key, const LinkPriors& links) {
  CurveModel<ExpertCurve> model;
  model.priors = {{std::log(40e-6), 0.5}, {links.nic.mean, 0.5}, {links.nvlink.mean, 0.2}};
  model.curve = [key](const std::vector<double>& theta) {
    ExpertCurve curve = key;
    curve.latency = Seconds{std::exp(theta[0])};
    curve.nic = BytesPerSecond{std::exp(theta[1])};
    curve.nvlink = BytesPerSecond{std::exp(theta[2])};
    return curve;
  };
  return model;
}

}  // namespace

double predict(const CollectiveCurve& curve, const Point& point) {
  return evaluate(curve, std::get<Collective>(point.query.shape), {curve.nvlink, curve.nic}).value();
}

double predict(const ExpertCurve& curve, const Point& point) {
  return evaluate(curve, std::get<Collective>(point.query.shape), {curve.nvlink, curve.nic}).value();
}

CollectiveCurve fit_collective(const CollectiveCurve& key, const Points& points, const Chip& chip,
                               const std::optional<AchievedLinks>& links) {
  const CurveModel<CollectiveCurve> model = collective_model(key, link_priors(chip, links));
  const auto way = [&](const Points& train) { return fit_model(model, train); };
  CollectiveCurve curve = way(points);
  curve.info.residuals = cross_validate(points, way);
  for (const auto& point : points) {
    const auto& c = std::get<Collective>(point.query.shape);
    widen(curve.bytes, c.bytes.value());
    widen(curve.ranks, static_cast<double>(c.ranks));
    widen(curve.nodes, std::ceil(static_cast<double>(c.ranks) / static_cast<double>(std::max<std::int64_t>(1, c.ranks_per_node))));
  }
  return curve;
}

ExpertCurve fit_expert(const ExpertCurve& key, const Points& points, const Chip& chip, const std::optional<AchievedLinks>& links) {
  const CurveModel<ExpertCurve> model = expert_model(key, link_priors(chip, links));
  const auto way = [&](const Points& train) { return fit_model(model, train); };
  ExpertCurve curve = way(points);
  curve.info.residuals = cross_validate(points, way);
  for (const auto& point : points) {
    const auto& c = std::get<Collective>(point.query.shape);
    widen(curve.bytes, c.bytes.value());
    widen(curve.ranks, static_cast<double>(c.ranks));
    curve.sms = std::max(curve.sms, point.query.sms);
  }
  return curve;
}

}  // namespace trillion
