// Shape keys: what one kernel or one collective is asked to do. They join the probes' rows, the fitted curves, timing/ and
// workload/, so a field here is a field in the raw files and in `trillion time` (../shared/INTERFACE.md, "Shapes").
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/memory_kernel.h"

namespace trillion {

enum class DType {
  bf16,
  fp8,        // E4M3 with tensor-wide scales
  fp8_block,  // E4M3 with 1x128 activation scales by 128x128 weight scales (DeepSeek-V3 report, section 3.3.2)
  fp32,
};
inline constexpr std::array<std::string_view, 4> kDTypeNames = {"bf16", "fp8", "fp8_block", "fp32"};

// Bytes of one element, scales not counted.
Bytes element_bytes(DType dtype);

// Which of a linear layer's three products this is. The three differ in operand transposition and in what is accumulated,
// so they have curves of their own.
enum class GemmLayout { forward, input_gradient, weight_gradient };
inline constexpr std::array<std::string_view, 3> kGemmLayoutNames = {"forward", "input_gradient", "weight_gradient"};

// C[m,n] = A[m,k] B[k,n]. For a linear layer in -> out over t tokens:
//   forward         m = t,   n = out, k = in
//   input_gradient  m = t,   n = in,  k = out
//   weight_gradient m = out, n = in,  k = t
struct Gemm {
  DType dtype = DType::bf16;
  std::int64_t m = 0, n = 0, k = 0;
  GemmLayout layout = GemmLayout::forward;
  bool accumulate_fp32 = false;  // C += A B with C in FP32, as gradients accumulate over micro-batches

  friend bool operator==(const Gemm&, const Gemm&) = default;
};

// One GEMM per group in one kernel; groups share n and k and differ in m (weight_gradient: in k, which `m` then holds).
struct GroupedGemm {
  DType dtype = DType::bf16;
  std::vector<std::int64_t> m;
  std::int64_t n = 0, k = 0;
  GemmLayout layout = GemmLayout::forward;
  bool accumulate_fp32 = false;

  friend bool operator==(const GroupedGemm&, const GroupedGemm&) = default;
};

enum class Direction { forward, backward };
inline constexpr std::array<std::string_view, 2> kDirectionNames = {"forward", "backward"};

// Whose fused attention: the fastest that was measured, or FlashAttention-2 as PyTorch ships it.
enum class AttentionLibrary { fastest, flash };
inline constexpr std::array<std::string_view, 2> kAttentionLibraryNames = {"fastest", "flash"};

// Fused scaled-dot-product attention (FlashAttention and its kin).
struct Attention {
  DType dtype = DType::bf16;
  std::int64_t batch = 1, heads = 0, kv_heads = 0;
  std::int64_t queries = 0, keys = 0;  // tokens
  std::int64_t qk_dim = 0, v_dim = 0;  // per head
  bool causal = true;
  Direction direction = Direction::forward;
  AttentionLibrary library = AttentionLibrary::fastest;

  friend bool operator==(const Attention&, const Attention&) = default;
};

enum class CollectiveKind { all_reduce, all_gather, reduce_scatter, all_to_all, send_recv, broadcast, expert_dispatch, expert_combine };
inline constexpr std::array<std::string_view, 8> kCollectiveKindNames = {"all_reduce", "all_gather", "reduce_scatter",  "all_to_all",
                                                                         "send_recv",  "broadcast",  "expert_dispatch", "expert_combine"};

// bytes as nccl-tests counts "size": the whole buffer of one rank (all-gather and reduce-scatter: the total over ranks).
// expert_dispatch / expert_combine: bytes = what one rank sends (receives) over its own NIC; scale_up_bytes = what it sends
// over NVLink. `ranks_per_node` is how many members of the group share one node.
struct Collective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  Bytes bytes;
  std::int64_t ranks = 1;
  std::int64_t ranks_per_node = 1;
  Bytes scale_up_bytes;
  double nic_share = 1;  // of its NICs' rate, what the switches between them leave the group (net/link_load.h)

  friend bool operator==(const Collective&, const Collective&) = default;
};

using Kernel = std::variant<Gemm, GroupedGemm, Attention, MemoryBound>;
using Shape = std::variant<Gemm, GroupedGemm, Attention, MemoryBound, Collective>;

// Arithmetic of one call, multiply and add counted apart. Causal attention counts the half that is computed; the backward pass
// of attention counts the five products that FlashAttention-2 really runs (2.5x the forward's two).
Flops flops(const Gemm& gemm);
Flops flops(const GroupedGemm& gemm);
Flops flops(const Attention& attention);

// Which power state a kernel meets: alone on a cool chip, or in a long step where the power limit holds the clock down.
enum class Load { burst, sustained };
inline constexpr std::array<std::string_view, 2> kLoadNames = {"burst", "sustained"};

}  // namespace trillion
