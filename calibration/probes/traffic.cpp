#include "traffic.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace probe {
namespace {

constexpr std::int64_t kUnit = 16;     // bytes; every message is a multiple
constexpr int kNodeLimit = 4;          // nodes that a token may visit, DeepSeek-V3's M
constexpr double kExpertsPerNode = 2;  // of eight experts over four nodes
constexpr int kChunks = 4;             // hop two of a chunk runs beside hop one of the next

std::int64_t whole(double bytes) { return std::max<std::int64_t>(kUnit, std::llround(bytes / kUnit) * kUnit); }

// A message to and from a peer inside an open group.
void exchange(ncclComm_t communicator, int peer, const char* send, std::int64_t send_bytes, char* receive, std::int64_t receive_bytes,
              cudaStream_t stream) {
  PROBE_NCCL(ncclSend(send, send_bytes, ncclInt8, peer, communicator, stream));
  PROBE_NCCL(ncclRecv(receive, receive_bytes, ncclInt8, peer, communicator, stream));
}

void all_to_all(const CollectiveShape& shape, const Ranks& ranks, ncclComm_t communicator, char* send, char* receive, cudaStream_t stream) {
  const auto shares = destination_shares(ranks.world, shape.imbalance);
  const std::int64_t mine = whole(shape.bytes * shares[ranks.rank]);
  PROBE_NCCL(ncclGroupStart());
  std::int64_t sent = 0;
  for (int peer = 0; peer < ranks.world; ++peer) {
    const std::int64_t theirs = whole(shape.bytes * shares[peer]);
    exchange(communicator, peer, send + sent, theirs, receive + peer * mine, mine, stream);
    sent += theirs;
  }
  PROBE_NCCL(ncclGroupEnd());
}

// Dispatch: hop one to the same local rank of each node over its rail, hop two within the node. Combine is the mirror
// image; on uniform traffic its messages are the same with the hops in the other order.
void two_hops(const CollectiveShape& shape, const Ranks& ranks, ncclComm_t communicator, char* send, char* receive, cudaStream_t stream) {
  const int nodes = ranks.nodes(), visited = std::min(kNodeLimit, nodes);
  const std::int64_t to_node = whole(double(shape.bytes) * visited / nodes / kChunks);
  const std::int64_t to_local = whole(double(to_node) * nodes * kExpertsPerNode / ranks.local_world);
  const bool combine = shape.kind == "combine";
  const auto across = [&] {
    for (int node = 0; node < nodes; ++node) {
      if (node == ranks.node()) continue;
      const int peer = node * ranks.local_world + ranks.local_rank;
      exchange(communicator, peer, send + node * to_node, to_node, receive + node * to_node, to_node, stream);
    }
  };
  const auto within = [&] {
    for (int local = 0; local < ranks.local_world; ++local) {
      if (local == ranks.local_rank) continue;
      const int peer = ranks.node() * ranks.local_world + local;
      exchange(communicator, peer, send + local * to_local, to_local, receive + local * to_local, to_local, stream);
    }
  };
  for (int step = 0; step <= kChunks; ++step) {
    PROBE_NCCL(ncclGroupStart());
    const bool first_hop = step<kChunks, second_hop = step> 0;
    if (combine ? second_hop : first_hop) across();
    if (combine ? first_hop : second_hop) within();
    PROBE_NCCL(ncclGroupEnd());
  }
}

}  // namespace

std::vector<double> destination_shares(int ranks, double imbalance) {
  std::vector<double> shares(ranks, 1.0 / ranks);
  if (imbalance <= 1 || ranks == 1) return shares;
  // One rank in eight is hot; the others share the rest.
  const int hot = std::max(1, ranks / 8);
  const double high = std::min(imbalance / ranks, 0.9 / hot);
  for (int r = 0; r < ranks; ++r) {
    shares[r] = r % 8 == 0 && r / 8 < hot ? high : (1 - hot * high) / (ranks - hot);
  }
  return shares;
}

Row CollectiveShape::row(const Ranks& ranks) const {
  Row row;
  row.text("op", "collective").text("kind", kind).number("bytes", bytes).number("ranks", ranks.world);
  row.number("ranks_per_node", ranks.local_world);
  if (imbalance > 1) row.number("imbalance", imbalance);
  if (kind == "dispatch" || kind == "combine") row.number("node_limit", kNodeLimit);
  if (max_ctas > 0) row.number("sms", max_ctas);
  return row;
}

std::size_t scratch_bytes(const CollectiveShape& shape, const Ranks& ranks) {
  // The hottest receiver of an uneven all-to-all holds imbalance times the mean; two hops fan out by experts per node.
  const double fan = shape.kind == "dispatch" || shape.kind == "combine" ? kExpertsPerNode * kNodeLimit : std::max(1.0, shape.imbalance);
  return static_cast<std::size_t>(shape.bytes * fan) + kUnit * 64 * (ranks.world + ranks.local_world);
}

void launch_collective(const CollectiveShape& shape, const Ranks& ranks, ncclComm_t communicator, char* send, char* receive,
                       cudaStream_t stream) {
  constexpr std::int64_t kElement = 2;  // bf16
  const std::size_t count = shape.bytes / kElement, share = count / ranks.world;
  if (shape.kind == "all_reduce") {
    PROBE_NCCL(ncclAllReduce(send, receive, count, ncclBfloat16, ncclSum, communicator, stream));
  } else if (shape.kind == "all_gather") {
    PROBE_NCCL(ncclAllGather(send, receive, share, ncclBfloat16, communicator, stream));
  } else if (shape.kind == "reduce_scatter") {
    PROBE_NCCL(ncclReduceScatter(send, receive, share, ncclBfloat16, ncclSum, communicator, stream));
  } else if (shape.kind == "all_to_all") {
    all_to_all(shape, ranks, communicator, send, receive, stream);
  } else if (shape.kind == "send_recv") {
    // A ring, as nccl-tests: to the next rank, from the one before.
    PROBE_NCCL(ncclGroupStart());
    PROBE_NCCL(ncclSend(send, count, ncclBfloat16, (ranks.rank + 1) % ranks.world, communicator, stream));
    PROBE_NCCL(ncclRecv(receive, count, ncclBfloat16, (ranks.rank + ranks.world - 1) % ranks.world, communicator, stream));
    PROBE_NCCL(ncclGroupEnd());
  } else if (shape.kind == "dispatch" || shape.kind == "combine") {
    two_hops(shape, ranks, communicator, send, receive, stream);
  } else {
    throw std::logic_error("unknown collective " + shape.kind);
  }
}

}  // namespace probe
