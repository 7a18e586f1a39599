// Collectives and expert exchanges from points.
#include "calibration/fit/curve_fits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/fit/chips.h"
#include "tests/fit/bench_points.h"

namespace trillion {
namespace {

TEST(FitCollective, WithoutPointsTheStatedRatesHold) {
  const AchievedLinks links{BytesPerSecond{158e9}, BytesPerSecond{46e9}, {Origin::paper, "a report"}};
  CollectiveCurve key;
  key.kind = CollectiveKind::all_gather;
  const CollectiveCurve curve = fit_collective(key, {}, *vendor_chip("H800"), links);
  EXPECT_NEAR(curve.nvlink.value(), 158e9, 1e6);
  EXPECT_NEAR(curve.nic.value(), 46e9, 1e6);
}

TEST(FitCollective, TellsNicFromNvlink) {
  RawFile file = bench_file();
  CollectiveCurve truth;
  truth.kind = CollectiveKind::all_to_all;
  truth.base = Seconds{10e-6};
  truth.nvlink_step = Seconds{0.4e-6};
  truth.nic_step = Seconds{0.6e-6};
  truth.pipeline = Seconds{2e-6};
  truth.nvlink = BytesPerSecond{330e9};
  truth.nic = BytesPerSecond{43e9};
  for (double bytes = 4096; bytes < 5e9; bytes *= 4) {
    for (const std::int64_t ranks : {8, 16, 64}) {
      const Collective c{truth.kind, Bytes{bytes}, ranks, 8, {}};
      add(file, c, evaluate(truth, c, {truth.nvlink, truth.nic}).value());
    }
  }
  CollectiveCurve key;
  key.kind = truth.kind;
  const CollectiveCurve curve = fit_collective(key, points_of(file), *vendor_chip("H100"), std::nullopt);
  EXPECT_NEAR(curve.nvlink / truth.nvlink, 1, 0.03);
  EXPECT_NEAR(curve.nic / truth.nic, 1, 0.03);
  EXPECT_LT(curve.info.residuals.median, 0.03);
}

TEST(FitExpert, TakesTheRateAndTheSmsThatWereHeld) {
  RawFile file = bench_file("H800");
  const Collective c{CollectiveKind::expert_dispatch, Bytes{100e6}, 64, 8, Bytes{200e6}};
  file.rows.push_back({{c, 20, Load::sustained}, Seconds{4e-3}, file.provenance, {}});
  ExpertCurve key;
  const ExpertCurve curve = fit_expert(key, points_of(file), *vendor_chip("H800"), std::nullopt);
  EXPECT_NEAR(evaluate(curve, c, {curve.nvlink, curve.nic}).value(), 4e-3, 1e-4);
  EXPECT_EQ(curve.sms, 20);
}

}  // namespace
}  // namespace trillion
