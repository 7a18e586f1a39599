// PyTorch modules as tapes: private to torch_tensors.cpp and torch_expert_tensors.cpp. A function takes over no reference: who takes a
// tensor drops it.
#pragma once

#include <initializer_list>
#include <vector>

#include "sim/workload/tensor_tape.h"
#include "sim/workload/torch_kernels.h"

namespace trillion {

class TorchModules {
 public:
  using Tensor = TensorTape::Tensor;

  // `keeps_products`: plan.recompute: [products] holds for this block.
  TorchModules(TensorTape& tape, const BlockContext& context, std::vector<double>& parameters, bool keeps_products);

  TensorTape& tape() { return tape_; }
  const BlockContext& context() const { return c_; }
  const TorchSizes& sizes() const { return t_; }
  void drop(std::initializer_list<Tensor> tensors);

  // Of so many elements: its number within the block. The second pass over a module (recomputation) numbers the same ones again.
  std::int32_t parameter(double elements);
  void run_again() { next_ = 0, products_ = 0; }

  Tensor norm(Tensor x);
  // What tensor parallelism does before the products that read `x` and after the last one; where it moves nothing `x` is held once more.
  Tensor enter(Tensor x);
  Tensor leave(Tensor x);
  Tensor linear(Tensor x, double tokens, double in, double out, bool last = false);
  Tensor residual(Tensor x, Tensor f);
  Tensor feed_forward(Tensor x, double width);
  // silu(gate) * up, or an activation of `gate` alone (up: kNone).
  Tensor activation(Tensor gate, Tensor up, double values);
  Tensor attention(Tensor x);

 private:
  Tensor rotation(Tensor x, double values);
  Tensor repeated(Tensor x, double values, double copies);
  Tensor sdpa(Tensor q, Tensor k, Tensor v, double q_values, double kv_values);

  TensorTape& tape_;
  const BlockContext& c_;
  TorchSizes t_;
  std::vector<double>& parameters_;
  std::size_t next_ = 0;
  int products_ = 0;
  bool keeps_products_;
  // Sequences are the second dimension: what a collective gathers along them is joined anew, what one scatters is cut up first.
  bool laid_out_anew_;
  std::vector<double> copies_of(double bytes) const { return laid_out_anew_ ? std::vector<double>{bytes} : std::vector<double>{}; }
};

TorchModules::Tensor torch_expert_tensors(TorchModules& modules, TorchModules::Tensor x, double load);

}  // namespace trillion
