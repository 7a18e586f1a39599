#include "sim/workload/gradient_placeholders.h"

#include <set>
#include <utility>

namespace trillion {

Bytes gradient_placeholders(const std::vector<const Block*>& blocks, const BlockContext& context) {
  const bool stands_in = context.framework == Framework::fused && context.runs_apart(UnfusedPart::layouts);
  if (!stands_in || context.runs_apart(UnfusedPart::accumulation)) return {};
  std::set<std::pair<std::int64_t, std::int64_t>> shapes;
  for (const Block* block : blocks) {
    for (const Operations* ops : {&block->experts_weight, &block->before_exchange_weight}) {
      for (const Operation& op : *ops) {
        if (const auto* one = std::get_if<Gemm>(&op.what)) shapes.insert({one->m, one->n});
        if (const auto* grouped = std::get_if<GroupedGemm>(&op.what)) shapes.insert({grouped->k, grouped->n});
      }
    }
  }
  Bytes sum;
  for (const auto& [out, in] : shapes) sum += Bytes{2.0 * static_cast<double>(out) * static_cast<double>(in)};
  return sum;
}

}  // namespace trillion
