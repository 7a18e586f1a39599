// What the modules of workload/torch.h are made of: private to torch_layer.cpp, torch_ends.cpp and torch_experts.cpp.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "sim/workload/torch.h"

namespace trillion {

struct TorchSizes {
  explicit TorchSizes(const BlockContext& context);
  Sizes s;
  double residual = 0;    // values of the residual stream
  double wide = 2;        // bytes of one: 4 under autocast, whose embedding and norms are FP32
  double first_read = 2;  // bytes of a rotation's input
  bool compiled = false, one_graph = false;
  // A compiled graph keeps what a weight's gradient reads, rather than compute it again in a kernel of its own (min_cut_rematerialization_
  // partition's ban_if_materialized_backward); under checkpointing the policy decides.
  bool drops_activations = false;
  bool norm_written_out = false, complex_rotation = false;  // workload/torch_written_out.h
  double micro_batches = 1;
};

// A feed-forward network's rows and width on this rank.
struct FeedForwardSize {
  std::string name;
  std::int64_t rows = 0, width = 0;
  Category category = Category::dense_ffn;
};

Operation torch_kernel(std::string label, MemoryKernel kernel, double read, double written);
// An elementwise kernel with one operand (a broadcast one beside it costs nothing).
Operation torch_unary(std::string label, double read, double written);

// Under autocast eager code casts a norm's FP32 output anew for each product that reads it, and the product's gradient back.
void add_input_casts(Passes& passes, const BlockContext& context, const TorchSizes& sizes, std::initializer_list<const char*> readers);

// `readers`: of its output, whose gradients are added up before the norm's own backward pass.
void add_torch_norm(Passes& passes, const TorchSizes& sizes, const std::string& name, int readers);
void add_torch_residual(Passes& passes, const TorchSizes& sizes, const std::string& name);
// Gate, up and down projections around the activation, without norm and residual.
void add_torch_feed_forward(Passes& passes, const BlockContext& context, const FeedForwardSize& size);
struct TorchActivation {
  std::string name;
  double values = 0;  // of its output
  bool gated = true;
  LoadScale scale = LoadScale::none;
};
void add_torch_activation(Passes& passes, const TorchSizes& sizes, const TorchActivation& activation);

}  // namespace trillion
