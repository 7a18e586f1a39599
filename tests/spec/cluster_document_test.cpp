// base < from < own keys, and a `from` of the command line over all that the file says; each mistake where it was written.
#include "sim/spec/cluster_document.h"

#include <unistd.h>
#include <filesystem>
#include <fstream>

#include "sim/spec/load.h"
#include "tests/spec/mistakes.h"

namespace trillion::cluster_document_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

class ClusterDocument : public testing::Test {
 protected:
  ClusterDocument() : folder_(fs::temp_directory_path() / ("trillion-cluster-document-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
    fs::copy_file(fs::path(TRILLION_SOURCE_DIR) / "topologies/h100-1024.yaml", folder_ / "base.yaml", fs::copy_options::overwrite_existing);
    write("node.txt",
          "\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tNIC1\n"
          "GPU0\tX\tNV18\tNV18\tNV18\tPIX\tSYS\n"
          "GPU1\tNV18\tX\tNV18\tNV18\tPIX\tSYS\n"
          "GPU2\tNV18\tNV18\tX\tNV18\tSYS\tPIX\n"
          "GPU3\tNV18\tNV18\tNV18\tX\tSYS\tPIX\n"
          "NIC0\tPIX\tPIX\tSYS\tSYS\tX\tSYS\n"
          "NIC1\tSYS\tSYS\tPIX\tPIX\tSYS\tX\n");
  }
  ~ClusterDocument() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }

  fs::path folder_;
};

TEST_F(ClusterDocument, OwnKeysOverTheNodesOverTheBase) {
  const Cluster c = load_cluster(write("mine.yaml", "base: base.yaml\nfrom: node.txt\nname: mine\nscale_out:\n  nics_per_node: 4\n"));
  EXPECT_EQ(c.name, "mine");
  EXPECT_EQ(c.nodes, 128) << "the base's";
  EXPECT_EQ(c.gpus_per_node, 4) << "the node's";
  EXPECT_EQ(c.scale_up.domain_gpus, 4);
  EXPECT_EQ(c.scale_up.bandwidth, BytesPerSecond{450e9});
  EXPECT_THAT(c.scale_up.provenance.source, HasSubstr("read from "));
  EXPECT_EQ(c.scale_out.nics_per_node, 4) << "its own";
  EXPECT_EQ(c.scale_out.nic_bandwidth, BytesPerSecond{50e9}) << "the base's, since the dump has no speeds";
}

TEST_F(ClusterDocument, TheCommandLinesNodeReplacesWhatTheFileSays) {
  const Cluster c = load_cluster((folder_ / "base.yaml").string(), {"from=" + (folder_ / "node.txt").string(), "nodes=3"});
  EXPECT_EQ(c.gpus_per_node, 4);
  EXPECT_EQ(c.scale_out.nics_per_node, 2);
  EXPECT_EQ(c.nodes, 3);
}

TEST_F(ClusterDocument, AScenariosClusterMayNameBoth) {
  const fs::path scenario = fs::path(TRILLION_SOURCE_DIR) / "scenarios/deepseek-v3";
  const std::string node = (folder_ / "node.txt").string(), base = (folder_ / "base.yaml").string();
  const Scenario s = load_scenario(scenario.string(), {"cluster={base: " + base + ", from: " + node + ", nodes: 512}"});
  EXPECT_EQ(s.cluster.gpus_per_node, 4);
  EXPECT_EQ(s.cluster.gpus(), 2048);
  EXPECT_EQ(load_scenario(scenario.string(), {"cluster.from=" + node, "cluster.nodes=512", "cluster.scale_out.planes=2"})
                .cluster.scale_out.nics_per_node,
            2);
}

TEST_F(ClusterDocument, MistakesHavePlaces) {
  const auto mistakes = [&](const std::string& text) { return mistakes_of([&] { load_cluster(write("bad.yaml", text)); }); };
  EXPECT_THAT(mistakes("base: nothing.yaml\n"), ElementsAre(HasSubstr("1:7 'base': there is no file ")));
  EXPECT_THAT(mistakes("base: base.yaml\nfrom: [a]\n"), ElementsAre("2:7 'from': expected a file name"));
  EXPECT_THAT(mistakes("base: bad.yaml\n"), ElementsAre("1:7 'base': topology files name each other as their base"));
  write("lame.txt", "\tGPU0\tGPU1\nGPU0\tX\n");
  EXPECT_THAT(mistakes("base: base.yaml\nfrom: lame.txt\n"), ElementsAre(HasSubstr("2:7 GPU0 has 1 cells for 2 columns")));
}

}  // namespace
}  // namespace trillion::cluster_document_test
