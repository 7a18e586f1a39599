#include <filesystem>

#include "sim/spec/load.h"
#include "tests/fuzz/mutations.h"
#include "tests/spec/mistakes.h"

namespace trillion::load_cluster_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::filesystem::path kSource = TRILLION_SOURCE_DIR;
const std::string kFile = (kSource / "topologies/h800-2048.yaml").string();

TEST(LoadCluster, TheH800ClusterIsWhatWasPublished) {
  const Cluster c = load_cluster(kFile);
  EXPECT_EQ(c.gpus(), 2048);
  EXPECT_EQ(c.gpus_per_node, 8);
  EXPECT_EQ(c.gpu.sms, 132);
  EXPECT_EQ(c.scale_up.bandwidth, BytesPerSecond{200e9}) << "one way: half of NVLink's 400 GB/s";
  EXPECT_EQ(c.scale_out.nic_bandwidth, BytesPerSecond{50e9});
  EXPECT_EQ(c.scale_out.nics_per_node, 8);
  EXPECT_EQ(c.scale_out.layers, 2);
  EXPECT_TRUE(c.scale_out.rails);
  ASSERT_TRUE(c.price);
  EXPECT_DOUBLE_EQ((c.price->per_gpu * kHour).value(), 2.0);
  ASSERT_TRUE(c.power);
}

TEST(LoadCluster, EveryShippedTopologyLoads) {
  int files = 0;
  for (const auto& path : files_below(kSource / "topologies", {".yaml"})) {
    ++files;
    EXPECT_THAT(mistakes_of([&] { load_cluster(path.string()); }), ElementsAre()) << path;
  }
  EXPECT_GE(files, 20);
}

TEST(LoadCluster, MistakesHavePlaces) {
  std::string text = read_whole_file(kFile);
  text = replaced(text, "nodes: 256", "nodes: 2.5");
  text = replaced(text, "nic_bandwidth: 400 Gbps", "nic_bandwidth: 400");
  text = replaced(text, "memory: 80 GiB\n", "memory: 80 gib\n");
  text = replaced(text, "origin: assumed", "origin: guessed");
  text = replaced(text, "kind: multi-plane", "kind: multi_plane");
  text = replaced(text, "pue: 1.2", "pu: 1.2");
  const auto found = mistakes_in(text, [](YamlReader& r) { read_cluster(r); });
  EXPECT_THAT(
      found,
      ElementsAre(
          HasSubstr("'nodes': expected a whole number, found '2.5'"), HasSubstr("'gib' is not a unit of a size in bytes"),
          HasSubstr("'400' has no unit"),
          HasSubstr("found 'multi_plane'; accepted is one of fat-tree, rail-only, multi-plane, dragonfly | did you mean 'multi-plane'?"),
          HasSubstr("unknown key 'power.pu' | did you mean 'pue'?"),
          HasSubstr("found 'guessed'; accepted is one of measured, paper, vendor, assumed")));
}

TEST(LoadCluster, FailuresNameTheirParts) {
  const std::string text = read_whole_file(kFile);
  EXPECT_THAT(mistakes_in(text + "failures: [spine 7, leaf 3 - spine 1, nic 12]\n",
                          [](YamlReader& r) {
                            const Cluster c = read_cluster(r);
                            ASSERT_EQ(c.scale_out.failures.size(), 3u);
                            EXPECT_EQ(to_text(c.scale_out.failures[1]), "leaf 3 - spine 1");
                            EXPECT_EQ(c.scale_out.failures[1].where.column, 21);
                            EXPECT_EQ(c.scale_out.failures[1].source_line, "failures: [spine 7, leaf 3 - spine 1, nic 12]");
                          }),
              ElementsAre());
  const auto mistakes = [&](const std::string& list) {
    return mistakes_in(text + "failures: " + list + "\n", [](YamlReader& r) { read_cluster(r); });
  };
  for (const char* list : {"[spine]", "[spine -1]", "[spine x]", "[switch 3]", "[leaf 3 spine 7]", "[leaf 3 - ]"}) {
    EXPECT_THAT(mistakes(list), ElementsAre(HasSubstr("names no part of a network | a part is nic, leaf, spine, core or router"))) << list;
  }
}

TEST(LoadCluster, RoutingAndPlanes) {
  EXPECT_EQ(load_cluster(kFile).scale_out.routing, PathChoice::adaptive);
  EXPECT_EQ(load_cluster(kFile, {"scale_out.routing=ecmp", "scale_out.routing_seed=7"}).scale_out.routing_seed, 7u);
  EXPECT_EQ(load_cluster(kFile).scale_out.planes, 8);
  EXPECT_THAT(mistakes_of([] { load_cluster(kFile, {"scale_out.planes=3"}); }),
              ElementsAre(HasSubstr("3 planes do not divide nics_per_node, 8")));
}

TEST(LoadCluster, OneNodeNeedsNoNetworkAndMoreDo) {
  EXPECT_THAT(mistakes_of([] { load_cluster((kSource / "topologies/h100-8.yaml").string()); }), ElementsAre());
  EXPECT_THAT(mistakes_of([] { load_cluster((kSource / "topologies/h100-8.yaml").string(), {"nodes=2"}); }),
              ElementsAre(HasSubstr("missing key 'scale_out'")));
  EXPECT_EQ(load_cluster(kFile, {"nodes=4"}).gpus(), 32);
}

TEST(LoadCluster, MutilatedFilesNeverCrash) { EXPECT_GT(mutilate(read_whole_file(kFile), 150), 0); }

}  // namespace
}  // namespace trillion::load_cluster_test
