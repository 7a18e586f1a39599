#include "sim/workload/tensor_overlap.h"

#include <algorithm>
#include <span>

#include "sim/workload/linear.h"

namespace trillion {

namespace {

bool is_in_chain(const Operation& op, CollectiveKind kind) {
  const auto* collective = std::get_if<Collective>(&op.what);
  return collective && collective->kind == kind && op.lane == Lane::tensor && op.order == Order::chain;
}

bool is_gemm(const Operation& op) { return std::holds_alternative<Gemm>(op.what); }
bool is_kernel(const Operation& op) { return op.lane == Lane::compute && !std::holds_alternative<Collective>(op.what); }

Operation piece(Operation op, std::int64_t n) {
  op.host_calls /= static_cast<int>(n);  // one call makes all
  op.share /= static_cast<double>(n);
  return op;
}

// One piece, to one neighbour.
Operation send(const Operation& collective, std::int64_t ranks) {
  Operation op = collective;
  auto& c = std::get<Collective>(op.what);
  op.label += " piece";
  c.kind = CollectiveKind::send_recv;
  c.bytes *= 1.0 / static_cast<double>(ranks);
  op.order = Order::ahead;
  op.copy_engine = c.ranks_per_node >= c.ranks;
  return op;
}

// The sends need nothing from this rank's GEMMs. `kernels` work on gathered rows, the GEMM at the end.
void gather_beside(Operations& out, const Operation& gather, std::span<const Operation> kernels, std::int64_t ranks) {
  for (std::int64_t i = 1; i < ranks; ++i) out.push_back(send(gather, ranks));
  for (std::int64_t i = 0; i < ranks; ++i) {
    for (std::size_t k = 0; k < kernels.size(); ++k) {
      out.push_back(piece(kernels[k], ranks));
      if (k == 0 && i > 0) out.back().order = Order::meets;
    }
  }
}

// Rows of this rank, where the others can read them.
Operation share_rows(const Operation& gather, std::int64_t ranks) {
  const Bytes rows = std::get<Collective>(gather.what).bytes * (1.0 / static_cast<double>(ranks));
  return memory_operation(gather.label + " shared rows", Category::norm_and_elementwise, MemoryKernel::copy, rows, rows);
}

Operation sum_of_pieces(const Operation& scatter, std::int64_t ranks, PieceLibrary library) {
  const Bytes whole = std::get<Collective>(scatter.what).bytes, piece = whole * (1.0 / static_cast<double>(ranks));
  const bool torch = library == PieceLibrary::symmetric_memory;
  return memory_operation(scatter.label + " sum of pieces", Category::norm_and_elementwise,
                          torch ? MemoryKernel::torch_mean : MemoryKernel::add, whole, torch ? 8 * piece : piece);
}

void scatter_beside(Operations& out, const Operation& scatter, std::span<const Operation> kernels, std::int64_t ranks,
                    PieceLibrary library) {
  for (std::int64_t i = 0; i < ranks; ++i) {
    for (const Operation& kernel : kernels) out.push_back(piece(kernel, ranks));
    if (i + 1 < ranks) out.push_back(send(scatter, ranks));
  }
  out.push_back(sum_of_pieces(scatter, ranks, library));
  out.back().order = Order::meets_all;
}

}  // namespace

Operations with_overlapped_collectives(const Operations& ops, std::int64_t ranks, PieceLibrary library) {
  if (ranks == 1) return ops;
  const bool torch = library == PieceLibrary::symmetric_memory;
  Operations out;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (is_in_chain(ops[i], CollectiveKind::all_gather)) {
      std::size_t end = i + 1;
      while (end < ops.size() && is_kernel(ops[end]) && !is_gemm(ops[end])) ++end;
      if (end < ops.size() && is_gemm(ops[end])) {
        if (torch) {
          while (end + 1 < ops.size() && is_gemm(ops[end + 1])) ++end;
          out.push_back(share_rows(ops[i], ranks));
        }
        gather_beside(out, ops[i], std::span(ops).subspan(i + 1, end - i), ranks);
        i = end;
        continue;
      }
    }
    if (is_in_chain(ops[i], CollectiveKind::reduce_scatter)) {
      std::size_t begin = out.size();
      while (!torch && begin > 0 && is_kernel(out[begin - 1]) && !is_gemm(out[begin - 1])) --begin;
      if (begin > 0 && is_gemm(out[begin - 1]) && out[begin - 1].order == Order::chain) {
        const Operations kernels(out.begin() + static_cast<std::ptrdiff_t>(begin) - 1, out.end());
        out.resize(begin - 1);
        scatter_beside(out, ops[i], kernels, ranks, library);
        continue;
      }
    }
    out.push_back(ops[i]);
  }
  return out;
}

}  // namespace trillion
