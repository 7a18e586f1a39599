// The activation between the two matrices of a feed-forward network, shared by dense layers, shared and routed experts.
#pragma once

#include <cstdint>
#include <string>

#include "sim/workload/passes.h"

namespace trillion {

struct FeedForward {
  std::string name;
  std::int64_t rows = 0;   // tokens, or token copies
  std::int64_t width = 0;  // this rank's share of the intermediate size
  LoadScale scale = LoadScale::none;
  RecomputeModule module = RecomputeModule::mlp;  // the one around it
};

// Whether the backward pass runs the whole network again, so that nothing inside it is kept.
bool runs_again(const FeedForward& f, const BlockContext& context);
// Whether it runs the activation alone again.
bool activation_again(const FeedForward& f, const BlockContext& context);

// Matrices before the activation: 2 for a gated one (SwiGLU), else 1.
std::int64_t up_factor(const Model& model);

// `activated_per_element`: bytes written for each output value; the FP8 recipe writes it quantised.
Operation activation_forward(const FeedForward& f, const BlockContext& context, Bytes activated_per_element);

// Reads input and output gradient, writes the input's gradient and so many bytes more of each output value.
Operation activation_backward(const FeedForward& f, const BlockContext& context, Bytes also_written_per_element);

// FP8 recipe with plan.recompute: activation. The input is kept in FP8 and restored to BF16 in the backward pass; the output is
// computed again on the way into the weight gradient's operand (DeepSeek-V3 report, section 3.3.3).
bool keeps_input_in_fp8(const FeedForward& f, const BlockContext& context);
Operation keep_input(const FeedForward& f, const BlockContext& context);
Operation restore_input(const FeedForward& f, const BlockContext& context);
Operation output_again_as_operand(const FeedForward& f, const BlockContext& context);

void add_saved_activation(Passes& passes, const FeedForward& f, const BlockContext& context);

}  // namespace trillion
