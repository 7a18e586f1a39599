// The tensors of one block of a PyTorch model (workload/torch.h), forward and backward, as workload/tensor_tape.h records them. Sizes and
// order are those that PyTorch's memory history shows of calibration/steps on H100s (2.11, 26 November 2026), of a decoder under
// fully_shard with selective checkpointing too; kernels that compiled code fuses leave no tensor between them.
//
// Under `plan.recompute: [products]` outputs of attention and of the first, third ... product are kept, in FP8 as in BF16: the policy sees
// torch.mm before the FP8 tensors take it apart (pytorch/torchtitan, apply_ac's policy by operation). Eager code keeps them even where
// nothing reads them again; compiled code keeps what its backward pass reads.
//
// One graph of the whole model (workload/torch.h, is_one_graph) keeps of each layer both norms' inputs and outputs, rotated queries and
// keys, values, attention's output and log-sum-exps, the activation's operands and its output (AOTAutograd's min-cut: products and
// reductions are not computed again, nor what a weight's gradient would read), under checkpointing its input; and the logits in BF16.
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

// A block's backward pass, its parameters' gradients among it.
struct BackwardBytes {
  double largest = 0;  // the most that is there beside all that was saved, which goes on the way
  double left = 0;     // of what was saved, what the model's whole backward pass keeps to its end
};
BackwardBytes backward_bytes(const BlockTensors& block, double input, double output_gradient);

}  // namespace trillion
