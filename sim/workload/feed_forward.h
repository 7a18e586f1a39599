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
};

// Matrices before the activation: 2 for a gated one (SwiGLU), else 1.
std::int64_t up_factor(const Model& model);

// `activated_per_element`: bytes written for each output value; the FP8 recipe writes it quantised.
Operation activation_forward(const FeedForward& f, const BlockContext& context, Bytes activated_per_element);
Operation activation_backward(const FeedForward& f, const BlockContext& context);
void add_saved_activation(Passes& passes, const FeedForward& f, const BlockContext& context);

}  // namespace trillion
