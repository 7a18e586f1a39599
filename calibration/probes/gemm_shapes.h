// Which matrix products the gemm probe measures, most telling first.
//
// Two sources: a space-filling design (low-discrepancy points, uniform in the logarithm of m in 128..32768 and of n and k
// in 256..32768) that a fit can interpolate and be tested on, and the products of well-known models at
// 4096 and 8192 tokens and tensor parallelism 1..8, which are the ones that people ask about.
#pragma once

#include <vector>

#include "bench.h"
#include "lt_gemm.h"

namespace probe {

struct GemmPoint {
  GemmShape shape;
  Load load = Load::kBurst;
};

// Burst and sustained points interleaved so that any prefix is a usable calibration. Deterministic.
std::vector<GemmPoint> gemm_points();

}  // namespace probe
