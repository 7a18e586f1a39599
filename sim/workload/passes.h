// The three passes of one module of a layer (attention, a feed-forward network, a head) on one rank, and what the forward pass
// must keep for the other two.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/workload/block.h"
#include "sim/workload/linear.h"

namespace trillion {

struct Passes {
  Operations forward, backward, weight;
  std::vector<SavedTensor> saved;
  Operations recompute = {};  // what the backward pass runs again before anything else
  Bytes transient = {};       // Block::transient
};

// The operation as the backward pass runs it once more.
Operation again(Operation op);
Operations again(const Operations& ops);

// Sizes that all modules share. A micro-batch's tokens on this rank: `tokens` inside attention and the linear layers;
// `residual_tokens` on the residual stream, which sequence parallelism splits over the tensor-parallel group.
struct Sizes {
  explicit Sizes(const BlockContext& context);
  std::int64_t tokens = 0, residual_tokens = 0;
  std::int64_t sequences = 0;
  std::int64_t hidden = 0;
  std::int64_t tensor = 1;
  std::int64_t vocabulary = 0;      // of this rank; rows that do not divide are padded, as Megatron-LM pads them
  DType linear_type = DType::bf16;  // of the layers that the precision recipe quantises

  // Bytes of a BF16 activation with so many channels.
  Bytes bf16(std::int64_t channels) const { return Bytes{2.0 * static_cast<double>(tokens) * static_cast<double>(channels)}; }
  Bytes residual() const { return Bytes{2.0 * static_cast<double>(residual_tokens) * static_cast<double>(hidden)}; }
  // Of the tokens, what lies on one tensor-parallel rank between its modules.
  double shard() const { return static_cast<double>(residual_tokens) / static_cast<double>(tokens); }
  bool fp8() const { return linear_type != DType::bf16; }
};

Passes latent_attention(const BlockContext& context);         // MLA
Passes grouped_query_attention(const BlockContext& context);  // MHA, GQA, MQA
Passes dense_feed_forward(const BlockContext& context);
Passes gate(const BlockContext& context);                 // router scores and top-k, up to the dispatch
Passes routed_feed_forward(const BlockContext& context);  // shared and routed experts, between dispatch and combine
Passes embedding(const BlockContext& context);
Passes output_head(const BlockContext& context);     // final norm, projection, loss
Passes mtp_projection(const BlockContext& context);  // multi-token prediction: norms and the projection of both inputs

inline void append(Operations& to, const Operations& from) { to.insert(to.end(), from.begin(), from.end()); }

// Normalisation of the residual stream and its recomputation, as plan.recompute says. `name` tells which.
// `joined`: the stack runs the residual addition before it in the same kernel (calibration stack.fused: add+rms_norm).
void add_norm(Passes& passes, const BlockContext& context, const std::string& name, bool joined = false);

// The norm as the backward pass runs it once more where plan.recompute says so.
Operation norm_again(const BlockContext& context, const std::string& name);

// What leaves a module is added to the residual stream. Stacks without FlashAttention are those that train with dropout: there the
// addition also drops, keeps a byte of mask a value, and the backward pass begins by dropping the same gradients.
void add_residual(Passes& passes, const BlockContext& context, const std::string& name);

// Tensor-parallel communication around a pair of column- and row-split layers: what enters and what leaves.
// With sequence parallelism all-gather in and reduce-scatter out (Korthikanti et al. 2022), else an all-reduce out (Megatron-LM);
// the backward pass mirrors it. Sequence parallelism keeps a shard of the input and gathers it again for the weight gradient.
// What FP8 products read is gathered in FP8, going back too; sums travel in BF16 (Transformer Engine@d0067d0
// transformer_engine/pytorch/distributed.py _all_gather_fp8; torchao float8/float8_tensor_parallel.py).
// With plan.tensor_parallel_overlap: bulk the two collectives of the entry's backward pass run beside the products around them.
struct EntryBackward {
  Operations before, after;  // the input gradient's GEMM
};
EntryBackward add_tensor_entry(Passes& passes, const BlockContext& context, const std::string& name, DType products);
void add_tensor_exit(Passes& passes, const BlockContext& context, const std::string& name, DType products);

}  // namespace trillion
