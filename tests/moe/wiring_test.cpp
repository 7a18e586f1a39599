// Algebra of the wires between ranks:
//   a copy enters its own node at the sender, another at the sender's rail; a short last node shares the rails it has
//   NICs send what NICs receive; nothing goes by NIC within a node; each rank and node of a footprint once, dropped experts nowhere
#include "sim/moe/wiring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "sim/moe/capacity.h"

namespace trillion::wiring_test {
namespace {

TEST(Wiring, EntersAtTheSendersRail) {
  const ExpertGroup group{20, 8, 1};  // nodes of 8, 8 and 4
  EXPECT_EQ(node_count(group), 3);
  EXPECT_EQ(node_size(2, group), 4);
  EXPECT_EQ(entry(3, 0, group), 3);
  EXPECT_EQ(entry(3, 1, group), 11);
  EXPECT_EQ(entry(11, 0, group), 3);
  EXPECT_EQ(entry(6, 2, group), 18) << "rail 6 of a node that has rails 0 to 3";
}

TEST(Wiring, NicsSendWhatTheyReceive) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Random draw(seed, 3);
    const ExpertGroup group{1 + static_cast<std::int64_t>(draw.bits(0) % 40), 1 + static_cast<std::int64_t>(draw.bits(1) % 9), 1};
    Table copies(group.ranks, node_count(group));
    double remote = 0;
    for (std::int64_t s = 0; s < group.ranks; ++s)
      for (std::int64_t n = 0; n < copies.columns; ++n) {
        copies.at(s, n) = static_cast<double>(draw.bits(static_cast<std::uint64_t>(100 + s * 64 + n)) % 50);
        if (n != node_of(s, group)) remote += copies.at(s, n);
      }
    const NicCopies nic = nic_copies(copies, group);
    EXPECT_EQ(std::accumulate(nic.sent.begin(), nic.sent.end(), 0.0), remote);
    EXPECT_EQ(std::accumulate(nic.received.begin(), nic.received.end(), 0.0), remote);
  }
}

TEST(Wiring, FootprintCountsEachRankAndNodeOnce) {
  const ExpertGroup group{4, 2, 1};
  const Placement placement = contiguous_placement(8, 4);
  Footprint f(placement, group);
  const std::vector<std::uint16_t> first = {0, 1, 2, 7}, second = {CapacityResult::kDropped, 5};
  f.visit(first, 0);
  EXPECT_EQ(f.ranks(), (std::vector<std::size_t>{0, 1, 3}));
  EXPECT_EQ(f.nodes(), (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(f.pairs_on_rank(0), 2);
  EXPECT_EQ(f.pairs_on_node(0), 3);
  f.visit(second, 1);
  EXPECT_EQ(f.ranks(), (std::vector<std::size_t>{2}));
  EXPECT_EQ(f.pairs_on_node(0), 0) << "forgets the token before";
  EXPECT_EQ(f.pairs_on_node(1), 1);
}

TEST(Wiring, NvlinkCarriesAllButTheEntry) {
  const ExpertGroup group{4, 2, 1};
  Table copies(4, 4);
  copies.at(0, 0) = 5;  // stays
  copies.at(0, 1) = 3;  // NVLink
  copies.at(0, 2) = 2;  // enters there
  copies.at(0, 3) = 1;  // fan-out
  EXPECT_EQ(copies_over_nvlink(copies, group), 4);
}

}  // namespace
}  // namespace trillion::wiring_test
