// Who sends how much to whom: the collectives of training as NCCL calls.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ranks.h"
#include "row.h"

namespace probe {

struct CollectiveShape {
  // all_reduce all_gather reduce_scatter all_to_all send_recv, and the node-limited dispatch and combine of experts.
  std::string kind;
  std::int64_t bytes = 0;  // as nccl-tests counts size; dispatch and combine: tokens x bytes of one, per rank
  double imbalance = 1;    // all_to_all: the hottest rank receives this many times the mean
  int max_ctas = 0;        // SMs that NCCL may take; 0: its choice
  Row row(const Ranks& ranks) const;
};

// Queues one call. `send` and `receive` hold scratch_bytes() each.
void launch_collective(const CollectiveShape& shape, const Ranks& ranks, ncclComm_t communicator, char* send, char* receive,
                       cudaStream_t stream);
std::size_t scratch_bytes(const CollectiveShape& shape, const Ranks& ranks);

// Share of its bytes that each rank sends to rank r; sums to 1. The hottest share is imbalance / ranks.
std::vector<double> destination_shares(int ranks, double imbalance);

}  // namespace probe
