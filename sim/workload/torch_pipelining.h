// What torch.distributed.pipelining keeps beside what autograd saves (pytorch/pytorch@0138610, torch/distributed/pipelining/stage.py and
// _backward.py):
//
//   buffers   of every micro-batch, from the first step on: for the input of each stage that is not the first (_prepare_forward_infra)
//             and for the gradient of the output of each that is not the last (_prepare_backward_infra). Between two stages of one
//             rank they are the tensors of the step before, or of this one.
//   outputs   of a pass under way (fwd_cache): what is sent on, and the last stage's logits in BF16, of which its loss saves a copy in FP32
//   split     a backward pass without weight gradients keeps the gradient of each product's and norm's output (get_hook). The first stage
//             has no input that wants a gradient: its whole backward pass is the weight gradients' pass. A compiled layer is one
//             function: the gradient of its output.
#pragma once

#include <vector>

#include "sim/workload/activation_walk.h"
#include "sim/workload/block.h"

namespace trillion {

// All blocks of one stage, and where it stands.
struct PipelinedStage {
  std::vector<const Block*> blocks;
  bool first = false, last = false;
  bool next_is_here = false;  // the stage after it is on the same rank
};

// Of a stage, all micro-batches'. `message`: the hidden states of one.
Bytes pipelining_buffers(const PipelinedStage& stage, Bytes message, std::int64_t micro_batches);

// `beside` and `split` of StageHold; the input, which is among `saved`, counts with the buffers.
StageHold kept_by_pipelining(const PipelinedStage& stage, Bytes message, Framework framework);

}  // namespace trillion
