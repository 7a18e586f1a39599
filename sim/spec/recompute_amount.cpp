#include "sim/spec/recompute_amount.h"

namespace trillion {

std::vector<RecomputeModule> modules_of(RecomputeAmount amount, bool unfused_attention) {
  using enum RecomputeModule;
  switch (amount) {
    case RecomputeAmount::none: return {};
    case RecomputeAmount::selective: return unfused_attention ? std::vector{attention} : std::vector{norm, activation};
    case RecomputeAmount::full: return {layer};
  }
  return {};
}

}  // namespace trillion
