// Estimates are the table's; the choice is the least of them, so protocols follow one another as messages grow, and short messages of
// many ranks stay with LL for longer than those of few.
#include "sim/spec/nccl.h"

#include <gtest/gtest.h>

namespace trillion::nccl_test {
namespace {

constexpr double kMiB = 1048576;
const NcclLinks kH100 = nccl_links(BytesPerSecond{450e9}, 90);

NcclProtocol choice(CollectiveKind kind, double bytes, std::int64_t ranks) { return nccl_protocol(kind, Bytes{bytes}, ranks, kH100); }

TEST(Nccl, EstimatesByHand) {
  EXPECT_DOUBLE_EQ(kH100.bus.value(), 370.8e9);
  const auto estimate = [](NcclProtocol p, CollectiveKind kind) { return nccl_estimate(p, kind, Bytes{8e6}, 8, kH100).value(); };
  EXPECT_DOUBLE_EQ(estimate(NcclProtocol::ll, CollectiveKind::all_gather), 6.6e-6 + 7 * 0.6e-6 + 7e6 / 141e9);
  EXPECT_DOUBLE_EQ(estimate(NcclProtocol::ll128, CollectiveKind::all_gather), 14e-6 + 7 * 1.9e-6 + 7e6 / (0.92 * 370.8e9));
  EXPECT_DOUBLE_EQ(estimate(NcclProtocol::simple, CollectiveKind::all_reduce), 8.4e-6 + 14 * 3.4e-6 + 14e6 / 370.8e9);
}

TEST(Nccl, ProtocolsFollowOneAnother) {
  for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce}) {
    for (const std::int64_t ranks : {2, 4, 8, 16}) {
      NcclProtocol last = NcclProtocol::ll;
      for (double bytes = 1024; bytes < 1e10; bytes *= 2) {
        const NcclProtocol now = choice(kind, bytes, ranks);
        EXPECT_GE(now, last);
        last = now;
      }
      EXPECT_EQ(last, NcclProtocol::simple);
      EXPECT_EQ(choice(kind, 1024, ranks), NcclProtocol::ll);
    }
  }
  EXPECT_EQ(choice(CollectiveKind::all_gather, 4 * kMiB, 2), NcclProtocol::simple);
  EXPECT_EQ(choice(CollectiveKind::all_gather, 4 * kMiB, 4), NcclProtocol::simple);
  EXPECT_EQ(choice(CollectiveKind::all_gather, 4 * kMiB, 8), NcclProtocol::ll);
}

TEST(Nccl, SlowNvlinkHalvesLlBeforeItsLimitDoes) {
  const NcclLinks h800 = nccl_links(BytesPerSecond{200e9}, 90);
  EXPECT_DOUBLE_EQ(nccl_estimate(NcclProtocol::ll, CollectiveKind::all_gather, Bytes{8e6}, 8, h800).value(),
                   6.6e-6 + 7 * 0.6e-6 + 7e6 / (0.5 * 164.8e9));
  EXPECT_FALSE(nccl_links(BytesPerSecond{150e9}, 70).known());
}

// 8 ranks: 9/8 of the bytes in and out of a GPU at 85 % of the bus, and two loops of 64 KiB chunks, 128 of them.
TEST(Nccl, TheSwitchAddsByHand) {
  const NcclLinks links = nccl_links(BytesPerSecond{450e9}, 90, Nvls::enabled);
  const double rate = 0.85 * 370.8e9 * 8 / 9;
  EXPECT_NEAR(nvls_seconds(Bytes{256 * kMiB}, 8, links).value(), 25e-6 + (256 * kMiB + 2 * 128 * 65536) / rate, 1e-12);
  EXPECT_NEAR(nvls_seconds(Bytes{2048 * kMiB}, 8, links).value(), 25e-6 + (2048 * kMiB + 2 * 128 * 131072) / rate, 1e-12);
}

TEST(Nccl, EightRanksLeaveSumsToTheSwitchAndFourDoNot) {
  const NcclLinks links = nccl_links(BytesPerSecond{450e9}, 90, Nvls::enabled);
  for (double bytes = 2 * kMiB; bytes < 1e10; bytes *= 2) {
    EXPECT_TRUE(takes_nvls(CollectiveKind::all_reduce, Bytes{bytes}, 8, links));
    EXPECT_FALSE(takes_nvls(CollectiveKind::all_reduce, Bytes{bytes}, 8, kH100)) << "off";
    EXPECT_FALSE(takes_nvls(CollectiveKind::all_gather, Bytes{bytes}, 8, links));
    EXPECT_FALSE(takes_nvls(CollectiveKind::all_reduce, Bytes{bytes}, 4, links));
  }
  EXPECT_FALSE(takes_nvls(CollectiveKind::all_reduce, Bytes{65536}, 8, links));
  EXPECT_EQ(nccl_links(BytesPerSecond{300e9}, 80, Nvls::enabled).nvls_share, 0) << "an A100's switch does not add";
}

}  // namespace
}  // namespace trillion::nccl_test
