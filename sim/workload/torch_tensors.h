// The tensors of one block of a PyTorch model (workload/torch.h), forward and backward, as workload/tensor_tape.h records them. Sizes and
// order are those that PyTorch's memory history shows of calibration/steps on H100s (2.11, 26 November 2026), of a decoder under
// fully_shard with selective checkpointing too; kernels that compiled code fuses leave no tensor between them.
//
// Under `plan.recompute: [products]` outputs of attention and of the first, third ... product are kept, in FP8 as in BF16: the policy sees
// torch.mm before the FP8 tensors take it apart (pytorch/torchtitan, apply_ac's policy by operation). Eager code keeps them even where
// nothing reads them again; compiled code keeps what its backward pass reads.
#pragma once

#include <vector>

#include "sim/workload/block.h"
#include "sim/workload/tensor_tape.h"

namespace trillion {

struct BlockTensors {
  std::vector<double> parameters;  // elements, in the order of the modules; what a tied head uses is the embedding's
  TensorTape::Events forward, backward;
  TensorTape::Tensor output = TensorTape::kNone, input_gradient = TensorTape::kNone;
};

// `load`: rows of the busiest rank's experts over the mean.
BlockTensors torch_tensors(BlockKind kind, const BlockContext& context, double load);

}  // namespace trillion
