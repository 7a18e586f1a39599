// DeepEP's published bandwidths (docs/legacy.md@dd758ca, normal kernels on H800, 4096 tokens of 7168 values, top-8 experts of the best 4
// groups, FP8 dispatch and BF16 combine) from link rates and routing alone; nothing of that table goes in:
//
//   NVLink  160 GB/s achieved (DeepSeek-V3 report, section 3.2.2), NIC 46.5 GB/s of 50 (NVIDIA, nccl-tests issue 290: 46 to 48)
//   routing tokens with equally likely experts, one copy per node over the NIC, one per rank over NVLink. Copies that a rank
//           sends itself pass the same buffers as the others and count
//   blocks  of a kernel between nodes that receive over NVLink also lay each token into the NIC's buffers, or take it out of them
//           (csrc/kernels/internode.cu: RDMA senders and NVLink receivers share blocks): one more pass a token at NVLink's rate, which
//           kernels have just enough blocks for. Found by reading those kernels after 16 ranks came out 12 % too fast without it
//   time    the slower of the two hops; bandwidth = bytes of one copy per node (within a node: per rank), own ones counted, over time
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "sim/moe/dispatch.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"

namespace trillion::deepep_test {
namespace {

constexpr double kNvlink = 160e9, kNic = 46.5e9;
constexpr std::int64_t kTokens = 4096, kHidden = 7168, kExperts = 256, kTopK = 8;

struct Published {
  std::int64_t ranks;
  double dispatch, combine;  // GB/s
};
constexpr Published kTable[] = {{8, 153, 158}, {16, 43, 43}, {32, 58, 57}, {64, 51, 50}};

struct Copies {
  double nodes = 0, remote_nodes = 0, ranks = 0;  // per token
};

Copies copies_of(const ExpertGroup& group) {
  const std::int64_t nodes = node_count(group);
  GateShape shape;
  shape.experts = kExperts;
  shape.top_k = kTopK;
  shape.groups = nodes;
  shape.top_groups = std::min<std::int64_t>(nodes, 4);
  shape.group_scores = 1;
  const Gate gate(shape, draw_affinities(kExperts, {0, 0, 1}, 1, 0));
  std::vector<TokenChoices> choices(static_cast<std::size_t>(group.ranks));
  for (std::int64_t r = 0; r < group.ranks; ++r) {
    choices[static_cast<std::size_t>(r)].top_k = kTopK;
    gate.route({0, r * kTokens, kTokens}, Random(1, 2), choices[static_cast<std::size_t>(r)]);
  }
  const Traffic traffic = dispatch(choices, contiguous_placement(kExperts, group.ranks), group);
  Copies copies;
  for (std::int64_t s = 0; s < group.ranks; ++s) {
    for (std::int64_t r = 0; r < group.ranks; ++r) copies.ranks += traffic.rank_copies.at(s, r) / traffic.tokens;
  }
  const LayerRouting routing = routing_of(traffic, group);
  copies.nodes = routing.nodes_per_token;
  copies.remote_nodes = routing.remote_nodes_per_token;
  return copies;
}

// counted: bytes of one copy as DeepEP counts them; sent: with what goes along.
double predicted(const ExpertGroup& group, const Copies& copies, double counted, double sent) {
  const double tokens = static_cast<double>(kTokens);
  const double passes = copies.ranks + (copies.remote_nodes > 0 ? 1 : 0);
  const double time = std::max(tokens * sent * copies.remote_nodes / kNic, tokens * sent * passes / kNvlink);
  return tokens * counted * (node_count(group) > 1 ? copies.nodes : copies.ranks) / time / 1e9;
}

TEST(DeepEpValidation, PublishedBandwidthsFromLinkRatesAndRouting) {
  for (const Published& row : kTable) {
    const ExpertGroup group{row.ranks, 8, kTokens};
    const Copies copies = copies_of(group);
    const double hidden = static_cast<double>(kHidden);
    const double dispatched = predicted(group, copies, hidden + 4 * hidden / 128, dispatch_payload(kHidden, kTopK, true).total());
    const double combined = predicted(group, copies, 2 * hidden, combine_payload(kHidden).total());
    for (const auto& [name, ours, theirs] :
         {std::tuple{"dispatch", dispatched, row.dispatch}, std::tuple{"combine", combined, row.combine}}) {
      const double error = ours / theirs - 1;
      std::cout << "EP" << row.ranks << " " << name << ": " << ours << " GB/s predicted, " << theirs << " published, " << 100 * error
                << " %\n";
      EXPECT_LE(std::abs(error), 0.10) << "EP" << row.ranks << " " << name;
    }
  }
}

}  // namespace
}  // namespace trillion::deepep_test
