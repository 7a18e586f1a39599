// On an idle fabric the flows of a collective take what its closed form (spec/curve.h) says, on every kind of fabric; where switches
// are narrower than NICs and all groups communicate, what it says at nic_share of the NICs' rate.
#include "sim/net/collective_flows.h"

#include <gtest/gtest.h>

#include <ostream>

#include "sim/net/link_load.h"
#include "sim/spec/curve.h"
#include "tests/net/support/clusters.h"

namespace trillion::collective_flows_test {
namespace {

CollectiveGroup group_of(std::int64_t size, std::int64_t stride, std::int64_t per_domain, std::int64_t first = 0) {
  CollectiveGroup group;
  group.per_domain = per_domain;
  for (std::int64_t i = 0; i < size; ++i) group.gpus.push_back(first + i * stride);
  return group;
}

struct Case {
  std::string name;
  Cluster cluster;
  friend std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }
};

// All with room for 8 nodes of 4 GPUs, and with NICs that a group of 4 cannot outrun over NVLink (400 GB/s for 4 x 50).
std::vector<Case> cases() {
  std::vector<Case> out;
  const auto add = [&](const std::string& name, std::int64_t nodes, auto change) {
    Cluster c = small_cluster(nodes);
    change(c);
    out.push_back({name, c});
  };
  add("TwoLayers", 8, [](Cluster&) {});
  add("ThreeLayers", 16, [](Cluster& c) { c.scale_out.layers = 3; });
  add("OneLayer", 8, [](Cluster& c) { c.scale_out.layers = 1; });
  add("NoRails", 8, [](Cluster& c) { c.scale_out.rails = false, c.scale_out.switch_ports = 16; });
  add("RailOnly", 8, [](Cluster& c) { c.scale_out.kind = FabricKind::rail_only; });
  add("TwoPlanes", 8, [](Cluster& c) { c.scale_out.kind = FabricKind::multi_plane, c.scale_out.planes = 2; });
  add("TwoGpusPerNic", 8, [](Cluster& c) { c.scale_out.nics_per_node = 2; });
  add("TwoNicsPerGpu", 8, [](Cluster& c) { c.scale_out.nics_per_node = 8, c.scale_out.switch_ports = 16; });
  add("BrokenSpine", 8, [](Cluster& c) { c.scale_out.switch_ports = 12, c.scale_out.failures = {*parse_failure("spine 0")}; });
  add("RacksOfTwoNodes", 16, [](Cluster& c) { c.scale_up.domain_gpus = 8, c.scale_out.switch_ports = 16; });
  add("DragonflyOfOneGroup", 8, [](Cluster& c) {
    c.scale_out.kind = FabricKind::dragonfly, c.scale_out.rails = false, c.scale_out.layers = 1, c.scale_out.switch_ports = 128;
  });
  return out;
}

// The closed form with the fabric's own figures: no launch, no fill of a pipeline.
struct ClosedForm {
  CollectiveCurve curve;
  GroupLinks links;

  ClosedForm(const Fabric& fabric, const CollectiveGroup& group, CollectiveKind kind, double share = 1) {
    curve.kind = kind;
    if (group.per_domain > 1) curve.nvlink_step = fabric.latency(group.gpus[0], group.gpus[1]);
    links.nvlink = BytesPerSecond{400e9};
    links.nic = fabric.own_nic_rate() * share;
  }
  double seconds(const CollectiveGroup& group, double bytes) const {
    return evaluate(curve, {curve.kind, Bytes{bytes}, group.size(), group.per_domain, {}}, links).value();
  }
};

// Latency of the chain's hops between domains, of which the closed form knows one.
Seconds step_between(const Fabric& fabric, const CollectiveFlows& flows) {
  Seconds sum;
  int hops = 0;
  for (const auto& [from, to] : flows.chain) {
    if (fabric.domain_of(from) == fabric.domain_of(to)) continue;
    sum += fabric.latency(from, to);
    ++hops;
  }
  return hops == 0 ? Seconds{0} : sum / static_cast<double>(hops);
}

constexpr double kBytes = 1.6e9;  // on the wire for long: rings are the faster all-reduce

class CollectiveFlowsOn : public testing::TestWithParam<Case> {
 protected:
  CollectiveFlowsOn() : fabric(Fabric::build(GetParam().cluster)), places(GetParam().cluster.scale_up.domain_gpus) {}

  std::vector<CollectiveGroup> groups() const {
    return {group_of(places, 1, places), group_of(4 * places, 1, places), group_of(8, places, 1), group_of(8 * places, 1, places)};
  }

  Fabric fabric;
  std::int64_t places;
};
INSTANTIATE_TEST_SUITE_P(All, CollectiveFlowsOn, testing::ValuesIn(cases()), [](const auto& test) { return test.param.name; });

TEST_P(CollectiveFlowsOn, RingsTakeWhatTheClosedFormSays) {
  for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce}) {
    for (const CollectiveGroup& group : groups()) {
      const CollectiveFlows flows = flows_of(CollectiveAlgorithm::ring, kind, group, Bytes{kBytes});
      ClosedForm closed(fabric, group, kind);
      closed.curve.nic_step = step_between(fabric, flows);
      // Groups with one member a domain leave the others' NICs idle, and a NIC of two GPUs is theirs alone.
      if (group.per_domain == 1) closed.links.nic = fabric.link(fabric.nic_link(0, true)).capacity;
      EXPECT_NEAR(time_of(flows, fabric).value() / closed.seconds(group, kBytes), 1, 1e-12) << group.size() << " x " << group.per_domain;
    }
  }
}

TEST_P(CollectiveFlowsOn, TreesOfManyDomainsTakeTwiceTheBytesOfANic) {
  const CollectiveGroup group = group_of(8 * places, 1, places);
  const CollectiveFlows flows = flows_of(CollectiveAlgorithm::tree, CollectiveKind::all_reduce, group, Bytes{kBytes});
  Seconds chain;
  for (const auto& [from, to] : flows.chain) chain += fabric.latency(from, to);
  // log2 8 hops between domains and the chain in one, up and down: as the closed form counts them.
  EXPECT_EQ(static_cast<std::int64_t>(flows.chain.size()), 2 * (3 + places - 1));
  const double wire = 2 * kBytes / (static_cast<double>(places) * fabric.own_nic_rate().value());
  EXPECT_NEAR((time_of(flows, fabric) - chain).value() / wire, 1, 1e-12);
}

TEST_P(CollectiveFlowsOn, HierarchicalIsItsThreePhases) {
  const CollectiveGroup group = group_of(8 * places, 1, places);
  const CollectiveFlows flows = flows_of(CollectiveAlgorithm::hierarchical, CollectiveKind::all_reduce, group, Bytes{kBytes});
  const double g = static_cast<double>(places);
  Seconds chain;
  for (const auto& [from, to] : flows.chain) chain += fabric.latency(from, to);
  const double within = (g - 1) / g * kBytes / 400e9, between = 2 * 7.0 / 8 * kBytes / g / fabric.own_nic_rate().value();
  EXPECT_NEAR((time_of(flows, fabric) - chain).value() / (2 * within + between), 1, 1e-12);
}

TEST_P(CollectiveFlowsOn, PairwiseExchangesTakeWhatTheClosedFormSays) {
  for (const CollectiveGroup& group : groups()) {
    if (group.per_domain == 1) continue;  // next test
    const CollectiveFlows flows = flows_of(CollectiveAlgorithm::pairwise, CollectiveKind::all_to_all, group, Bytes{kBytes});
    ClosedForm closed(fabric, group, CollectiveKind::all_to_all);
    closed.curve.nvlink_step = closed.curve.nic_step = Seconds{0};  // per peer, not per hop
    Seconds chain;
    for (const auto& [from, to] : flows.chain) chain += fabric.latency(from, to);
    EXPECT_NEAR((time_of(flows, fabric) - chain).value() / closed.seconds(group, kBytes), 1, 1e-12) << group.size();
  }
}

TEST_P(CollectiveFlowsOn, TwoHopsTakeTheSlowerOfNicAndNvlink) {
  const CollectiveGroup group = group_of(8 * places, 1, places);
  const CollectiveFlows flows = flows_of(CollectiveAlgorithm::two_hop, CollectiveKind::all_to_all, group, Bytes{kBytes});
  const double g = static_cast<double>(places);
  Seconds chain;
  for (const auto& [from, to] : flows.chain) chain += fabric.latency(from, to);
  const double nic = 7.0 / 8 * kBytes / fabric.own_nic_rate().value(), nvlink = (g - 1) / g * kBytes / 400e9;
  // What ExpertCurve says: each hop with its own bytes, the slower one decides.
  EXPECT_NEAR((time_of(flows, fabric) - chain).value() / std::max(nic, nvlink), 1, 1e-12);
}

// All groups of an axis at once, on networks that are narrower than their NICs.
TEST(CollectiveFlows, NarrowNetworksTakeTheClosedFormAtNicShare) {
  std::vector<Cluster> clusters;
  Cluster oversubscribed = small_cluster(12);
  oversubscribed.scale_out.oversubscription = 3;
  Cluster broken = small_cluster(8);
  broken.scale_out.failures = {*parse_failure("leaf 0 - spine 1")};
  Cluster hashed = small_cluster(8);
  hashed.scale_out.routing = PathChoice::ecmp;
  for (const Cluster& c : {oversubscribed, broken, hashed}) {
    const Fabric fabric = Fabric::build(c);
    const std::int64_t stride = c.gpus() / 2;  // pairs across the middle
    CollectiveFlows all;
    all.phases.emplace_back();
    for (std::int64_t first = 0; first < stride; ++first) {
      const CollectiveFlows one =
          flows_of(CollectiveAlgorithm::ring, CollectiveKind::all_gather, group_of(2, stride, 1, first), Bytes{kBytes});
      all.phases[0].insert(all.phases[0].end(), one.phases[0].begin(), one.phases[0].end());
      if (first == 0) all.chain = one.chain;
    }
    const double share = nic_share(fabric, {2, stride, 1}, TrafficPattern::neighbours);
    EXPECT_LT(share, 1);
    const CollectiveGroup group = group_of(2, stride, 1);
    ClosedForm closed(fabric, group, CollectiveKind::all_gather, share);
    closed.curve.nic_step = step_between(fabric, all);
    EXPECT_NEAR(time_of(all, fabric).value() / closed.seconds(group, kBytes), 1, 1e-12);
  }
}

}  // namespace
}  // namespace trillion::collective_flows_test
