#include "sim/spec/nccl.h"

#include <algorithm>
#include <array>

namespace trillion {

namespace {

struct ProtocolRow {
  double start, step;  // seconds
  double share;        // of the bus
};
constexpr std::array<ProtocolRow, 3> kRing = {{{6.6e-6, 0.6e-6, 0.5}, {14.0e-6, 1.9e-6, 0.92}, {8.4e-6, 3.4e-6, 1}}};

constexpr double kAchieved = 20.6 / 25;  // GB/s of an NVLink 4 in NCCL's tables, of the vendor's

}  // namespace

NcclLinks nccl_links(BytesPerSecond vendor, std::int64_t compute_capability) {
  if (compute_capability < 80) return {};
  const double limit = compute_capability >= 100 ? 282e9 : compute_capability >= 90 ? 141e9 : 87.7e9;
  return {vendor * kAchieved, BytesPerSecond{limit}};
}

Seconds nccl_estimate(NcclProtocol protocol, CollectiveKind kind, Bytes bytes, std::int64_t ranks, const NcclLinks& links) {
  const ProtocolRow& row = kRing[static_cast<std::size_t>(protocol)];
  const double n = static_cast<double>(ranks), steps = (kind == CollectiveKind::all_reduce ? 2 : 1) * (n - 1);
  BytesPerSecond rate = links.bus * row.share;
  if (protocol == NcclProtocol::ll) rate = std::min(rate, links.ll_limit);
  return Seconds{row.start + steps * row.step} + bytes * (steps / n) / rate;
}

NcclProtocol nccl_protocol(CollectiveKind kind, Bytes bytes, std::int64_t ranks, const NcclLinks& links) {
  NcclProtocol best = NcclProtocol::ll;
  for (const NcclProtocol p : {NcclProtocol::ll128, NcclProtocol::simple}) {
    if (nccl_estimate(p, kind, bytes, ranks, links) < nccl_estimate(best, kind, bytes, ranks, links)) best = p;
  }
  return best;
}

}  // namespace trillion
