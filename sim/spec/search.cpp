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
  check("gpus", gpus);
  p.require(!nodes || !gpus, "gpus", "nodes says it already: one of the two");
  check("tensor_parallel", tensor_parallel);
  check("context_parallel", context_parallel);
  check("pipeline_parallel", pipeline_parallel);
  check("virtual_pipeline_stages", virtual_pipeline_stages);
  check("expert_parallel", expert_parallel);
  check("expert_tensor_parallel", expert_tensor_parallel);
  check("data_parallel", data_parallel);
  check("micro_batch_size", micro_batch_size);
  check("sharding_group", sharding_group);
  for (const double bucket : bucket_parameters.value_or(std::vector<double>{})) {
    if (!p.require(bucket >= 1, "bucket_parameters", "must be at least 1, found " + exact_number_text(bucket))) break;
  }
  if (budget) p.positive("budget", *budget);
  if (deadline) p.positive("deadline", *deadline);
  if (objective == Objective::usd || budget) {
    for (const SearchedCluster& c : clusters) {
      p.require(c.cluster.price.has_value(), "clusters", "'" + c.name + "' has no price, which this search asks for");
    }
  }
  for (std::size_t i = 0; i < clusters.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      p.require(clusters[i].name != clusters[j].name, "clusters", "the name '" + clusters[i].name + "' is there twice");
    }
  }
  return p.take();
}

}  // namespace trillion
