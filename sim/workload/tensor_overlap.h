// Tensor-parallel collectives in pieces beside the GEMM that they feed or drain (Transformer Engine's userbuffers, Megatron-LM
// --tp-comm-overlap; comm_gemm_overlap.cpp at 015939a, split_overlap_ag and split_overlap_rs): n ranks, n pieces of the rows.
//
//   all-gather before a GEMM     a ring: while a rank multiplies a piece, the next one arrives; n - 1 sends
//   reduce-scatter after a GEMM  each piece goes to the rank that it belongs to while the next is multiplied; n - 1 sends, and one
//                                kernel that adds up the n pieces at the end
//
//   all-gather, [cast], GEMM  ->  GEMM 1, send 1 | GEMM 2, send 2 | ... GEMM n
//   GEMM, reduce-scatter      ->  GEMM 1, send 1 | GEMM 2, send 2 | ... GEMM n, sum
//
// The pieces' GEMMs are issued on several streams: where pieces wait for nothing they fill the chip together, so each takes its share
// of the whole. Sends are copies by the copy engines.
//
// PyTorch (torch/_inductor/fx_passes/micro_pipeline_tp.py at 00122fb) does the same to a product whose result is scattered at once. The
// gradient of what queries, keys and values, or gate and up projection have read is a sum over their products: Sums::whole leaves its
// reduce-scatter as it is.
#pragma once

#include <cstdint>

#include "sim/workload/operation.h"

namespace trillion {

// Whether reduce-scatters are cut into pieces too, or wait for the whole.
enum class Sums : bool { in_pieces, whole };

// Replaces the tensor-parallel all-gathers and reduce-scatters of a chain that have a GEMM to run beside; leaves the others.
// REQUIRES: ranks >= 1.
Operations with_overlapped_collectives(const Operations& ops, std::int64_t ranks, Sums sums = Sums::in_pieces);

}  // namespace trillion
