// Routing of many plans of one model and training: routers, what their tokens choose, and where that is for each number of ranks and
// placement of experts are drawn once, when first asked for.
//
//   SharedRouting routing;
//   const ExpertLoad load = routing.load_of(scenario, mesh);     // as estimate/prepare.h's, to the last bit
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "sim/base/once_map.h"
#include "sim/estimate/prepare.h"

namespace trillion {

// moe/layer_draw.h
struct PlacedLayer;
struct RoutedLayer;

class SharedRouting {
 public:
  SharedRouting();
  ~SharedRouting();
  SharedRouting(const SharedRouting&) = delete;
  SharedRouting& operator=(const SharedRouting&) = delete;

  // REQUIRES: the same model, training and seed each time. From many threads at once.
  ExpertLoad load_of(const Scenario& scenario, const DeviceMesh& mesh);

 private:
  using Place = std::tuple<std::int64_t, std::int64_t, ExpertPlacement, std::int64_t>;  // ranks, a node's, how, redundant experts

  std::once_flag once_;
  std::unique_ptr<std::vector<RoutedLayer>> routed_;
  OnceMap<Place, std::vector<PlacedLayer>> placed_;
};

}  // namespace trillion
