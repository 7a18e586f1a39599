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
  ExpertLoad load = expert_load(setting, usual_sample(s.model, s.training.routing.balance), *routed_);
  if (s.plan.expert_exchange == ExpertExchange::deduplicated) return load;
  return every_copy_sent(std::move(load), ranks, s.model.moe->num_experts_per_tok);
}

}  // namespace trillion
