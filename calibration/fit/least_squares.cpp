#include "calibration/fit/least_squares.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "sim/base/error.h"

namespace trillion {
namespace {

constexpr double kKnee = 0.08;           // of |ln ratio|: beyond it a point pulls linearly
constexpr double kResidualScale = 0.04;  // spread that a good curve leaves, which weighs points against priors
constexpr int kIterations = 60;

double huber_cost(double r) {
  const double a = std::abs(r);
  return a <= kKnee ? r * r : kKnee * (2 * a - kKnee);
}

double huber_weight(double r) {
  const double a = std::abs(r);
  return a <= kKnee ? 1.0 : kKnee / a;
}

class Problem {
 public:
  Problem(const Residual& residual, const ResidualNear& near, const std::vector<Prior>& priors)
      : residual_(residual), near_(near), priors_(priors) {}

  double cost(const std::vector<double>& theta, const std::vector<double>& r) const {
    double sum = 0;
    for (const double value : r) sum += huber_cost(value);
    for (std::size_t j = 0; j < theta.size(); ++j) {
      if (priors_[j].sigma > 0) sum += std::pow(kResidualScale * (theta[j] - priors_[j].mean) / priors_[j].sigma, 2);
    }
    return sum;
  }

  // Normal equations at theta: A = J' W J + prior, b = -(J' W r + prior).
  void normal_equations(const std::vector<double>& theta, const std::vector<double>& r, Eigen::MatrixXd& a, Eigen::VectorXd& b) const {
    const auto n = static_cast<Eigen::Index>(theta.size()), m = static_cast<Eigen::Index>(r.size());
    Eigen::MatrixXd jacobian = Eigen::MatrixXd::Zero(m, n);
    const Residual near = near_(theta);
    for (Eigen::Index j = 0; j < n; ++j) {
      const auto at = static_cast<std::size_t>(j);
      if (priors_[at].sigma <= 0) continue;
      constexpr double kStep = 1e-4;
      std::vector<double> shifted = theta;
      shifted[at] += kStep;
      const std::vector<double> moved = near(shifted);
      for (Eigen::Index i = 0; i < m; ++i) {
        jacobian(i, j) = (moved[static_cast<std::size_t>(i)] - r[static_cast<std::size_t>(i)]) / kStep;
      }
    }
    Eigen::VectorXd weighted(m), weight(m);
    for (Eigen::Index i = 0; i < m; ++i) {
      weight(i) = huber_weight(r[static_cast<std::size_t>(i)]);
      weighted(i) = weight(i) * r[static_cast<std::size_t>(i)];
    }
    a = jacobian.transpose() * weight.asDiagonal() * jacobian;
    b = -(jacobian.transpose() * weighted);
    for (Eigen::Index j = 0; j < n; ++j) {
      const Prior& prior = priors_[static_cast<std::size_t>(j)];
      const double precision = prior.sigma > 0 ? std::pow(kResidualScale / prior.sigma, 2) : 1.0;
      a(j, j) += precision;
      if (prior.sigma > 0) b(j) -= precision * (theta[static_cast<std::size_t>(j)] - prior.mean);
    }
  }

  std::vector<double> residual(const std::vector<double>& theta) const { return residual_(theta); }

 private:
  const Residual& residual_;
  const ResidualNear& near_;
  const std::vector<Prior>& priors_;
};

}  // namespace

std::vector<double> least_squares(const Residual& residual, const std::vector<Prior>& priors) {
  return least_squares(
      residual, [&](const std::vector<double>&) { return residual; }, priors);
}

std::vector<double> least_squares(const Residual& residual, const ResidualNear& near, const std::vector<Prior>& priors) {
  const Problem problem(residual, near, priors);
  std::vector<double> theta;
  for (const auto& prior : priors) theta.push_back(prior.mean);
  std::vector<double> r = problem.residual(theta);
  for (const double value : r) CHECK(std::isfinite(value), "a residual at the start is not finite");

  double cost = problem.cost(theta, r), damping = 1e-2;
  Eigen::MatrixXd a;
  Eigen::VectorXd b;
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    problem.normal_equations(theta, r, a, b);
    bool better = false;
    for (int attempt = 0; attempt < 8 && !better; ++attempt) {
      Eigen::MatrixXd damped = a;
      damped.diagonal() *= 1 + damping;
      const Eigen::VectorXd step = damped.ldlt().solve(b);
      std::vector<double> next = theta;
      // A bounded step: the model is curved and the coordinates are logarithms.
      for (std::size_t j = 0; j < next.size(); ++j) next[j] += std::clamp(step(static_cast<Eigen::Index>(j)), -1.0, 1.0);
      std::vector<double> next_r = problem.residual(next);
      const double next_cost = problem.cost(next, next_r);
      better = next_cost < cost;
      damping *= better ? 0.3 : 4;
      if (!better) continue;
      const double gain = cost - next_cost;
      theta = std::move(next), r = std::move(next_r), cost = next_cost;
      if (gain < 1e-9 * (cost + 1e-12)) return theta;
    }
    if (!better) break;
  }
  return theta;
}

double quantile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = p * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(std::floor(at)), high = static_cast<std::size_t>(std::ceil(at));
  return values[low] + (values[high] - values[low]) * (at - std::floor(at));
}

}  // namespace trillion
