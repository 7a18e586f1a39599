// What a dump says, and where it says nothing usable. Texts are as NCCL 2.19 to 2.28 writes them: self-closed elements, empty speeds on
// virtual machines, several NICs per bridge, hosts told apart by host_hash.
#include "sim/spec/nccl_topology.h"

#include "tests/spec/mistakes.h"

namespace trillion::nccl_topology_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string gpu(int number, const std::string& links, int sm = 90) {
  const std::string n = std::to_string(number);
  return "   <pci busid=\"0000:0" + n + ":00.0\" class=\"0x060400\" link_speed=\"32.0 GT/s PCIe\" link_width=\"16\">\n" +
         "    <pci busid=\"0000:1" + n + ":00.0\" class=\"0x030200\" link_speed=\"32.0 GT/s PCIe\" link_width=\"16\">\n" +
         "     <gpu dev=\"" + n + "\" sm=\"" + std::to_string(sm) + "\" rank=\"" + n + "\" gdr=\"1\">" + links + "</gpu>\n    </pci>\n";
}

std::string nic(int number, int speed) {
  const std::string n = std::to_string(number);
  return "    <pci busid=\"0000:2" + n + ":00.0\" class=\"0x020700\"><nic><net name=\"mlx5_" + n + "\" dev=\"" + n + "\" speed=\"" +
         std::to_string(speed) + "\" port=\"1\" gdr=\"1\"/></nic></pci>\n";
}

const std::string kToSwitches =
    "<nvlink target=\"0000:20:00.0\" count=\"10\" tclass=\"0x068000\"/><nvlink target=\"0000:21:00.0\" count=\"8\" tclass=\"0x068000\"/>";

std::string system_of(const std::string& inside) {
  return "<system version=\"1\">\n <cpu host_hash=\"0x1\" numaid=\"0\" affinity=\"ff\" arch=\"x86_64\">\n" + inside +
         " </cpu>\n</system>\n";
}

std::string h100_node() {
  std::string inside;
  for (int i = 0; i < 4; ++i) inside += gpu(i, kToSwitches) + nic(i, 400000) + "   </pci>\n";
  return system_of(inside + nic(8, 100000));
}

NodeFacts read(const std::string& text) { return read_nccl_topology(text, "node.xml"); }
std::vector<std::string> mistakes(const std::string& text) {
  return mistakes_of([&] { read(text); });
}

TEST(NcclTopology, AnNvswitchNode) {
  const NodeFacts facts = read(h100_node());
  EXPECT_EQ(facts.gpus_per_node, 4);
  EXPECT_EQ(facts.domain_gpus, 4);
  EXPECT_EQ(facts.nvlinks, 18);
  EXPECT_EQ(facts.compute_capability, 90);
  EXPECT_EQ(facts.host_bandwidth, BytesPerSecond{64e9});
  EXPECT_EQ(facts.nics_per_node, 4);
  EXPECT_EQ(facts.nic_bandwidth, BytesPerSecond{50e9});
  EXPECT_THAT(facts.left_out, ElementsAre("mlx5_8, 100 Gbps where others have 400"));
}

TEST(NcclTopology, PairsJoinedByBridgesAreDomainsOfTwo) {
  const auto to = [](int other) {
    return "<nvlink target=\"0000:1" + std::to_string(other) + ":00.0\" count=\"12\" tclass=\"0x030200\"/>";
  };
  std::string inside;
  for (int i = 0; i < 4; ++i) inside += gpu(i, to(i ^ 1), 80) + "   </pci>\n";
  const NodeFacts facts = read(system_of(inside));
  EXPECT_EQ(facts.domain_gpus, 2);
  EXPECT_EQ(facts.nvlinks, 12);
  EXPECT_EQ(facts.nics_per_node, 0);
}

TEST(NcclTopology, HostsOfOneDomain) {
  const std::string one = "<cpu host_hash=\"0x1\">" + gpu(0, kToSwitches, 100) + "</pci></cpu>";
  std::string both = "<system version=\"1\">" + one + replaced(one, "0x1", "0x2") + "</system>";
  const NodeFacts facts = read(both);
  EXPECT_EQ(facts.gpus_per_node, 1);
  EXPECT_EQ(facts.domain_gpus, 2);
}

TEST(NcclTopology, ProcessorsNextToTheGpuAndSpeedsThatAreNotSaid) {
  std::string grace = replaced(h100_node(), "<gpu dev=\"0\" sm=\"90\" rank=\"0\" gdr=\"1\">",
                               "<gpu dev=\"0\" sm=\"90\" rank=\"0\" gdr=\"1\"><c2c bw=\"44712\" count=\"10\"/>");
  EXPECT_DOUBLE_EQ(read(grace).host_bandwidth.value(), 447.12e9);
  EXPECT_EQ(read(replaced(h100_node(), "32.0 GT/s PCIe", "")).host_bandwidth, BytesPerSecond{0});
  // The narrower of the two links between processor and GPU.
  const std::string text = h100_node();
  std::string narrow = text;
  narrow.replace(narrow.find("32.0 GT/s PCIe"), 14, "16.0 GT/s PCIe");
  EXPECT_EQ(read(narrow).host_bandwidth, BytesPerSecond{32e9});
}

TEST(NcclTopology, MistakesHavePlaces) {
  EXPECT_THAT(mistakes("<system version=\"1\">\n <cpu>\n</system>\n"), ElementsAre(HasSubstr("3:3 not XML: ")));
  EXPECT_THAT(mistakes("<topology/>"), ElementsAre("1:2 expected <system>, as NCCL_TOPO_DUMP_FILE writes it"));
  EXPECT_THAT(mistakes(system_of("  <pci busid=\"0\"/>\n")),
              ElementsAre(HasSubstr("1:2 there is no <gpu> in it | a file for NCCL_TOPO_FILE has none")));
  EXPECT_THAT(mistakes(replaced(h100_node(), "speed=\"100000\"", "speed=\"fast\"")),
              ElementsAre(HasSubstr("<net> needs a number in 'speed', found 'fast'")));
  std::string lame = h100_node();
  lame.replace(lame.rfind("count=\"8\""), 9, "count=\"7\"");
  EXPECT_THAT(mistakes(lame),
              ElementsAre("23:7 GPUs with different numbers of NVLinks, 18 and 17 | a link may be down; trillion's nodes are all alike"));
}

// Cut anywhere, a dump is read or refused with a place; nothing else happens.
TEST(NcclTopology, PropertyCutDumpsAreReadOrRefused) {
  const std::string text = h100_node();
  for (std::size_t length = 0; length < text.size(); length += 3) {
    for (const Diagnostic& d : diagnostics_of([&] { read(text.substr(0, length)); })) EXPECT_GE(d.where.line, 1) << length;
  }
}

}  // namespace
}  // namespace trillion::nccl_topology_test
