// What NCCL expects of a collective over several nodes (NVIDIA/nccl@5067397, src/graph/tuning.cc; ../shared/facts/communication.md,
// section 4), at the rates that NVLinks and NICs reach. n ranks, g on each of N = n / g nodes, S bytes as nccl-tests counts them:
//
//   protocol  start    NVLink step  hop between nodes   share of the rate          start and NVLink step of a ring as in nccl.h
//   LL        6.6 us   1.0 us       2.7 us              1/2, at most 39 GB/s between two nodes, 20.4 between more
//   LL128    14.0 us   1.9 us       4.0 us              0.92
//   Simple    8.4 us   3.4 us      14.0 us              1
//
//   ring        start + steps, N - 1 of them hops + (n - 1) / n S / (share rate);  all_reduce: twice the steps, the hops and the bytes,
//               and 1.4 x the latency of Simple.  rate = min(NVLink, the g NICs together)
//   tree        all_reduce: start + 2 ((g - 1) NVLink steps + log2 N hops) + max(2 S / NVLink, 2 S / NICs) / share;  a tree's hops: 5, 8.5,
//               14 us. Two nodes of one rank exchange halves, S / NICs; of more ranks logs show no more than a ring's rate (NVIDIA/nccl
//               issue 1048: 86 of 100 GB/s)
//   PAT         gather and scatter with g = 1: 8 us + log2 N x 4 us + 2.8 us n + (n - 1) / n S / (0.75 NIC)
//   NVLS tree   all_reduce where the switch adds: 25 us + 2 log2 N x 20.9 us + max((g + 1) / g S / (e bus), 2 S / NICs), two nodes S / NICs
//
// The least is taken, as NCCL does. Middling messages get 0.4 to 0.9 of a tree's rate, by NCCL's own table; not with one rank a node, where
// a log shows nothing of it (tests/validation). There the hops of a ring are as slow as a tree's: nothing hides them.
//
// Example: 512 MiB over 248 nodes of eight H200s go by NVLS trees in 3.3 ms.
#pragma once

#include <cstdint>
#include <optional>

#include "sim/spec/nccl.h"

namespace trillion {

struct NodeGroup {
  std::int64_t ranks = 0, ranks_per_node = 1;
  BytesPerSecond nvlink;  // one rank, one way, achieved
  BytesPerSecond nics;    // of all the group's ranks on a node together, one way, achieved
};

enum class NcclAlgorithm { ring, tree, pat, nvls_tree };
struct NcclChoice {
  NcclAlgorithm algorithm = NcclAlgorithm::ring;
  NcclProtocol protocol = NcclProtocol::simple;
  Seconds time;
};

// What one algorithm takes with its best protocol; nothing if it does not do that.
// REQUIRES: kind is all_reduce, all_gather or reduce_scatter; more ranks than ranks_per_node.
std::optional<NcclChoice> nccl_between_nodes(NcclAlgorithm algorithm, CollectiveKind kind, Bytes bytes, const NodeGroup& group,
                                             const NcclLinks& links);

// What NCCL chooses. REQUIRES: the same.
NcclChoice nccl_between_nodes(CollectiveKind kind, Bytes bytes, const NodeGroup& group, const NcclLinks& links);

}  // namespace trillion
