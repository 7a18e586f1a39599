// Kernels that training libraries on PyTorch run apart (calibration stack.unfused), where the fused stacks of DeepSeek have none. With t
// tokens of a rank, r on its part of the residual stream, h channels of it and 2 bytes a value, each word adds:
//
//   bias           forward: the product of queries, keys and values gets its bias in a kernel of its own (Megatron-LM,
//                  LinearWithGradAccumulationAndAsyncCommunication.forward); the next kernels take the other biases. Weight gradients:
//                  each bias is the sum of its layer's output gradient over the rows
//   layouts        between a joint projection and attention. Attention of separate kernels: its output is copied to rows of tokens
//                  (context_layer.permute.contiguous). Transformer Engine with rotary embedding: queries are copied out of their groups
//                  (query.reshape; no copy with as many keys as queries), values made contiguous (get_qkv_layout). Both: the gradients of
//                  queries, keys and values are joined again (split's backward pass)
//   gradient_sums  where the residual stream forks, autograd adds both gradients in a kernel of its own; elsewhere the norm's backward
//                  pass reads the second one
//   squared_relu   torch.pow(relu(x), 2) as PyTorch runs it: relu, power | power of one less, times two, times the gradient, relu's
//   accumulation   a weight gradient is written in 16 bits and then added to the gradients of the micro-batches before
//   expert_casts   tokens travel to their experts and are permuted in BF16; each expert quantises its rows along both directions before
//                  its products, and the weights' transposes are kept over a step (Transformer Engine's GroupedLinear)
#pragma once

#include "sim/workload/passes.h"

namespace trillion {

// The layer's bias: its addition where `adds`, its gradient from `gradient`, the output's, of so many rows.
void add_bias_sum(Operations& weight, const BlockContext& context, const std::string& name, Bytes gradient, std::int64_t rows);

// The kernels that end a module's backward pass: its norm's, which belongs to `norm`, and the sum with what came down the stream.
void add_norm_backward(Operations& ops, const BlockContext& context, const Operation& norm);

// A layer's weight gradient as the stack accumulates it.
void add_weight_gradient(Operations& ops, const BlockContext& context, const Linear& linear);

// From the joint projection to attention, from attention to the output projection, and back; `q`, `kv`: queries, and keys alone.
struct Layouts {
  Operations before, after, backward;
};
Layouts layouts(const BlockContext& context, Bytes q, Bytes kv);

// The activation's two passes over `values` outputs; empty unless the stack runs it in pieces.
struct ActivationPieces {
  Operations forward, backward;
};
ActivationPieces activation_pieces(const BlockContext& context, const std::string& name, double values);

}  // namespace trillion
