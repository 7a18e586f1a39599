// A block is a stretch of the model that one stage executes as a unit: an embedding, a decoder layer, a head, a
// multi-token-prediction module. It is the list of its kernels, cut at the points where another chunk's kernels may slip in.
//
//   forward           before_exchange  [dispatch]  experts  [combine]
//   input gradient    [combine_backward]  experts_backward  [dispatch_backward]  before_exchange_backward
//   weight gradient   experts_weight  before_exchange_weight
//
// In a decoder layer before_exchange is attention (with norms, projections and gate) and experts is the feed-forward network,
// routed or dense; a dense layer has no exchanges. An embedding or a head is all before_exchange.
//
// The kernels and their order are those of DeepSeek-V3's published profile (deepseek-ai/profile-data@4496024), see
// calibration/raw/h800/deepseek-trace.jsonl; a BF16 block is the same without quantisation.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/moe/expert_load.h"
#include "sim/spec/calibration.h"
#include "sim/spec/model.h"
#include "sim/spec/plan.h"
#include "sim/spec/training.h"
#include "sim/workload/device_mesh.h"
#include "sim/workload/operation.h"

namespace trillion {

enum class BlockKind : std::uint8_t {
  embedding,
  dense_layer,
  moe_layer,
  head,              // final norm, output projection, loss
  mtp_layer,         // a multi-token-prediction module: two norms, a projection of both inputs, a decoder layer
  mtp_head,          // its output: the shared head again, without parameters of its own
  kept_dense_layer,  // as above, but spared from recomputation (plan.recompute_method: block)
  kept_moe_layer,
};
inline constexpr std::size_t kBlockKindCount = 8;

// What bytes and parameters belong to in the memory table. The gate and shared experts are with the experts.
enum class Module : std::uint8_t { embedding, norms, attention, feed_forward, experts, head, layer_inputs };
inline constexpr std::size_t kModuleCount = 7;
inline constexpr std::array<std::string_view, kModuleCount> kModuleNames = {"embedding", "norms", "attention",   "feed-forward",
                                                                            "experts",   "head",  "layer inputs"};

// Bytes that the backward pass needs, held from the forward pass on; named, for the memory table.
struct SavedTensor {
  std::string name;
  Bytes bytes;
  LoadScale scale = LoadScale::none;
  Module module = Module::attention;
};

// Parameters of one rank's share of a block.
struct BlockParameters {
  double dense = 0;       // replicated over data and context parallel ranks
  double expert = 0;      // replicated over expert-data-parallel ranks
  double replicated = 0;  // of `expert`, those of redundant experts and their originals (plan.redundant_experts)
  double total() const { return dense + expert; }
  BlockParameters& operator+=(const BlockParameters& other) {
    dense += other.dense;
    expert += other.expert;
    replicated += other.replicated;
    return *this;
  }
};

// The exchanges of a routed layer over the expert-parallel group (workload/experts.h). Going backward, `combine_backward` carries
// the output's gradient to the experts (and is a dispatch by its traffic), `dispatch_backward` brings the inputs' gradients back.
struct Exchanges {
  std::optional<Operation> dispatch, combine;
  std::optional<Operation> combine_backward_cast, combine_backward, dispatch_backward;
};

struct Block {
  BlockKind kind = BlockKind::dense_layer;
  std::string name;
  Operations before_exchange, experts;
  Operations recompute;  // what the backward pass runs again before anything else (plan.recompute: layer, mlp, moe, shared_experts)
  Operations experts_backward, before_exchange_backward;
  Operations experts_weight, before_exchange_weight;
  Exchanges exchanges;
  std::vector<SavedTensor> saved;
  // PyTorch: what the backward pass holds at its largest moment beside what was saved.
  Bytes transient;
  Bytes kept_to_the_end;  // of what was saved, what goes only after the last backward pass of all (workload/torch_tensors.h)
  BlockParameters parameters;
  std::array<BlockParameters, kModuleCount> parameters_of{};  // the same by module
};

// What a block's kernels depend on besides the model.
struct BlockContext {
  const Model& model;
  const Plan& plan;
  const Training& training;
  const LayerRouting& routing;            // mean routing, which sizes the exchanges
  DType fp8_type = DType::fp8_block;      // what the software stack means by plan.precision: fp8
  bool fuses_residual_with_norm = false;  // the stack adds the residual in the norm's kernel
  Group tensor, context, expert;
  Group expert_tensor = {};
  Framework framework = Framework::fused;
  AttentionLibrary attention = AttentionLibrary::fastest;
  std::int64_t micro_batches = 1;  // per replica and step
  std::vector<UnfusedPart> unfused = {};
  bool runs_apart(UnfusedPart part) const { return std::find(unfused.begin(), unfused.end(), part) != unfused.end(); }
  // Stacks from before FlashAttention train with dropout; models with latent attention do without (workload/unfused_attention.h).
  bool drops_out() const { return runs_apart(UnfusedPart::attention) && !model.mla; }

  // PyTorch with FP32 parameters computes under autocast: each use casts to BF16. Without master weights all is BF16, and so is what
  // FSDP gathers.
  bool autocast() const {
    return framework != Framework::fused && training.optimizer_state.master_weight_bytes > 0 && plan.sharding != Sharding::zero_3;
  }
};

// The same under another plan. `plan` outlives the result.
BlockContext with_plan(const BlockContext& context, const Plan& plan);

Block make_block(BlockKind kind, const BlockContext& context);

// What one micro-batch leaves behind in a block, on the busiest rank.
Bytes saved_bytes(const Block& block, const LayerRouting& routing);

// The layer as it is without recomputation: what plan.recompute_method: block leaves alone.
BlockKind kept(BlockKind layer);
bool is_layer(BlockKind kind);  // a decoder layer, of the model proper

}  // namespace trillion
