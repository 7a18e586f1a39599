// Tensor-parallel collectives in pieces beside the GEMM that they feed or drain, as rings of sends (Transformer Engine's userbuffers,
// Megatron-LM --tp-comm-overlap): n ranks, n pieces of the rows.
//
//   all-gather before a GEMM     a rank starts with its own rows; while it multiplies a piece, the next one arrives: n - 1 sends
//   reduce-scatter after a GEMM  a piece's partial sum is sent on while the next is multiplied, and added to on arrival: n - 1 sends
//
//   all-gather, [cast], GEMM  ->  GEMM 1, send 1 | GEMM 2, send 2 | ... GEMM n
//   GEMM, reduce-scatter      ->  GEMM 1, send 1 | GEMM 2, add, send 2 | ... GEMM n, add
#pragma once

#include <cstdint>

#include "sim/workload/operation.h"

namespace trillion {

// Replaces the tensor-parallel all-gathers and reduce-scatters of a chain that have a GEMM to run beside; leaves the others.
// REQUIRES: ranks >= 1.
Operations with_overlapped_collectives(const Operations& ops, std::int64_t ranks);

}  // namespace trillion
