// Nonlinear least squares with priors and a robust loss: Levenberg-Marquardt on
//
//   sum_i rho(r_i(theta)) + sum_j ((theta_j - mean_j) / sigma_j)^2 residual_scale^2,      rho: Huber, knee at kKnee
//
// r_i = ln(predicted_i / measured_i). Parameters are logarithms (or other free coordinates), so that they stay positive. The
// priors keep a fit of few points sane and are washed out by many. Derivatives are numeric; sizes here are tens by hundreds.
// Deterministic: no randomness, fixed iteration order.
#pragma once

#include <functional>
#include <vector>

namespace trillion {

struct Prior {
  double mean = 0;
  double sigma = 1;  // how far the data may pull it; 0: fixed
};

// Residuals of a parameter vector, always of the same length.
using Residual = std::function<std::vector<double>(const std::vector<double>&)>;

// `near(theta)` is a residual that equals residual() at theta and has its derivatives there, and may be cheaper: a model that takes
// the least of many alternatives is, nearby, the one alternative that it took (the envelope theorem). Derivatives are taken of it.
using ResidualNear = std::function<Residual(const std::vector<double>&)>;

// REQUIRES: residual(means) is finite. Returns the parameters at the minimum found.
std::vector<double> least_squares(const Residual& residual, const std::vector<Prior>& priors);
std::vector<double> least_squares(const Residual& residual, const ResidualNear& near, const std::vector<Prior>& priors);

// The p-quantile, linear between order statistics; 0 of nothing.
double quantile(std::vector<double> values, double p);

}  // namespace trillion
