// The common part of curve_fits: a model is priors and a function from parameters to a curve.
#pragma once

#include <cmath>
#include <functional>
#include <type_traits>
#include <variant>
#include <vector>

#include "calibration/fit/curve_fits.h"
#include "calibration/fit/least_squares.h"

namespace trillion {

template <class Curve>
struct CurveModel {
  std::vector<Prior> priors;
  std::function<Curve(const std::vector<double>&)> curve;
  std::function<double(const Point&)> weight = [](const Point&) { return 1.0; };  // of a point's residual
};

// Plain products with the choice of tile and split that the curve at theta makes.
inline ResidualNear residual_near(const CurveModel<GemmCurve>& model, const Points& points) {
  return [&model, &points](const std::vector<double>& theta) -> Residual {
    const GemmCurve at = model.curve(theta);
    std::vector<GemmChoice> choices;
    for (const auto& point : points) {
      const auto* gemm = std::get_if<Gemm>(&point.query.shape);
      choices.push_back(gemm != nullptr ? choose(at, *gemm, point.sms) : GemmChoice{});
    }
    return [&model, &points, choices](const std::vector<double>& nearby) {
      const GemmCurve curve = model.curve(nearby);
      std::vector<double> r;
      r.reserve(points.size());
      for (std::size_t i = 0; i < points.size(); ++i) {
        const Point& point = points[i];
        const auto* gemm = std::get_if<Gemm>(&point.query.shape);
        const double seconds = gemm != nullptr ? evaluate(curve, *gemm, point.sms, choices[i]).value() : predict(curve, point);
        r.push_back(model.weight(point) * std::log(seconds / point.seconds));
      }
      return r;
    };
  };
}

template <class Curve>
Curve fit_model(const CurveModel<Curve>& model, const Points& points) {
  const auto residual = [&](const std::vector<double>& theta) {
    const Curve curve = model.curve(theta);
    std::vector<double> r;
    r.reserve(points.size());
    for (const auto& point : points) r.push_back(model.weight(point) * std::log(predict(curve, point) / point.seconds));
    return r;
  };
  if constexpr (std::is_same_v<Curve, GemmCurve>) {
    return model.curve(least_squares(residual, residual_near(model, points), model.priors));
  } else {
    return model.curve(least_squares(residual, model.priors));
  }
}

template <class Curve>
std::vector<double> predict_all(const Curve& curve, const Points& points) {
  std::vector<double> seconds;
  for (const auto& point : points) seconds.push_back(predict(curve, point));
  return seconds;
}

// Held-out residuals of a way to fit. With too few points to hold any out: a judgement, by how good the points are.
template <class Fit>
Residuals cross_validate(const Points& points, const Fit& fit) {
  const std::vector<double> ratios =
      held_out(points, [&](const Points& train, const Points& test) { return predict_all(fit(train), test); });
  if (!ratios.empty()) {
    Residuals residuals = residuals_of(ratios);
    // A handful of alike points says little about the next shape.
    if (residuals.points < 6) residuals.p90 = std::max(residuals.p90, 0.10);
    residuals.p90 = std::max(residuals.p90, 0.02);
    return residuals;
  }
  const bool measured = !points.empty() && provenance_of(points).origin == Origin::measured;
  return measured ? Residuals{0.05, 0.15, 0} : Residuals{0.10, 0.25, 0};
}

// What a choice between fits compares: the middle and the tail.
inline double score(const Residuals& residuals) { return residuals.median + 0.25 * residuals.p90; }

// More digits than the data hold, and few enough for a person to read.
inline double round_to_4_digits(double value) {
  if (!(value > 0)) return value;
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 3);
  // Dividing by a power of ten rather than multiplying by its inverse gives the shortest decimal.
  return unit >= 1 ? std::round(value / unit) * unit : std::round(value / unit) / std::round(1 / unit);
}
template <int kT, int kD, int kW, int kM, int kE>
void round_to_4_digits(Quantity<kT, kD, kW, kM, kE>& quantity) {
  quantity = Quantity<kT, kD, kW, kM, kE>(round_to_4_digits(quantity.value()));
}

inline void widen(Range& range, double value) {
  if (range.low > range.high) range = {value, value};
  range.low = std::min(range.low, value);
  range.high = std::max(range.high, value);
}

}  // namespace trillion
