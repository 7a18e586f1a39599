#include "sim/spec/search.h"

#include "sim/spec/problems.h"

namespace trillion {

std::vector<std::string> Search::validate() const {
  Problems p;
  const auto check = [&](std::string_view key, const SearchAxis<std::int64_t>& axis) {
    if (!axis) return;
    p.require(!axis->empty(), key, "must list at least one value");
    for (const std::int64_t value : *axis) {
      if (!p.within(key, value, 1, std::int64_t{1} << 24)) return;
    }
  };
  check("nodes", nodes);
  check("tensor_parallel", tensor_parallel);
  check("context_parallel", context_parallel);
  check("pipeline_parallel", pipeline_parallel);
  check("virtual_pipeline_stages", virtual_pipeline_stages);
  check("expert_parallel", expert_parallel);
  check("expert_tensor_parallel", expert_tensor_parallel);
  check("micro_batch_size", micro_batch_size);
  return p.take();
}

}  // namespace trillion
