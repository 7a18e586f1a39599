// What follows the last micro-batch: gradients meet over the data-parallel replicas, are clipped by their global norm, the
// optimizer updates this rank's shard, and the new parameters are gathered.
//
// Dense parameters are replicated over the data-parallel group, routed experts over the (smaller) expert-data-parallel group;
// with DualPipe every stage lives on two pipeline ranks, so both groups double.
#pragma once

#include <optional>

#include "sim/spec/scenario.h"
#include "sim/workload/block.h"
#include "sim/workload/device_mesh.h"

namespace trillion {

// ZeRO-2 and ZeRO-3 hold a shard of the gradients only, so each micro-batch's are reduced. Under a pipeline, whose micro-batches
// are many, they are kept whole and reduced once: PyTorch's pipeline stages switch FSDP's synchronisation off until the last backward
// (torch.distributed.pipelining.stage, backward_maybe_with_nosync).
bool reduces_every_micro_batch(const Plan& plan);

// The two kinds of parameters have groups of their own. States are shared within `dense` and `expert`; with plan.sharding_group there
// are several such groups, whose members of the same place form `dense_copies` and `expert_copies`.
struct GradientGroups {
  Group dense, expert;
  Group dense_copies = {}, expert_copies = {};
  Group replicas = {};  // of one redundant expert (workload/experts.h)
};
// `copies`: pipeline ranks that hold the same stage (DualPipe: 2).
GradientGroups gradient_groups(const DeviceMesh& mesh, std::int64_t copies, const Plan& plan);

// Gradients of one block, or of a bucket of blocks; empty where there is nobody to share with. With copies, every member's share of
// the sum is then added up over them. Redundant experts saw different tokens: their gradients are summed within the expert-parallel
// group first, as FlexMoE does (arXiv:2304.03946, section 3), after which each replica updates like an expert of its own.
struct BlockReduction {
  std::optional<Operation> dense, expert;
  std::optional<Operation> dense_copies = {}, expert_copies = {};
  std::optional<Operation> replicas = {};
};
BlockReduction gradient_reduction(const BlockParameters& p, const GradientGroups& groups, const Plan& plan, const Training& training);

// Parameters of one block, gathered in BF16.
BlockReduction parameter_gather(const BlockParameters& p, const GradientGroups& groups, const Plan& plan);

// PyTorch's FSDP2 (framework torch-*, zero-3) copies on the compute stream: what was gathered lies rank after rank and is taken apart
// into parameters, BF16 read and written; gradients are cut into the ranks' chunks in the type of their reduction
// (torch/distributed/fsdp/_fully_shard/_fsdp_collectives.py: foreach_all_gather_copy_out, foreach_reduce_scatter_copy_in). Empty
// elsewhere and where nothing is shared. The copy of the shards into a gather's input, one group-size-th of this on a stream of its
// own, is left out.
struct ShardCopies {
  std::optional<Operation> gathered, reduced;
};
ShardCopies shard_copies(const BlockParameters& p, const GradientGroups& groups, const Scenario& scenario);

// Parameters that are reduced or gathered in one collective at least.
double bucket_parameters(const Plan& plan, const Group& group);

// Parameters whose optimizer state one rank holds.
double optimizer_shard(const BlockParameters& p, const GradientGroups& groups, const Plan& plan);

// Parameters of one rank: those whose optimizer state it holds, and those that it computes with.
struct HeldParameters {
  double shard = 0, whole = 0;
};

// Kernels of clipping, update and, in FP8, quantisation of the weights for the next step. `world`: all GPUs of the run.
// PyTorch's AdamW is one fused kernel over parameters of one type, and its scripts clip only where they say so: no norm.
//
// stack.unfused `optimizer`: with g bytes a gradient, p parameters of the rank and q whose state it holds, Megatron-LM
//   before  zeroes the gradients (writes g p), divides them by the replicas (reads and writes g p;
//   core/distributed/param_and_grad_buffer.py) after   copies the updated master weights to BF16 (reads 4 q, writes 2 q; optimizer.py,
//   _copy_main_params_to_model_params)
// `loss_scaling`, of FP16: before, it copies gradients to FP32 (reads g q, writes 4 q) and unscales and checks them (reads and writes
// 4 q; _unscale_main_grads_and_check_for_nan). Scaling by the clipped norm runs only where the norm is above the limit: left out.
struct OptimizerKernels {
  std::optional<Operation> gradient_norm, norm_exchange;
  Operation update;
  std::optional<Operation> quantise;
  Operations before = {}, after = {};  // of the gradient's norm, of the update
};
OptimizerKernels optimizer_kernels(const HeldParameters& held, const Group& world, const Scenario& scenario);

}  // namespace trillion
