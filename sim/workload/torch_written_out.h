// What PyTorch models write out although kernels for it exist (stack.unfused), kernel by kernel as eager code and autograd launch them:
// torchtitan@ba24697 torchtitan/models/norms.py and llama/model.py, pytorch tools/autograd/derivatives.yaml.
//
//   norm      x.float() * rsqrt(mean(x^2) + eps), cast back, times the weight: 36 bytes a value where the fused kernel moves 4, and 92
//             going back where it moves 6
//   rotation  x.float() as complex numbers, times the frequencies, cast back; going back the same with the conjugate
//   heads     the keys and values of a group are copied to each of its query heads; their gradients are summed over the copies
#pragma once

#include <string>

#include "sim/workload/torch_kernels.h"

namespace trillion {

Operations written_out_norm(const TorchSizes& sizes, const std::string& name);
Operations written_out_norm_backward(const TorchSizes& sizes, const std::string& name);

// Of so many values.
Operations complex_rotation(const TorchSizes& sizes, const std::string& name, double values);

// `values` of keys or values before they are copied `copies` times.
Operation repeat_heads(const std::string& name, double values, double copies);
Operation repeat_heads_backward(const std::string& name, double values, double copies);

}  // namespace trillion
