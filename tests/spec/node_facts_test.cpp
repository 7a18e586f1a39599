// A dump's facts as keys of a topology: vendor's rate per NVLink, one way; what neither dump nor name settles is an error.
#include "sim/spec/node_facts.h"

#include "tests/spec/mistakes.h"

namespace trillion::node_facts_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(NodeFacts, KeysOfATopology) {
  NodeFacts facts;
  facts.gpus_per_node = facts.domain_gpus = 8;
  facts.nvlinks = 18;
  facts.compute_capability = 90;
  facts.host_bandwidth = BytesPerSecond{64e9};
  facts.nics_per_node = 8;
  facts.nic_bandwidth = BytesPerSecond{50e9};
  facts.left_out = {"mlx5_8, 100 Gbps where others have 400"};
  EXPECT_EQ(topology_text(facts, "node.xml", ""),
            "gpus_per_node: 8\n"
            "gpu:\n"
            "  host_bandwidth: 64 GB/s\n"
            "scale_up:\n"
            "  domain_gpus: 8\n"
            "  bandwidth: 450 GB/s  # one way: 18 NVLinks of 25 GB/s\n"
            "  origin: measured\n"
            "  source: \"read from node.xml\"\n"
            "scale_out:\n"
            "  nics_per_node: 8\n"
            "  nic_bandwidth: 400 Gbps\n"
            "  origin: measured\n"
            "  source: \"read from node.xml\"\n"
            "# left out: mlx5_8, 100 Gbps where others have 400\n");
}

TEST(NodeFacts, TheGpusNameTellsTheGeneration) {
  NodeFacts facts;
  facts.gpus_per_node = facts.domain_gpus = 8;
  facts.nvlinks = 18;
  EXPECT_THAT(topology_text(facts, "node.txt", "NVIDIA B200"), HasSubstr("bandwidth: 900 GB/s"));
  EXPECT_THAT(topology_text(facts, "node.txt", "H200 SXM"), HasSubstr("bandwidth: 450 GB/s"));
  EXPECT_THAT(mistakes_of([&] { topology_text(facts, "node.txt", "MI300X"); }),
              ElementsAre(HasSubstr("says how many NVLinks a GPU has, 18, but not how fast")));
  facts.nvlinks = 0;
  EXPECT_THAT(topology_text(facts, "node.txt", ""), Not(HasSubstr("bandwidth")));
}

TEST(NodeFacts, ContentsTellTheKindOfDump) {
  EXPECT_TRUE(is_node_dump("<?xml version=\"1.0\"?>\n<system/>"));
  EXPECT_TRUE(is_node_dump("\tGPU0\tCPU Affinity\nGPU0\t X \t0-7\n"));
  EXPECT_FALSE(is_node_dump("name: a topology\n"));
  EXPECT_THAT(mistakes_of([] { node_facts_of("name: x\n", "x"); }),
              ElementsAre(HasSubstr("1:1 neither NCCL's topology XML nor the text of nvidia-smi topo -m")));
  EXPECT_THAT(mistakes_of([] { read_node_facts("/no/such/file"); }), ElementsAre(HasSubstr("cannot read /no/such/file")));
}

}  // namespace
}  // namespace trillion::node_facts_test
