// Latency and bytes of each algorithm by hand, and which is chosen where.
#include "sim/spec/nccl_between_nodes.h"

#include <gtest/gtest.h>

namespace trillion::nccl_between_nodes_test {
namespace {

constexpr double kMiB = 1048576;
const NcclLinks kOff = nccl_links(BytesPerSecond{450e9}, 90), kOn = nccl_links(BytesPerSecond{450e9}, 90, Nvls::enabled);

// Eight NICs of 46 GB/s a node, or one.
NodeGroup nodes_of(std::int64_t nodes, std::int64_t per_node) {
  return {nodes * per_node, per_node, BytesPerSecond{370e9}, BytesPerSecond{46e9} * static_cast<double>(per_node)};
}
double seconds(NcclAlgorithm algorithm, CollectiveKind kind, double bytes, const NodeGroup& group, const NcclLinks& links = kOff) {
  return nccl_between_nodes(algorithm, kind, Bytes{bytes}, group, links)->time.value();
}

TEST(NcclBetweenNodes, RingsPayEveryStepAndEveryHop) {
  // 4 nodes of 8: 31 steps, 3 of them between nodes.
  EXPECT_NEAR(seconds(NcclAlgorithm::ring, CollectiveKind::all_gather, 8e9, nodes_of(4, 8)),
              8.4e-6 + 28 * 3.4e-6 + 3 * 14e-6 + 31.0 / 32 * 8e9 / 368e9, 1e-12);
  EXPECT_NEAR(seconds(NcclAlgorithm::ring, CollectiveKind::all_reduce, 8e9, nodes_of(4, 8)),
              1.4 * (8.4e-6 + 56 * 3.4e-6 + 6 * 14e-6) + 62.0 / 32 * 8e9 / 368e9, 1e-12);
  // Short: words with flags. With one rank a node a hop takes as long as a tree's.
  EXPECT_NEAR(seconds(NcclAlgorithm::ring, CollectiveKind::all_gather, 1e3, nodes_of(4, 8)),
              6.6e-6 + 28 * 1e-6 + 3 * 2.7e-6 + 31.0 / 32 * 1e3 / 20.4e9, 1e-12);
  EXPECT_NEAR(seconds(NcclAlgorithm::ring, CollectiveKind::all_gather, 1e3, nodes_of(4, 1)), 6.6e-6 + 3 * 5e-6 + 0.75e3 / 20.4e9, 1e-12);
}

TEST(NcclBetweenNodes, TreesGrowWithTheLogarithm) {
  EXPECT_NEAR(seconds(NcclAlgorithm::tree, CollectiveKind::all_reduce, 8e9, nodes_of(16, 1)),
              8.4e-6 + 2 * 4 * 14e-6 + 2 * 8e9 / (0.92 * 46e9), 1e-9);
  // Two ranks exchange halves; within a node everything passes up and down.
  EXPECT_NEAR(seconds(NcclAlgorithm::tree, CollectiveKind::all_reduce, 8e9, nodes_of(2, 1)), 8.4e-6 + 28e-6 + 8e9 / (0.92 * 46e9), 1e-9);
  EXPECT_NEAR(seconds(NcclAlgorithm::tree, CollectiveKind::all_reduce, 8e9, nodes_of(2, 8)),
              8.4e-6 + 2 * (7 * 4e-6 + 14e-6) + 2 * 8e9 / (0.92 * 368e9), 1e-9);
  // 8 MiB are 2^17 lines of 64 bytes: NCCL's table has 0.9 there for LL128.
  EXPECT_NEAR(seconds(NcclAlgorithm::tree, CollectiveKind::all_reduce, 8 * kMiB, nodes_of(64, 8)),
              14e-6 + 2 * (7 * 1.25e-6 + 6 * 8.5e-6) + 2 * 8 * kMiB / (0.9 * 0.92 * 120 / 128 * 368e9), 1e-9);
  EXPECT_FALSE(nccl_between_nodes(NcclAlgorithm::tree, CollectiveKind::all_gather, Bytes{1e6}, nodes_of(2, 8), kOff));
}

TEST(NcclBetweenNodes, SwitchesAddWithinNodesAndTreesBetweenThem) {
  EXPECT_NEAR(seconds(NcclAlgorithm::nvls_tree, CollectiveKind::all_reduce, 8e9, nodes_of(16, 8), kOn),
              25e-6 + 2 * 4 * 20.9e-6 + 2 * 8e9 / 364e9 * 127 / 128, 1e-9);
  EXPECT_EQ(nccl_between_nodes(CollectiveKind::all_reduce, Bytes{512 * kMiB}, nodes_of(248, 8), kOn).algorithm, NcclAlgorithm::nvls_tree);
  EXPECT_NE(nccl_between_nodes(CollectiveKind::all_reduce, Bytes{512 * kMiB}, nodes_of(248, 8), kOff).algorithm, NcclAlgorithm::nvls_tree);
  EXPECT_FALSE(nccl_between_nodes(NcclAlgorithm::nvls_tree, CollectiveKind::all_reduce, Bytes{1e6}, nodes_of(2, 1), kOn));
}

TEST(NcclBetweenNodes, ManyRanksGatherShortMessagesInFewRounds) {
  EXPECT_EQ(nccl_between_nodes(CollectiveKind::all_gather, Bytes{64 * kMiB}, nodes_of(512, 1), kOff).algorithm, NcclAlgorithm::pat);
  EXPECT_EQ(nccl_between_nodes(CollectiveKind::all_gather, Bytes{8192 * kMiB}, nodes_of(8, 1), kOff).algorithm, NcclAlgorithm::ring);
  EXPECT_FALSE(nccl_between_nodes(NcclAlgorithm::pat, CollectiveKind::all_gather, Bytes{1e6}, nodes_of(2, 8), kOff));
}

TEST(NcclBetweenNodes, MoreBytesNeverTakeLessTime) {
  for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce}) {
    for (const std::int64_t nodes : {2, 3, 64}) {
      for (const std::int64_t per_node : {1, 4, 8}) {
        Seconds before;
        for (double bytes = 64; bytes < 1e11; bytes *= 1.3) {
          const Seconds now = nccl_between_nodes(kind, Bytes{bytes}, nodes_of(nodes, per_node), kOn).time;
          EXPECT_GE(now, before) << nodes << " x " << per_node << ", " << bytes;
          before = now;
        }
      }
    }
  }
}

}  // namespace
}  // namespace trillion::nccl_between_nodes_test
