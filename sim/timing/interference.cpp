#include "sim/timing/interference.h"

#include <algorithm>

namespace trillion {

double slowdown_beside_communication(const Stack& stack, const Kernel& kernel) {
  double factor = stack.beside_communication_gemm.value;
  if (std::holds_alternative<Attention>(kernel)) factor = stack.beside_communication_attention.value;
  if (std::holds_alternative<MemoryBound>(kernel)) factor = stack.beside_communication_memory.value;
  return std::max(1.0, factor);
}

double slowdown_beside_compute(const Stack& stack) { return std::max(1.0, stack.beside_compute_communication.value); }

}  // namespace trillion
