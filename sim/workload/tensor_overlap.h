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
// PyTorch's asynchronous tensor parallelism (torch.compile with _micro_pipeline_tp; torch/distributed/_symmetric_memory/__init__.py,
// torch/_inductor/fx_passes/micro_pipeline_tp.py; PyTorch 2.11) does the same with these differences:
//   - its peers read from a buffer that all can reach, into which a rank first copies its rows
//   - all GEMMs that read what is gathered run on each piece
//   - pieces of a sum are added up by torch.mean over them, which is slow (MemoryKernel::torch_mean)
//   - only a GEMM whose output nothing else touches drains in pieces: gradients that several GEMMs add up to are scattered whole, with
//     nothing beside that
// Left out: the barriers between ranks (4 us each, 3 an operation) and the copy of a rank's own rows into what is gathered, which runs
// beside the last pieces. calibration/raw/h100/later/symmetric-memory*.jsonl have what both operations take on two GPUs, and layers of
// them.
#pragma once

#include <cstdint>

#include "sim/workload/operation.h"

namespace trillion {

enum class PieceLibrary { userbuffers, symmetric_memory };

// Replaces the tensor-parallel all-gathers and reduce-scatters of a chain that have a GEMM to run beside; leaves the others.
// REQUIRES: ranks >= 1.
Operations with_overlapped_collectives(const Operations& ops, std::int64_t ranks, PieceLibrary library = PieceLibrary::userbuffers);

}  // namespace trillion
