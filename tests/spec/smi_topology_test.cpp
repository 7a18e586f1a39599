// Matrices as nvidia-smi prints them, with what gets in the way: escape sequences around the header, affinity columns with commas,
// legends, old names of NICs, NICs that serve no GPU.
#include "sim/spec/smi_topology.h"

#include "tests/spec/mistakes.h"

namespace trillion::smi_topology_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kH100 =
    "\t\x1b[4mGPU0\tGPU1\tGPU2\tNIC0\tNIC1\tNIC2\tNIC3\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tNV18\tNV18\tPIX\tNODE\tSYS\tNODE\t0-47,96-143\t0\t\tN/A\n"
    "GPU1\tNV18\t X \tNV18\tNODE\tPXB\tSYS\tNODE\t0-47,96-143\t0\t\tN/A\n"
    "GPU2\tNV18\tNV18\t X \tSYS\tSYS\tPIX\tSYS\t48-95\t1\t\tN/A\n"
    "NIC0\tPIX\tNODE\tSYS\t X \tNODE\tSYS\tNODE\n"
    "NIC1\tNODE\tPXB\tSYS\tNODE\t X \tSYS\tNODE\n"
    "NIC2\tSYS\tSYS\tPIX\tSYS\tSYS\t X \tSYS\n"
    "NIC3\tNODE\tNODE\tSYS\tNODE\tNODE\tSYS\t X \n"
    "\n"
    "Legend:\n\n  X    = Self\n  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)\n";

NodeFacts read(const std::string& text) { return read_smi_topology(text, "node.txt"); }
std::vector<std::string> mistakes(const std::string& text) {
  return mistakes_of([&] { read(text); });
}

TEST(SmiTopology, AnNvswitchNode) {
  ASSERT_TRUE(looks_like_smi_topology(kH100));
  const NodeFacts facts = read(kH100);
  EXPECT_EQ(facts.gpus_per_node, 3);
  EXPECT_EQ(facts.domain_gpus, 3);
  EXPECT_EQ(facts.nvlinks, 18);
  EXPECT_EQ(facts.nics_per_node, 3);
  EXPECT_THAT(facts.left_out, ElementsAre("NIC3, which shares a PCIe switch with no GPU"));
  EXPECT_EQ(facts.compute_capability, 0);
  EXPECT_EQ(facts.nic_bandwidth, BytesPerSecond{0});
}

TEST(SmiTopology, LinksStraightToTheOthersAddUp) {
  const std::string mesh =
      "        GPU0    GPU1    GPU2    GPU3    mlx5_0  CPU Affinity\n"
      "GPU0     X      NV4     NV4     NV4     SYS     0-15\n"
      "GPU1    NV4      X      NV4     NV4     SYS     0-15\n"
      "GPU2    NV4     NV4      X      NV4     SYS     0-15\n"
      "GPU3    NV4     NV4     NV4      X      SYS     0-15\n"
      "mlx5_0  SYS     SYS     SYS     SYS      X\n";
  const NodeFacts facts = read(mesh);
  EXPECT_EQ(facts.nvlinks, 12);
  EXPECT_EQ(facts.domain_gpus, 4);
  EXPECT_EQ(facts.nics_per_node, 1) << "the only NIC, wherever it is";
}

TEST(SmiTopology, OneGpuAndNoNvlink) {
  const NodeFacts one = read("\tGPU0\tCPU Affinity\nGPU0\t X \t0-7\n");
  EXPECT_EQ(one.gpus_per_node, 1);
  EXPECT_EQ(one.nvlinks, 0);
  const NodeFacts pcie = read("\tGPU0\tGPU1\nGPU0\t X \tPHB\nGPU1\tPHB\t X \n");
  EXPECT_EQ(pcie.domain_gpus, 1);
}

TEST(SmiTopology, MistakesHavePlaces) {
  EXPECT_FALSE(looks_like_smi_topology("GPU 0: NVIDIA H100 80GB HBM3\n"));
  EXPECT_THAT(mistakes(replaced(kH100, "GPU1\tNV18\t X \tNV18\tNODE", "GPU1\tNV18\t X \tNV18\tNODES")),
              ElementsAre(HasSubstr("3:20 'NODES' is no way between two devices")));
  EXPECT_THAT(mistakes("\tGPU0\tGPU1\nGPU0\t X \n"), ElementsAre("2:9 GPU0 has 1 cells for 2 columns"));
  EXPECT_THAT(mistakes("\tGPU0\tGPU1\nGPU0\t X \tNV18\n"), ElementsAre(HasSubstr("1:7 GPU1 has a column and no row")));
  EXPECT_THAT(mistakes("\tGPU0\tGPU1\n\n"), ElementsAre("1:1 there is no row of a GPU below the header"));
  EXPECT_THAT(mistakes("\tGPU0\tGPU1\tGPU2\nGPU0\tX\tNV4\tNV4\nGPU1\tNV4\tX\tNV4\nGPU2\tNV4\tNV2\tX\n"),
              ElementsAre(HasSubstr("4:1 GPU2 has 6 NVLinks, GPU0 has 8")));
}

}  // namespace
}  // namespace trillion::smi_topology_test
