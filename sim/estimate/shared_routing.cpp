#include "sim/estimate/shared_routing.h"

#include "sim/moe/exchange.h"
#include "sim/moe/layer_draw.h"

namespace trillion {

SharedRouting::SharedRouting() = default;
SharedRouting::~SharedRouting() = default;

ExpertLoad SharedRouting::load_of(const Scenario& s, const DeviceMesh& mesh) {
  if (!s.model.moe) return {};
  std::call_once(once_, [&] { routed_ = std::make_unique<std::vector<RoutedLayer>>(routed_layers(s.model, s.training, s.seed)); });
  if (routed_->empty()) return trillion::load_of(s, mesh);
  const ExpertGroup ranks = expert_group(s, mesh);
  const RoutingSetting setting = routing_setting(s.model, s.plan, s.training, ranks, s.seed);
  const auto& placed = placed_.get({ranks.ranks, ranks.ranks_per_node, s.plan.expert_placement, s.plan.redundant_experts}, [&] {
    std::vector<PlacedLayer> layers;
    for (std::size_t i = 0; i < routed_->size(); ++i) {
      layers.push_back(placed_layer(setting, draw_layer(setting, (*routed_)[i]), static_cast<std::int64_t>(i)));
    }
    return layers;
  });
  ExpertLoad load = expert_load(setting, usual_sample(s.model, s.training.routing.balance), placed);
  if (s.plan.expert_exchange == ExpertExchange::deduplicated) return load;
  return every_copy_sent(std::move(load), ranks, s.model.moe->num_experts_per_tok);
}

}  // namespace trillion
