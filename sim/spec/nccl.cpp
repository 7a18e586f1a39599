#include "sim/spec/nccl.h"

#include <algorithm>

namespace trillion {

namespace {

struct ProtocolRow {
  double start, step;  // seconds
  double share;        // of the bus
};
constexpr std::array<ProtocolRow, 3> kRing = {{{6.6e-6, 0.6e-6, 0.5}, {14.0e-6, 1.9e-6, 0.92}, {8.4e-6, 3.4e-6, 1}}};

constexpr double kAchieved = 20.6 / 25;  // GB/s of an NVLink 4 in NCCL's tables, of the vendor's

constexpr double kNvlsStart = 25e-6;
constexpr double kNvlsArity = 32;  // ranks that own a part, at most

// NCCL's estimate: bytes over the rate at which n parts pass.
Seconds nvls_estimate(Bytes bytes, std::int64_t ranks, const NcclLinks& links) {
  const double owners = std::min(static_cast<double>(ranks), kNvlsArity);
  const BytesPerSecond part = std::min(links.nvls_part, links.bus / (owners + 1));
  return Seconds{kNvlsStart} + bytes / (part * (owners * links.nvls_share));
}

// A message has to fill the channels with some chunks; NCCL halves them until it does (src/enqueue.cc).
Bytes nvls_chunk(Bytes bytes, double parts) {
  double chunk = 128 * 1024;
  if (bytes.value() < 64 * parts * chunk) chunk = 64 * 1024;
  if (bytes.value() < 8 * parts * chunk) chunk = 32 * 1024;
  if (bytes.value() < 2 * parts * chunk) chunk = 16 * 1024;
  return Bytes{chunk};
}

}  // namespace

NcclLinks nccl_links(BytesPerSecond vendor, std::int64_t compute_capability, Nvls nvls) {
  if (compute_capability < 80) return {};
  const bool hopper = compute_capability >= 90, blackwell = compute_capability >= 100;
  NcclLinks links;
  links.bus = vendor * kAchieved;
  links.ll_limit = BytesPerSecond{blackwell ? 282e9 : hopper ? 141e9 : 87.7e9};
  if (nvls == Nvls::disabled || !hopper) return links;
  links.nvls_share = blackwell ? 0.74 : 0.85;
  links.nvls_part = BytesPerSecond{blackwell ? 90e9 : 60e9};
  links.nvls_channels = blackwell ? 24 : 16;
  links.nvls_tree_pair = BytesPerSecond{blackwell ? 96e9 : 57.7e9};
  links.nvls_tree_many = BytesPerSecond{blackwell ? 80e9 : 45.5e9};
  return links;
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

bool takes_nvls(CollectiveKind kind, Bytes bytes, std::int64_t ranks, const NcclLinks& links) {
  if (kind != CollectiveKind::all_reduce || links.nvls_share <= 0) return false;
  return nvls_estimate(bytes, ranks, links) < nccl_estimate(nccl_protocol(kind, bytes, ranks, links), kind, bytes, ranks, links);
}

Seconds nvls_seconds(Bytes bytes, std::int64_t ranks, const NcclLinks& links) {
  const double owners = std::min(static_cast<double>(ranks), kNvlsArity), parts = links.nvls_channels * owners;
  const Seconds start{kNvlsStart}, loop = nvls_estimate(nvls_chunk(bytes, parts) * parts, ranks, links) - start;
  return nvls_estimate(bytes, ranks, links) + loop * 2.0;
}

}  // namespace trillion
