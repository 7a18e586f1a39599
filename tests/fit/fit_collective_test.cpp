// Collectives and expert exchanges from points.
#include "calibration/fit/curve_fits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "calibration/fit/chips.h"
#include "calibration/fit/curve_points.h"
#include "calibration/fit/least_squares.h"
#include "sim/spec/load_calibration.h"
#include "tests/fit/bench_points.h"

namespace trillion::fit_collective_test {
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

// Latency and rate, and a protocol that the library changes at 2 MiB.
RawFile one_node_file() {
  RawFile file = bench_file();
  const Random errors(kSeed, 3);
  for (const std::int64_t ranks : {2, 4}) {
    for (double bytes = 1024; bytes < 5e9; bytes *= 2) {
      const double n = static_cast<double>(ranks), wire = 2 * (n - 1) / n * bytes;
      const double time = bytes < 2e6 ? 8e-6 + wire / 90e9 : 18e-6 + wire / 350e9;
      add(file, Collective{CollectiveKind::all_reduce, Bytes{bytes}, ranks, ranks, {}},
          time * std::exp(0.01 * errors.normal(static_cast<std::uint64_t>(file.rows.size()))));
      file.rows.back().channels = bytes < 1e6 ? 4 : 24;
    }
  }
  return file;
}

TEST(FitCollective, KnotsFollowTheLibrarysProtocols) {
  CollectiveCurve key;
  const CollectiveCurve curve = fit_collective(key, points_of(one_node_file()), *vendor_chip("H200"), std::nullopt);
  ASSERT_EQ(curve.knots.size(), 2u);
  EXPECT_LT(curve.info.residuals.median, 0.05);
  EXPECT_EQ(curve.sms, 24);
}

TEST(FitCollective, TimeNeverFallsWithSizeForAnyGroup) {
  CollectiveCurve key;
  const CollectiveCurve curve = fit_collective(key, points_of(one_node_file()), *vendor_chip("H200"), std::nullopt);
  for (const std::int64_t ranks : {2, 4}) {
    double before = 0;
    for (double bytes = 256; bytes < 1e11; bytes *= 1.07) {
      const double time = evaluate(curve, {key.kind, Bytes{bytes}, ranks, ranks, {}}, {curve.nvlink, curve.nic}).value();
      EXPECT_GE(time, before * (1 - 1e-12)) << bytes << " bytes over " << ranks;
      before = time;
    }
  }
}

// Eight ranks that nobody here measured, from a file that says that the switch was on.
TEST(FitCollective, PublishedRowsOfOtherGroupsJoinAndThoseOfTheSwitchStandApart) {
  const RawFile own = one_node_file();
  RawFile published = bench_file();
  published.provenance = {Origin::vendor, "a vendor"};
  published.nvls = Nvls::enabled;
  published.gpu = "H200";
  for (const std::int64_t ranks : {4, 8}) {
    for (double bytes = 65536; bytes < 1e9; bytes *= 2) {
      add(published, Collective{CollectiveKind::all_reduce, Bytes{bytes}, ranks, ranks, {}}, 3 * (30e-6 + bytes / 250e9));
      published.rows.back().provenance = published.provenance;
    }
  }
  SortedPoints sorted = sort_points({own, published}, *vendor_chip("H200"));
  ASSERT_EQ(sorted.collectives.size(), 1u);
  std::vector<std::string> notes;
  const Points points = chosen_points("all_reduce", sorted.collectives.begin()->second.second, notes);
  EXPECT_EQ(std::count_if(
                points.begin(), points.end(),
                [](const Point& p) { return std::get<Collective>(p.query.shape).ranks == 4 && p.provenance.origin != Origin::measured; }),
            0);
  const CollectiveCurve curve = fit_collective({}, points, *vendor_chip("H200"), std::nullopt);
  ASSERT_EQ(curve.switch_knots.size(), 1u);
  EXPECT_EQ(curve.switch_knots[0].ranks, 8);
  EXPECT_GE(curve.switch_knots[0].bytes.front(), 1048576);
  for (const CollectiveKnots& knots : curve.knots) EXPECT_NE(knots.ranks, 8);
}

// Logs of nccl-tests with six sizes from 1 MiB on, each four times the last: a profile made from them says what they say.
TEST(FitCollective, ALogsRowsAreWithinFivePercentOfItsOwnCurve) {
  const std::filesystem::path root = TRILLION_SOURCE_DIR;
  const RawFile rows = read_raw_file((root / "calibration/raw/h200/crosscheck/nccl-tests-2gpu.jsonl").string());
  for (const CollectiveKind kind : {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::all_to_all}) {
    RawFile of_kind = rows;
    std::erase_if(of_kind.rows, [&](const RawRow& row) { return std::get<Collective>(row.query.shape).kind != kind; });
    CollectiveCurve key;
    key.kind = kind;
    const CollectiveCurve curve = fit_collective(key, points_of(of_kind), *vendor_chip("H200"), std::nullopt);
    for (const RawRow& row : of_kind.rows) {
      const auto& c = std::get<Collective>(row.query.shape);
      if (c.bytes < 1 * kMiB) continue;
      EXPECT_NEAR(evaluate(curve, c, {curve.nvlink, curve.nic}) / row.time, 1, 0.05) << c.bytes.value();
    }
  }
}

// Another tool on another machine: what nccl-tests says of two H200s, which the profile has not seen.
TEST(FitCollectiveValidation, NcclTestsOfAnotherHostAgreeAboveOneMebibyte) {
  const std::filesystem::path root = TRILLION_SOURCE_DIR;
  const Calibration profile = load_calibration((root / "calibration/profiles/h200.yaml").string());
  const RawFile rows = read_raw_file((root / "calibration/raw/h200/crosscheck/nccl-tests-2gpu.jsonl").string());
  std::vector<double> large, all;
  for (const auto& row : rows.rows) {
    const auto& c = std::get<Collective>(row.query.shape);
    for (const CollectiveCurve& curve : profile.collectives) {
      if (curve.kind != c.kind || c.bytes < 1 * kMiB) continue;
      const double error = std::abs(evaluate(curve, c, {curve.nvlink, curve.nic}) / row.time - 1);
      all.push_back(error);
      if (c.bytes >= 64 * kMiB) large.push_back(error);
    }
  }
  ASSERT_GE(all.size(), 18u);
  EXPECT_LT(quantile(all, 0.5), 0.05);
  EXPECT_LT(*std::max_element(large.begin(), large.end()), 0.05);
}

// The same program on one of our hosts and on that machine: what differs between the profile and its log is no property of the host.
TEST(FitCollectiveValidation, NcclTestsAgreeBetweenHostsFromFourMebibytesOn) {
  const std::filesystem::path folder = std::filesystem::path(TRILLION_SOURCE_DIR) / "calibration/raw/h200/crosscheck";
  const RawFile theirs = read_raw_file((folder / "nccl-tests-2gpu.jsonl").string());
  std::size_t compared = 0;
  for (const char* kind : {"all_reduce", "all_gather", "alltoall"}) {
    const RawFile ours = read_raw_file((folder / ("own-host-" + std::string(kind) + ".txt")).string());
    for (const auto& row : ours.rows) {
      const auto& c = std::get<Collective>(row.query.shape);
      if (c.bytes < 4 * kMiB) continue;
      for (const auto& other : theirs.rows) {
        const auto& d = std::get<Collective>(other.query.shape);
        if (d.kind != c.kind || d.bytes.value() != c.bytes.value()) continue;
        EXPECT_NEAR(row.time / other.time, 1, 0.05) << kind << " " << c.bytes.value();
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, 15u);
}

// Our probe against nccl-tests on that host.
TEST(FitCollectiveValidation, TheProbeAgreesWithNcclTestsOnTheSameHost) {
  const std::filesystem::path folder = std::filesystem::path(TRILLION_SOURCE_DIR) / "calibration/raw/h200";
  const RawFile probe = read_raw_file((folder / "collective-fourth-host.jsonl").string());
  std::size_t compared = 0;
  for (const char* kind : {"all_reduce", "all_gather", "alltoall", "reduce_scatter"}) {
    const RawFile nccl = read_raw_file((folder / "crosscheck" / ("own-host-" + std::string(kind) + ".txt")).string());
    for (const auto& row : nccl.rows) {
      const auto& c = std::get<Collective>(row.query.shape);
      if (c.bytes < 4 * kMiB) continue;
      for (const auto& other : probe.rows) {
        const auto& d = std::get<Collective>(other.query.shape);
        if (d.kind != c.kind || d.ranks != 2 || d.bytes.value() != c.bytes.value()) continue;
        // One thread that launches on both GPUs and a host's clock cost nccl-tests up to 2.5 us.
        EXPECT_NEAR(other.time / row.time, 1, c.bytes >= 16 * kMiB ? 0.06 : 0.13) << kind << " " << c.bytes.value();
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, 16u);
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
}  // namespace trillion::fit_collective_test
