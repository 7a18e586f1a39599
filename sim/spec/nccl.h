// How NCCL runs a collective on one node, by its own estimate (NVIDIA/nccl@5067397, src/graph/tuning.cc and topo.h; figures of
// ../shared/facts/communication.md, section 4): which protocol a ring takes, when an all-reduce is left to the switch, and what those take
// that are not measured. They are why the time of a collective has steps between 1 and 16 MiB, and why those lie elsewhere for
// another number of ranks. Between nodes: nccl_between_nodes.h.
//
//   protocol  start    step     share of the bus       of a ring over NVLink; the bus is 82 % of the vendor's rate, one way
//   LL        6.6 us   0.6 us   1/2, at most a limit    8-byte words of 4 bytes and a flag: no waiting for a synchronisation
//   LL128    14.0 us   1.9 us   0.92                    128-byte lines with one flag
//   Simple    8.4 us   3.4 us   1                       blocks, synchronised
//
//   estimate = start + steps x step + bytes on the wire / (share x bus)     steps n - 1, all_reduce 2 (n - 1);  the least is taken
//
// The limit of LL, by generation: 87.7 GB/s (Ampere), 141 (Hopper), 282 (Blackwell). For Simple the estimate only decides: what it takes
// is calibrated.
//
// NVLS (NCCL 2.17, compute capability 90, NVSwitch): the switch adds. Each rank owns 1/n of the buffer, asks the switch for the sum of
// that part and hands it back for everyone. So a GPU sends its copy of every part and the sum of its own, and receives as much:
//
//   estimate = 25 us + (n + 1) / n bytes / (e bus)       e = 0.85 (Hopper), 0.74 (Blackwell)
//   time     = estimate + 2 loops of chunks              into the switch's buffers, through the switch, out of them: three stages
//
// A loop is one chunk (16 to 128 KiB, by size) of each rank's part on each of 16 (Blackwell: 24) channels. One rank's part goes at
// 60 GB/s at most (Blackwell: 90): four ranks stay with the ring, eight leave it at 2 MiB. Gathers and scatters never do on one node.
//
// Example: an all-gather of 4 MiB on H100s is Simple for 2 or 4 ranks and LL for 8.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "sim/base/quantity.h"
#include "sim/spec/kernel.h"

namespace trillion {

// Whether the library may leave an all-reduce to the switch (NCCL_NVLS_ENABLE).
enum class Nvls { disabled, enabled };
inline constexpr std::array<std::string_view, 2> kNvlsNames = {"disabled", "enabled"};

// What NCCL's estimate knows of a GPU's NVLinks.
struct NcclLinks {
  BytesPerSecond bus;  // 0: unknown
  BytesPerSecond ll_limit;

  // The switch; a share of 0: it does not add.
  double nvls_share = 0;                               // e
  BytesPerSecond nvls_part = {};                       // of one rank's part at most
  double nvls_channels = 0;                            // on one node
  BytesPerSecond nvls_tree_pair, nvls_tree_many = {};  // one rank's share of the bus bandwidth between two nodes, between more

  bool known() const { return bus.value() > 0; }
};
// `vendor`: one way, of one GPU. Unknown for generations before Ampere (compute capability 80).
NcclLinks nccl_links(BytesPerSecond vendor, std::int64_t compute_capability, Nvls nvls = Nvls::disabled);

enum class NcclProtocol { ll, ll128, simple };

// REQUIRES: kind is all_reduce, all_gather or reduce_scatter; at least two ranks; links.known().
NcclProtocol nccl_protocol(CollectiveKind kind, Bytes bytes, std::int64_t ranks, const NcclLinks& links);
Seconds nccl_estimate(NcclProtocol protocol, CollectiveKind kind, Bytes bytes, std::int64_t ranks, const NcclLinks& links);

// Whether the switch adds. REQUIRES: as above.
bool takes_nvls(CollectiveKind kind, Bytes bytes, std::int64_t ranks, const NcclLinks& links);
// REQUIRES: at least two ranks; links.nvls_share > 0.
Seconds nvls_seconds(Bytes bytes, std::int64_t ranks, const NcclLinks& links);

}  // namespace trillion
