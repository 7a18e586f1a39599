// Routing of many plans of one model and training: routers and what their tokens choose are drawn once, when first asked for.
//
//   SharedRouting routing;
//   const ExpertLoad load = routing.load_of(scenario, mesh);     // as estimate/prepare.h's, to the last bit
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "sim/estimate/prepare.h"

namespace trillion {

struct RoutedLayer;  // moe/layer_draw.h

class SharedRouting {
 public:
  SharedRouting();
  ~SharedRouting();
  SharedRouting(const SharedRouting&) = delete;
  SharedRouting& operator=(const SharedRouting&) = delete;

  // REQUIRES: the same model, training and seed each time. From many threads at once.
  ExpertLoad load_of(const Scenario& scenario, const DeviceMesh& mesh);

 private:
  std::once_flag once_;
  std::unique_ptr<std::vector<RoutedLayer>> routed_;
};

}  // namespace trillion
