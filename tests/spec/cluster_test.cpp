// validate(): one broken figure, one message that names its key; a good cluster, none.
#include "sim/spec/cluster.h"

#include <functional>

#include "sim/spec/load.h"
#include "tests/spec/mistakes.h"

namespace trillion::cluster_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<std::string> broken(const std::function<void(Cluster&)>& change) {
  Cluster c = load_cluster(TRILLION_SOURCE_DIR "/topologies/h800-2048.yaml");
  change(c);
  return c.validate();
}

TEST(Cluster, AGoodOnePasses) {
  EXPECT_THAT(broken([](Cluster&) {}), IsEmpty());
}

TEST(Cluster, EveryFigureHasARange) {
  EXPECT_THAT(broken([](Cluster& c) { c.nodes = 0; }), ElementsAre("nodes: must be at least 1, found 0"));
  EXPECT_THAT(broken([](Cluster& c) { c.gpu.sms = -1; }), ElementsAre(StartsWith("gpu.sms: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.gpu.peak_bf16 = FlopsPerSecond{0}; }), ElementsAre(StartsWith("gpu.peak_bf16: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.gpu.memory_bandwidth = BytesPerSecond{-1}; }), ElementsAre(StartsWith("gpu.memory_bandwidth: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.scale_up.bandwidth = BytesPerSecond{0}; }), ElementsAre(StartsWith("scale_up.bandwidth: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.scale_out.oversubscription = 0.5; }), ElementsAre(StartsWith("scale_out.oversubscription: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.scale_out.layers = 4; }), ElementsAre(StartsWith("scale_out.layers: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.price->per_gpu = UsdPerSecond{-1}; }), ElementsAre(StartsWith("price.per_gpu: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.power->pue = 0.9; }), ElementsAre(StartsWith("power.pue: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.gpu.memory = Bytes{1e30}; }), ElementsAre(StartsWith("gpu.memory: must be between ")));
  EXPECT_THAT(broken([](Cluster& c) { c.gpu.power_limit = Watts{1e6}; }), ElementsAre(StartsWith("gpu.power_limit: must be between ")));
  EXPECT_THAT(broken([](Cluster& c) { c.price->per_gpu = UsdPerSecond{2}; }), ElementsAre(StartsWith("price.per_gpu: must be between ")));
}

TEST(Cluster, ContradictionsNameBothKeys) {
  EXPECT_THAT(broken([](Cluster& c) { c.gpu.usable_memory = 81 * kGiB; }),
              ElementsAre("gpu.usable_memory: 81 GiB is more than gpu.memory, 80 GiB"));
  EXPECT_THAT(broken([](Cluster& c) { c.scale_up.domain_gpus = 12; }),
              ElementsAre(StartsWith("scale_up.domain_gpus: must be a multiple or a divisor")));
  EXPECT_THAT(broken([](Cluster& c) { c.scale_out.nics_per_node = 3; }),
              ElementsAre(StartsWith("scale_out.nics_per_node: 3 NICs"), StartsWith("scale_out.planes: 8 planes do not divide")));
  EXPECT_THAT(broken([](Cluster& c) { c.scale_out.kind = FabricKind::rail_only, c.scale_out.planes = 1, c.scale_out.rails = false; }),
              ElementsAre(StartsWith("scale_out.rails: ")));
}

TEST(Cluster, KeysOfOneKindOfFabricAreNotAnothers) {
  EXPECT_THAT(broken([](Cluster& c) { c.scale_out.kind = FabricKind::fat_tree; }),
              ElementsAre(StartsWith("scale_out.planes: is for kind: multi-plane")));
  EXPECT_THAT(broken([](Cluster& c) { c.scale_out.rails = false; }),
              ElementsAre(StartsWith("scale_out.rails: a multi-plane fabric has rails")));
  EXPECT_THAT(broken([](Cluster& c) { c.scale_out.core_oversubscription = 2; }),
              ElementsAre(StartsWith("scale_out.core_oversubscription: only three layers")));
  const auto dragonfly = [](Cluster& c) {
    c.scale_out.kind = FabricKind::dragonfly, c.scale_out.planes = 1, c.scale_out.rails = false, c.scale_out.layers = 1;
  };
  EXPECT_THAT(broken(dragonfly), IsEmpty());
  EXPECT_THAT(broken([&](Cluster& c) { dragonfly(c), c.scale_out.rails = true; }),
              ElementsAre(StartsWith("scale_out.rails: a dragonfly has no rails")));
  EXPECT_THAT(broken([&](Cluster& c) { dragonfly(c), c.scale_out.oversubscription = 2; }),
              ElementsAre(StartsWith("scale_out.oversubscription: a dragonfly")));
}

TEST(Cluster, EveryNumberHasAnOrigin) {
  EXPECT_THAT(broken([](Cluster& c) { c.gpu.provenance.source.clear(); }), ElementsAre(StartsWith("gpu.source: ")));
  EXPECT_THAT(broken([](Cluster& c) { c.price->provenance.source.clear(); }), ElementsAre(StartsWith("price.source: ")));
}

TEST(Cluster, APeakForEachType) {
  const Cluster c = load_cluster(TRILLION_SOURCE_DIR "/topologies/h800-2048.yaml");
  EXPECT_EQ(c.gpu.peak(DType::bf16), FlopsPerSecond{989.4e12});
  EXPECT_EQ(c.gpu.peak(DType::fp8), FlopsPerSecond{1978.9e12});
  EXPECT_EQ(c.gpu.peak(DType::fp8_block), FlopsPerSecond{1978.9e12});
  EXPECT_EQ(c.gpu.peak(DType::fp32), FlopsPerSecond{66.9e12});
}

}  // namespace
}  // namespace trillion::cluster_test
