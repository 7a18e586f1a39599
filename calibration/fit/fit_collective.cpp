#include <algorithm>
#include <map>
#include <set>

#include "calibration/fit/curve_model.h"
#include "calibration/fit/level.h"

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

// ln base, ln nvlink_step, ln nic_step, ln pipeline, ln nvlink, ln nic, ln local.
// `tells_local`: groups of several sizes on one node tell a rank's own data from what it sends; else the links' rate contains it.
CurveModel<CollectiveCurve> collective_model(const CollectiveCurve& key, const LinkPriors& links, bool tells_local) {
  CurveModel<CollectiveCurve> model;
  // NCCL's own latencies (src/graph/tuning.cc): 6.6 us to start, 0.6 to 1.9 us per NVLink step, 2.7 to 5 us per NIC step. A peer
  // more in an all-to-all is cheaper than a step: its messages fly at the same time.
  const bool peers = key.kind == CollectiveKind::all_to_all;
  model.priors = {{std::log(7e-6), 0.7},
                  {std::log(peers ? 0.3e-6 : 1e-6), 0.7},
                  {std::log(peers ? 0.5e-6 : 5e-6), 0.5},
                  {std::log(1.5e-6), 1.0},
                  links.nvlink,
                  links.nic,
                  {std::log(2.5e12), 0.4}};  // a rank's own data passes through its memory twice
  model.curve = [key, tells_local](const std::vector<double>& theta) {
    CollectiveCurve curve = key;
    curve.base = Seconds{std::exp(theta[0])};
    curve.nvlink_step = Seconds{std::exp(theta[1])};
    curve.nic_step = Seconds{std::exp(theta[2])};
    curve.pipeline = Seconds{std::exp(theta[3])};
    curve.nvlink = BytesPerSecond{std::exp(theta[4])};
    curve.nic = BytesPerSecond{std::exp(theta[5])};
    if (tells_local) curve.local = BytesPerSecond{std::exp(theta[6])};
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

bool on_one_node(const Collective& c) { return c.ranks_per_node >= c.ranks; }

// How many different groups on one node were measured.
std::size_t group_sizes(const Points& points) {
  std::set<std::int64_t> sizes;
  for (const auto& point : points) {
    const auto& c = std::get<Collective>(point.query.shape);
    if (on_one_node(c)) sizes.insert(c.ranks);
  }
  return sizes.size();
}

constexpr std::size_t kEnoughSizes = 8;  // of one group, for knots

// Ascending averages: a time that falls with size is noise, shared with its neighbours (pool adjacent violators).
std::vector<double> ascending(const std::vector<double>& logs, const std::vector<double>& weights) {
  struct Pool {
    double sum, weight;
    std::size_t count;
    double mean() const { return sum / weight; }
  };
  std::vector<Pool> pools;
  for (std::size_t i = 0; i < logs.size(); ++i) {
    pools.push_back({logs[i] * weights[i], weights[i], 1});
    while (pools.size() > 1 && pools[pools.size() - 2].mean() > pools.back().mean()) {
      const Pool last = pools.back();
      pools.pop_back();
      pools.back() = {pools.back().sum + last.sum, pools.back().weight + last.weight, pools.back().count + last.count};
    }
  }
  std::vector<double> result;
  for (const Pool& pool : pools) result.insert(result.end(), pool.count, pool.mean());
  return result;
}

// What was measured on one node, by group size: geometric means of the points of one size.
std::vector<CollectiveKnots> knots_of(const Points& points) {
  std::map<std::int64_t, std::map<double, std::vector<double>>> groups;
  for (const auto& point : points) {
    const auto& c = std::get<Collective>(point.query.shape);
    if (on_one_node(c)) groups[c.ranks][c.bytes.value()].push_back(std::log(point.seconds));
  }
  std::vector<CollectiveKnots> all;
  for (const auto& [ranks, sizes] : groups) {
    if (sizes.size() < kEnoughSizes) continue;
    CollectiveKnots knots;
    knots.ranks = ranks;
    std::vector<double> logs, weights;
    for (const auto& [bytes, samples] : sizes) {
      knots.bytes.push_back(bytes);
      logs.push_back(mean_of(samples));
      weights.push_back(static_cast<double>(samples.size()));
    }
    for (const double log : ascending(logs, weights)) knots.seconds.push_back(std::exp(log));
    all.push_back(std::move(knots));
  }
  return all;
}

// Held-out residuals of the points from 1 MiB on: a step's time is in those, and what smaller calls take depends on the host that
// launches them, by up to 40 %. All points where the large ones are few.
template <class Fit>
Residuals residuals_of_large(const Points& points, const Fit& fit, const Residuals& of_all) {
  std::vector<bool> large;
  const std::vector<double> ratios = held_out(points, [&](const Points& train, const Points& test) {
    for (const auto& point : test) large.push_back(bytes_of(point) >= 1048576);
    return predict_all(fit(train), test);
  });
  std::vector<double> kept;
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    if (large[i]) kept.push_back(ratios[i]);
  }
  if (kept.size() < 10) return of_all;
  Residuals residuals = residuals_of(kept);
  residuals.p90 = std::max(residuals.p90, 0.02);
  return residuals;
}

// Whether the curve passes a point that was measured here, from 1 MiB on, by more than such points differ between hosts.
bool misses(const CollectiveCurve& curve, const Points& points) {
  constexpr double kApart = 0.05;
  return std::any_of(points.begin(), points.end(), [&](const Point& p) {
    const bool counts = p.provenance.origin == Origin::measured && !p.borrowed && bytes_of(p) >= 1048576;
    return counts && on_one_node(std::get<Collective>(p.query.shape)) && std::abs(std::log(predict(curve, p) / p.seconds)) > kApart;
  });
}

// The middle of what large calls launched.
std::int64_t channels_of(const Points& points) {
  std::vector<std::int64_t> channels;
  for (const auto& point : points) {
    if (point.channels > 0 && bytes_of(point) >= 16.0 * 1048576) channels.push_back(point.channels);
  }
  if (channels.empty()) return 0;
  std::sort(channels.begin(), channels.end());
  return channels[channels.size() / 2];
}

}  // namespace

double predict(const CollectiveCurve& curve, const Point& point) {
  return evaluate(curve, std::get<Collective>(point.query.shape), {curve.nvlink, curve.nic}).value();
}

double predict(const ExpertCurve& curve, const Point& point) {
  return evaluate(curve, std::get<Collective>(point.query.shape), {curve.nvlink, curve.nic}).value();
}

CollectiveCurve fit_collective(const CollectiveCurve& key, const Points& all, const Chip& chip, const std::optional<AchievedLinks>& links) {
  Points points = all, in_switch = all;
  std::erase_if(points, [](const Point& p) { return p.in_switch; });
  std::erase_if(in_switch, [](const Point& p) { return !p.in_switch; });
  const CurveModel<CollectiveCurve> model = collective_model(key, link_priors(chip, links), group_sizes(points) > 1);
  const auto form = [&](const Points& train) { return fit_model(model, train); };
  const auto with_knots = [&](const Points& train) {
    CollectiveCurve fitted = form(train);
    fitted.knots = knots_of(train);
    return fitted;
  };
  CollectiveCurve curve = form(points);
  curve.info.residuals = residuals_of_large(points, form, cross_validate(points, form));
  const Residuals residuals = residuals_of_large(points, with_knots, cross_validate(points, with_knots));
  // Few sizes, far apart, say little of what lies between them, but a curve goes through what it was given.
  if (score(residuals) < score(curve.info.residuals) || misses(curve, points)) {
    curve = with_knots(points);
    curve.info.residuals = residuals;
  }
  curve.switch_knots = knots_of(in_switch);
  curve.sms = channels_of(points);
  for (const auto& point : all) {
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
