#include "sim/spec/chip_power.h"

#include <algorithm>
#include <cmath>

namespace trillion {
namespace {

double product_bytes(double m, double n, double k, DType dtype, bool accumulate) {
  return element_bytes(dtype).value() * (m * k + k * n) + (accumulate ? 8.0 : 2.0) * m * n;
}

void add_product(Draw& draw, Flops work, DType dtype, Seconds time) {
  const double rate = work.value() / time.value() / 1e12;
  (dtype == DType::fp8 || dtype == DType::fp8_block ? draw.fp8 : draw.bf16) += rate;
}

// No clock below a third of the highest is held by the limit alone.
constexpr double kLowest = 1.0 / 3;

}  // namespace

std::optional<Draw> draw_of(const Shape& shape, Seconds time) {
  Draw d;
  if (const auto* g = std::get_if<Gemm>(&shape)) {
    add_product(d, flops(*g), g->dtype, time);
    const double bytes =
        product_bytes(static_cast<double>(g->m), static_cast<double>(g->n), static_cast<double>(g->k), g->dtype, g->accumulate_fp32);
    d.memory = bytes / time.value() / 1e12;
  } else if (const auto* grouped = std::get_if<GroupedGemm>(&shape)) {
    add_product(d, flops(*grouped), grouped->dtype, time);
    double bytes = 0;
    for (const std::int64_t tokens : grouped->m) {
      const double t = static_cast<double>(tokens), n = static_cast<double>(grouped->n), k = static_cast<double>(grouped->k);
      bytes += grouped->layout == GemmLayout::weight_gradient ? product_bytes(k, n, t, grouped->dtype, grouped->accumulate_fp32)
                                                              : product_bytes(t, n, k, grouped->dtype, grouped->accumulate_fp32);
    }
    d.memory = bytes / time.value() / 1e12;
  } else if (const auto* a = std::get_if<Attention>(&shape)) {
    d.attention = flops(*a).value() / time.value() / 1e12;
  } else if (std::holds_alternative<MemoryBound>(shape)) {
    d.memory_kernel = true;
  } else {
    return std::nullopt;
  }
  return d;
}

Watts draw(const ChipPower& p, const Draw& d, double clock_mhz) {
  const double clock = clock_mhz / p.clock_max_mhz;
  if (d.memory_kernel) return p.idle + p.memory_kernels * std::min(1.0, p.memory_clock * clock);
  const double watts = p.bf16.value() * d.bf16 + p.fp8.value() * d.fp8 + p.attention.value() * d.attention + p.memory.value() * d.memory;
  return p.idle + std::pow(clock, p.exponent - 1) * (p.products * clock + Watts{watts});
}

double clock_alone(const ChipPower& p, const Draw& d) {
  if (d.memory_kernel) return p.clock_max_mhz;
  double low = kLowest, high = 1;
  if (draw(p, d, high * p.clock_max_mhz) <= p.limit) return p.clock_max_mhz;
  for (int halving = 0; halving < 48; ++halving) {
    const double middle = (low + high) / 2;
    (draw(p, d, middle * p.clock_max_mhz) > p.limit ? high : low) = middle;
  }
  return p.clock_max_mhz * low;
}

Seconds time_at(const ChipPower& p, const PowerLoad& load, double clock_mhz) {
  if (load.draw.memory_kernel) {
    if (load.memory >= load.burst) return load.burst;
    const double memory = std::pow(load.memory / load.burst, 4),
                 slower = std::pow(std::max(1.0, p.clock_max_mhz / (p.memory_clock * clock_mhz)), 4);
    return load.burst * std::pow(memory + (1 - memory) * slower, 0.25);
  }
  ChipPower measured = p;
  if (p.measured_under.value() > 0) measured.limit = p.measured_under;
  return std::max(load.burst, load.sustained * (clock_alone(measured, load.draw) / clock_mhz));
}

namespace {

Watts mean_draw(const ChipPower& p, const std::vector<PowerLoad>& loads, double clock_mhz) {
  Joules energy;
  Seconds time;
  for (const PowerLoad& load : loads) {
    const Seconds t = time_at(p, load, clock_mhz);
    const double faster = load.sustained / t;  // the rates are those of the sustained time
    Draw d = load.draw;
    d.bf16 *= faster, d.fp8 *= faster, d.attention *= faster, d.memory *= faster;
    energy += draw(p, d, clock_mhz) * t * load.count;
    time += t * load.count;
  }
  return energy / time;
}

}  // namespace

double step_clock(const ChipPower& p, const std::vector<PowerLoad>& loads) {
  double low = kLowest * p.clock_max_mhz, high = p.clock_max_mhz;
  if (loads.empty() || mean_draw(p, loads, high) <= p.limit) return high;
  // To a tenth of a MHz.
  while (high - low > 0.1) {
    const double middle = (low + high) / 2;
    (mean_draw(p, loads, middle) > p.limit ? high : low) = middle;
  }
  return low;
}

}  // namespace trillion
