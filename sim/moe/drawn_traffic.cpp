#include "sim/moe/drawn_traffic.h"

#include <vector>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/moe/layer_draw.h"

namespace trillion {
namespace {

constexpr std::uint64_t kStreamExact = 0x657861;
constexpr std::uint64_t kStreamDropped = 0x64726f;

LayerDraw first_layer(const RoutingSetting& setting) {
  switch (setting.training.routing.balance) {
    case Balance::forced: return draw_even_layer(setting);
    case Balance::measured: {
      const auto layers = measured_layers(setting);
      return draw_measured_layer(setting, layers.begin()->first, layers.begin()->second);
    }
    default: return draw_layer(setting, 0);
  }
}

}  // namespace

Traffic drawn_traffic(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed) {
  const RoutingSetting setting = routing_setting(model, plan, training, group, seed);
  if (setting.capacity && setting.capacity->padded)
    throw InputError("with training.routing.pad_to_capacity every GPU sends as many rows to every other one: there is no traffic to draw");
  const LayerDraw layer = first_layer(setting);
  const Table sources = draw_sources(setting, layer.gate.domains(), 0, 0);
  std::vector<TokenChoices> choices(static_cast<std::size_t>(group.ranks));
  std::int64_t next = 0;
  for (std::int64_t r = 0; r < group.ranks; ++r) {
    TokenChoices& mine = choices[static_cast<std::size_t>(r)];
    for (std::int64_t d = 0; d < sources.columns; ++d) {
      const std::int64_t tokens = static_cast<std::int64_t>(sources.at(r, d));
      if (tokens == 0) continue;
      layer.gate.route({d, next, tokens}, Random(seed, kStreamExact), mine);
      next += tokens;
    }
    if (setting.capacity)
      mine = drop_over_capacity(mine, setting.gate.experts, *setting.capacity,
                                Random(seed, mix64(kStreamDropped) + static_cast<std::uint64_t>(r)))
                 .kept;
  }
  return dispatch(choices, layer.tables.placement, group);
}

}  // namespace trillion
