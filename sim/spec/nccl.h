// Which protocol NCCL takes for a ring on one node, by its own estimate (NVIDIA/nccl@5067397, src/graph/tuning.cc and topo.h; figures of
// ../shared/facts/communication.md, section 4), and what the two protocols for short messages take. They are why the time of a
// collective has steps between 1 and 16 MiB, and why those lie elsewhere for another number of ranks.
//
//   protocol  start    step     share of the bus       of a ring over NVLink; the bus is 82 % of the vendor's rate, one way
//   LL        6.6 us   0.6 us   1/2, at most a limit    8-byte words of 4 bytes and a flag: no waiting for a synchronisation
//   LL128    14.0 us   1.9 us   0.92                    128-byte lines with one flag
//   Simple    8.4 us   3.4 us   1                       blocks, synchronised
//
//   estimate = start + steps x step + bytes on the wire / (share x bus)     steps n - 1, all_reduce 2 (n - 1);  the least is taken
//
// The limit of LL, by generation: 87.7 GB/s (Ampere), 141 (Hopper), 282 (Blackwell). For Simple the estimate only decides: what it takes
// is calibrated. NVLS is left out: it is one of NCCL's algorithms for all_reduce in a switch, off where NCCL_NVLS_ENABLE=0 or multicast is.
//
// Example: an all-gather of 4 MiB on H100s is Simple for 2 or 4 ranks and LL for 8.
#pragma once

#include <cstdint>

#include "sim/base/quantity.h"
#include "sim/spec/kernel.h"

namespace trillion {

// What NCCL's estimate knows of a GPU's NVLinks.
struct NcclLinks {
  BytesPerSecond bus;  // 0: unknown
  BytesPerSecond ll_limit;

  bool known() const { return bus.value() > 0; }
};
// `vendor`: one way, of one GPU. Unknown for generations before Ampere (compute capability 80).
NcclLinks nccl_links(BytesPerSecond vendor, std::int64_t compute_capability);

enum class NcclProtocol { ll, ll128, simple };

// REQUIRES: kind is all_reduce, all_gather or reduce_scatter; at least two ranks; links.known().
NcclProtocol nccl_protocol(CollectiveKind kind, Bytes bytes, std::int64_t ranks, const NcclLinks& links);
Seconds nccl_estimate(NcclProtocol protocol, CollectiveKind kind, Bytes bytes, std::int64_t ranks, const NcclLinks& links);

}  // namespace trillion
