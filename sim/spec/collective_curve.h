// How long a collective takes as a function of bytes and ranks (curve.h says what all curves share).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/curve_info.h"
#include "sim/spec/kernel.h"
#include "sim/spec/nccl.h"

namespace trillion {

// What a group of ranks finds between its members, at the rates that the cluster at hand has (timing/ scales them).
struct GroupLinks {
  BytesPerSecond nvlink;  // one rank, one way, achieved
  BytesPerSecond nic;     // one rank's own share of its node's NICs, one way, achieved
  NcclLinks nccl = {};
};

// Collectives as NCCL runs them: latency per step plus a pipelined transfer (../shared/facts/communication.md, 4 and 5).
// n ranks, g on each of N = n / g nodes, S bytes as nccl-tests counts them:
//
//   transfer(w) = w + 2 sqrt(w pipeline)            w = bytes on the wire / rate. The root is the cost of the best chunk size:
//                                                   chunks too small pay latency, too large pay the fill of the pipeline.
//   rate        = nvlink on one node, else min(nvlink, g nic)         one ring per NIC: all NICs of the group's GPUs carry it
//   all_reduce      base + min(ring:  2(n-1) steps, of them 2(N-1) between nodes,  w = 2 (n-1)/n S / rate,
//                              tree:  2((g-1) + log2 N between nodes) steps,       w = 2 S / (0.92 rate))
//   all_gather, reduce_scatter   base + ring: n-1 steps, N-1 between nodes, w = (n-1)/n S / rate;  with g = 1 also the
//                                tree-like PAT: log2 N steps, w / 0.75
//   all_to_all      base + (g-1) nvlink_step + (n-g) nic_step + transfer(max((g-1)/n S / nvlink, (n-g)/n S / nic))
//   send_recv       base + one step + transfer(S / link)
//   broadcast       base + min(ring: n-1 steps, tree: (g-1) + log2 N steps) + transfer(S / rate)
//   on one node     plus own / local: what a rank moves without a link, S of an all_reduce, S / n of the next three kinds
//
// With knots, for groups on one node: of the measured group sizes m the one nearest to n in ratio; then
//
//   time = form(n, S) knots(m, S) / form(m, S)      log-log between knots; beyond them the ratio of the last one
//
// so that a measured size is what was measured and another cluster's links scale it as the closed form says. The library changes
// protocols on the way, and for another group size elsewhere (spec/nccl.h): where `links.nccl` is known, a ring of another size takes the
// protocol's own estimate (closed form for Simple) times what was measured over it where the measured group took that protocol.
//
// Where `links.nccl` is known, collectives over several nodes take what spec/nccl_between_nodes.h says of all_reduce, all_gather and
// reduce_scatter at these rates, and an all_reduce that NCCL leaves to the switch takes nvls_seconds (spec/nccl.h) times what was
// measured over it with `switch_knots`, of the group nearest in size.
struct CollectiveKnots {
  std::int64_t ranks = 0;              // m
  std::vector<double> bytes, seconds;  // both ascending
};

struct CollectiveCurve {
  CurveInfo info;
  CollectiveKind kind = CollectiveKind::all_reduce;

  Seconds base;                   // launch and synchronisation
  Seconds nvlink_step, nic_step;  // latency of one step; all_to_all: cost of one more peer
  Seconds pipeline;
  BytesPerSecond nvlink, nic;  // achieved on the calibrated machine
  BytesPerSecond local;        // 0: costs nothing
  std::int64_t sms = 0;        // that it holds meanwhile; 0: not measured
  std::vector<CollectiveKnots> knots;
  std::vector<CollectiveKnots> switch_knots;  // all_reduce in the switch (NVLS)
  Range bytes, ranks, nodes;                  // measured
};
Seconds evaluate(const CollectiveCurve& curve, const Collective& collective, const GroupLinks& links);
// "ring LL", "tree Simple", "NVLS", "NVLS tree", "PAT": what NCCL chooses; empty where that is not known.
std::string algorithm_of(const Collective& collective, const GroupLinks& links);

// Expert-parallel dispatch and combine of a library that sends a token to each node once and fans out over NVLink (DeepEP):
//
//   time = latency + max(bytes / nic, scale_up_bytes / nvlink)
struct ExpertCurve {
  CurveInfo info;
  CollectiveKind kind = CollectiveKind::expert_dispatch;
  Load load = Load::sustained;  // burst: the library alone; sustained: overlapped with computation

  Seconds latency;
  BytesPerSecond nic, nvlink;
  std::int64_t sms = 0;  // that it holds meanwhile
  Range bytes, ranks;
};
Seconds evaluate(const ExpertCurve& curve, const Collective& collective, const GroupLinks& links);

}  // namespace trillion
