// The words by which a profile's `stack` says what software runs: how it cuts a model into kernels, and what it leaves apart.
#pragma once

#include <array>
#include <string_view>

namespace trillion {

// How a stack cuts the model into kernels and issues them.
enum class Framework {
  fused,           // training libraries (Megatron-LM with Transformer Engine, DeepSeek's own): joined projections, fused kernels
  torch_eager,     // PyTorch, one kernel for each operation, each issued by the host
  torch_compiled,  // torch.compile: elementwise chains fused, products as they are written
};
inline constexpr std::array<std::string_view, 3> kFrameworkNames = {"fused", "torch-eager", "torch-compiled"};

// What a PyTorch stack sets that memory depends on.
enum class TorchMemorySetting {
  expandable_segments,  // PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
  reshards_ends,        // fully_shard(model, reshard_after_forward=True): embedding and head are gathered anew for the backward pass
};
inline constexpr std::array<std::string_view, 2> kTorchMemorySettingNames = {"expandable_segments", "reshards_ends"};

// What a stack runs as kernels of its own though others fuse it, or leave it out.
enum class UnfusedPart {
  attention,      // no FlashAttention (workload/unfused_attention.h)
  maximum,        // a pass over a tensor for its largest value before it is cast to FP8 (Transformer Engine's current scaling)
  cross_entropy,  // the loss in FP32, operation by operation (Megatron-LM without --cross-entropy-loss-fusion; workload/ends.cpp; of
                  // torch-compiled: the loss is not compiled)
  // Of framework: fused, workload/apart.h.
  bias,
  layouts,
  gradient_sums,
  squared_relu,
  accumulation,
  expert_casts,
  // Passes over gradients and parameters around the update, workload/step_end.h.
  optimizer,
  loss_scaling,
  rms_norm,        // of torch-eager: written out in FP32 (workload/torch_written_out.h)
  rotation,        // of torch-*: rotary embedding as a product of complex numbers, which inductor does not compile
  repeated_heads,  // of torch-*: keys and values are copied out to every query head before attention
  // Sequence parallelism of DTensors: pieces of sequences are gathered and scattered along the second dimension, which a copy before
  // or after the collective makes the first (torch/distributed/_functional_collectives.py, all_gather_tensor, reduce_scatter_tensor).
  sequence_copies,
  launches,  // of framework: fused, kernels that Python issues one by one (workload/launches.h)
  blocking,  // the same, each only after the one before has ended (CUDA_LAUNCH_BLOCKING=1)
};
inline constexpr std::array<std::string_view, 17> kUnfusedPartNames = {
    "attention",    "maximum",        "cross_entropy",   "bias",      "layouts",      "gradient_sums",
    "squared_relu", "accumulation",   "expert_casts",    "optimizer", "loss_scaling", "rms_norm",
    "rotation",     "repeated_heads", "sequence_copies", "launches",  "blocking"};

}  // namespace trillion
