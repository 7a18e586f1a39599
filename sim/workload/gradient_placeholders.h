// Tensors that stand in for weight gradients.
//
// A product that adds a weight gradient to the gradient buffer itself has nothing to hand to autograd, which asks for a tensor all the
// same. Transformer Engine keeps one of each shape, in 16 bits and never written, from the first backward pass on (get_dummy_wgrad in
// transformer_engine/pytorch/module/base.py at ba5dc5d; before that one at a time); Megatron-LM's own layers do as much while theirs
// runs (core/tensor_parallel/layers.py). Experts of one shape share one.
#pragma once

#include <vector>

#include "sim/workload/block.h"

namespace trillion {

// Of one rank's blocks; nothing for stacks that are not Megatron-Core with Transformer Engine (calibration stack.unfused: layouts, and
// no accumulation).
Bytes gradient_placeholders(const std::vector<const Block*>& blocks, const BlockContext& context);

}  // namespace trillion
