// The fit. What must hold: it finds the parameters that made the data, from many points and from few; its residuals are honest
// (noise put in comes out); the order of files and a second run change no byte; the shipped profiles are what the committed
// measurements give.
#include "calibration/fit/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/parallel_for.h"
#include "sim/base/random.h"
#include "sim/spec/load_calibration.h"
#include "tests/fit/bench_points.h"

namespace trillion::fit_test {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

TEST(Fit, PredictsUnseenGemmsOfACurveOfItsOwnFamily) {
  const FitReport report = fit({gemm_file(120, 0.0)});
  ASSERT_EQ(report.residuals.size(), 1u);
  EXPECT_EQ(report.residuals[0].curve, "gemm bf16 forward burst");
  EXPECT_EQ(report.residuals[0].points, 120);
  EXPECT_LT(report.residuals[0].median, 0.02);
  const GemmCurve& curve = report.calibration.gemms.at(0);
  const Gemm unseen{DType::bf16, 5000, 3000, 7000};
  EXPECT_NEAR(evaluate(curve, unseen, 132) / evaluate(true_gemm(), unseen, 132), 1, 0.04);
}

TEST(Fit, ResidualsShowTheNoiseThatIsThere) {
  const FitReport report = fit({gemm_file(150, 0.05)});
  // The median of |N(0, 0.05)| is 0.034, its 90th percentile 0.082.
  EXPECT_GT(report.residuals[0].median, 0.025);
  EXPECT_LT(report.residuals[0].median, 0.05);
  EXPECT_GT(report.residuals[0].p90, 0.06);
  EXPECT_LT(report.residuals[0].p90, 0.13);
}

TEST(Fit, ThreePointsGiveASaneCurveWithAWideInterval) {
  const FitReport report = fit({gemm_file(3, 0.0)});
  const GemmCurve& curve = report.calibration.gemms.at(0);
  for (const std::int64_t size : {512, 2048, 8192, 32768}) {
    const Gemm gemm{DType::bf16, size, size, size};
    EXPECT_NEAR(evaluate(curve, gemm, 132) / evaluate(true_gemm(), gemm, 132), 1, 0.35) << size;
  }
  EXPECT_GE(curve.info.residuals.p90, 0.10);
}

TEST(Fit, PropertyFittedTimesStayMonotone) {
  const FitReport report = fit({gemm_file(150, 0.08)});
  const GemmCurve& curve = report.calibration.gemms.at(0);
  const Random random(kSeed, 9);
  for (std::uint64_t i = 0; i < 20000; ++i) {
    // Rows of whole 128-byte lines (spec/curve.h).
    const auto draw = [&](std::uint64_t j) {
      return 64 * static_cast<std::int64_t>(std::llround(std::pow(1000.0, random.uniform(4 * i + j))));
    };
    const Gemm small{DType::bf16, draw(0), draw(1), draw(2)};
    Gemm large = small;
    (i % 3 == 0 ? large.m : i % 3 == 1 ? large.n : large.k) += draw(3);
    ASSERT_LE(evaluate(curve, small, 132).value(), evaluate(curve, large, 132).value() * (1 + 1e-9))
        << "seed " << kSeed << " case " << i << ": " << small.m << " " << small.n << " " << small.k << " -> " << large.m << " " << large.n
        << " " << large.k;
  }
}

TEST(Fit, FindsAMemoryKernelsLineAndItsCacheKnee) {
  RawFile file = bench_file();
  for (double bytes = 2048; bytes < 5e9; bytes *= 2) {
    // 50 MB of L2 at twice the rate.
    const double seconds = 2e-6 + std::min(bytes, 50e6) / 5.6e12 + std::max(0.0, bytes - 50e6) / 2.8e12;
    add(file, MemoryBound{MemoryKernel::copy, Bytes{bytes / 2}, Bytes{bytes / 2}}, seconds);
  }
  const FitReport report = fit({file});
  EXPECT_LT(report.residuals.at(0).median, 0.03);
  const MemoryCurve& curve = report.calibration.memory_kernels.at(0);
  EXPECT_NEAR(evaluate(curve, {MemoryKernel::copy, Bytes{1.5e9}, Bytes{1.5e9}}, 132).value(), 2e-6 + 50e6 / 5.6e12 + 2.95e9 / 2.8e12,
              3.5e-5);
}

TEST(Fit, FindsACollectivesLatencyAndRate) {
  RawFile file = bench_file();
  for (double bytes = 1024; bytes < 2e10; bytes *= 4) {
    const double wire = 2.0 * 7 / 8 * bytes / 340e9;
    add(file, Collective{CollectiveKind::all_reduce, Bytes{bytes}, 8, 8, {}}, 20e-6 + wire + 2 * std::sqrt(wire * 2e-6));
  }
  const FitReport report = fit({file});
  EXPECT_LT(report.residuals.at(0).p90, 0.05);
  EXPECT_NEAR(report.calibration.collectives.at(0).nvlink.value() / 340e9, 1, 0.04);
  EXPECT_THAT(report.residuals.at(0).note, HasSubstr("above 1.00 MiB"));
}

TEST(Fit, TheSameInputGivesTheSameBytesWhateverTheOrderOfFiles) {
  RawFile copy = bench_file();
  for (double bytes = 2048; bytes < 5e8; bytes *= 3)
    add(copy, MemoryBound{MemoryKernel::add, Bytes{bytes}, Bytes{bytes}}, 3e-6 + bytes / 1.4e12);
  const std::string once = calibration_text(fit({gemm_file(40, 0.03), copy}).calibration);
  EXPECT_EQ(once, calibration_text(fit({gemm_file(40, 0.03), copy}).calibration));
  EXPECT_EQ(once, calibration_text(fit({copy, gemm_file(40, 0.03)}).calibration));
}

TEST(Fit, EnoughOwnRowsStandAlone) {
  const RawFile own = gemm_file(20, 0.0);
  RawFile lent = gemm_file(30, 0.0);
  lent.borrowed = true;
  for (auto& row : lent.rows) row.time *= 2;  // another chip, twice as slow
  const double alone = evaluate(fit({own, lent}).calibration.gemms.at(0), {DType::bf16, 8192, 8192, 8192}, 132).value();
  EXPECT_NEAR(alone / evaluate(true_gemm(), Gemm{DType::bf16, 8192, 8192, 8192}, 132).value(), 1, 0.05);
}

// Law 1's mechanics: own rows set the level, however few they are and whatever is borrowed.
TEST(Fit, FewOwnProductsAreFoundAgainAmongManyBorrowedOnes) {
  RawFile own = gemm_file(2, 0.0);
  RawFile lent = gemm_file(40, 0.0);
  lent.borrowed = true;
  for (auto& row : lent.rows) row.time *= 2;
  const FitReport report = fit({own, lent});
  for (const Point& point : points_of(own)) EXPECT_NEAR(predict(report.calibration.gemms.at(0), point) / point.seconds, 1, 0.03);
  EXPECT_THAT(report.residuals.at(0).note, HasSubstr("own points"));
  EXPECT_THAT(report.calibration.gemms.at(0).info.provenance.source, HasSubstr("borrowed from H100"));
}

// Own rows of 8 ranks at 200 GB/s, borrowed ones of 4 at 400 GB/s.
RawFile gathers(std::int64_t ranks, double rate, bool borrowed) {
  RawFile file = bench_file();
  file.borrowed = borrowed;
  for (double bytes = 1 << 20; bytes < 5e9; bytes *= borrowed ? 2 : 16) {
    add(file, Collective{CollectiveKind::all_gather, Bytes{bytes}, ranks, ranks, {}},
        20e-6 + static_cast<double>(ranks - 1) / static_cast<double>(ranks) * bytes / rate);
  }
  return file;
}

TEST(Fit, PropertyBorrowedRowsNeverMoveTheLevelThatOwnRowsSet) {
  // Whatever the borrowed rows say, twice or half as long: the mean over the own rows stays.
  const RawFile own_collective = gathers(8, 200e9, false);
  RawFile own_copy = bench_file(), lent_copy = bench_file();
  for (const double bytes : {4e6, 64e6, 512e6})
    add(own_copy, MemoryBound{MemoryKernel::add, Bytes{bytes}, Bytes{bytes}}, 3e-6 + bytes / 1.4e12);
  for (double bytes = 2048; bytes < 2e9; bytes *= 2)
    add(lent_copy, MemoryBound{MemoryKernel::add, Bytes{bytes}, Bytes{bytes}}, 3e-6 + bytes / 1.4e12);
  lent_copy.borrowed = true;
  const auto mean_error = [](const auto& curve, const Points& points) {
    double sum = 0;
    for (const Point& point : points) sum += std::log(predict(curve, point) / point.seconds);
    return sum / static_cast<double>(points.size());
  };
  for (const double factor : {0.5, 1.0, 2.0}) {
    RawFile copies = lent_copy;
    for (auto& row : copies.rows) row.time *= factor;
    const Calibration c = fit({own_collective, own_copy, gathers(4, 400e9 / factor, true), copies}).calibration;
    EXPECT_NEAR(mean_error(c.collectives.at(0), points_of(own_collective)), 0, 0.02) << factor;
    EXPECT_NEAR(mean_error(c.memory_kernels.at(0), points_of(own_copy)), 0, 0.02) << factor;
  }
}

TEST(Fit, OfSeveralLibraryPathsTheFastestIsTaken) {
  RawFile file = gemm_file(20, 0.0);
  const std::size_t count = file.rows.size();
  for (std::size_t i = 0; i < count; ++i) {
    file.rows[i].path = "fast";
    RawRow slow = file.rows[i];
    slow.path = "slow";
    slow.time *= 3;
    file.rows.push_back(slow);
  }
  const FitReport report = fit({file});
  EXPECT_EQ(report.residuals.at(0).points, 20);
  EXPECT_THAT(report.notes, testing::Contains(HasSubstr("'fast' is used, the fastest")));
}

// Where anything was measured, published points stand aside; alone they speak, and say so.
TEST(Fit, PublishedPointsKeepTheirOriginAndAWideInterval) {
  RawFile file = gemm_file(2, 0.0);
  for (RawRow& row : file.rows) row.provenance = {Origin::paper, "a paper"};
  const FitReport report = fit({file});
  EXPECT_EQ(report.residuals.at(0).origin, Origin::paper);
  EXPECT_GE(report.calibration.gemms.at(0).info.residuals.p90, 0.15);
}

TEST(Fit, MeasuredFiguresReplaceAssumedOnesAndFactsReplaceBoth) {
  RawFile file = gemm_file(3, 0.0);
  file.others.push_back(parse_json_line(R"({"op":"launch","kind":"gap","time_s":1.25e-6})", {"host.jsonl", 2, 1}));
  file.others.push_back(parse_json_line(R"({"op":"launch","kind":"issue","time_s":4e-6})", {"host.jsonl", 3, 1}));
  FitReport report = fit({file});
  EXPECT_DOUBLE_EQ(report.calibration.stack.kernel_gap.value.value(), 1.25e-6);
  EXPECT_EQ(report.calibration.stack.kernel_gap.provenance.origin, Origin::measured);
  EXPECT_EQ(report.calibration.stack.context.provenance.origin, Origin::assumed);
  // Rows timed in a graph hold its gap already.
  RawFile in_graph = file;
  in_graph.others.push_back(parse_json_line(R"({"op":"launch","kind":"graph_gap","time_s":1e-6})", {"host.jsonl", 4, 1}));
  EXPECT_NEAR(fit({in_graph}).calibration.stack.kernel_gap.value.value(), 0.25e-6, 1e-12);
  RawFile facts;
  facts.name = "facts.yaml";
  facts.facts = Facts{};
  facts.facts->stack.kernel_gap = {Seconds{3e-6}, {Origin::paper, "a paper"}};
  report = fit({file, facts});
  EXPECT_DOUBLE_EQ(report.calibration.stack.kernel_gap.value.value(), 3e-6);
  EXPECT_DOUBLE_EQ(report.calibration.stack.host_launch.value.value(), 4e-6);
}

TEST(Fit, RefusesWhatItCannotTell) {
  const auto message = [](const std::vector<RawFile>& files) {
    try {
      fit(files);
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  RawFile other = gemm_file(2, 0.0);
  other.gpu = "A100";
  EXPECT_THAT(message({gemm_file(2, 0.0), other}), HasSubstr("several GPUs"));
  RawFile unknown = gemm_file(2, 0.0);
  unknown.gpu = "Imaginary 9000";
  EXPECT_THAT(message({unknown}), HasSubstr("Imaginary 9000"));
  EXPECT_THAT(message({bench_file()}), HasSubstr("no row"));
  RawFile nameless = gemm_file(2, 0.0);
  nameless.gpu.clear();
  EXPECT_THAT(message({nameless}), HasSubstr("facts.yaml"));
}

TEST(ShippedProfiles, AreWhatTheCommittedMeasurementsGiveSlow) {
  const fs::path calibration = fs::path(TRILLION_SOURCE_DIR) / "calibration";
  std::vector<fs::path> profiles;
  for (const auto& entry : fs::directory_iterator(calibration / "profiles")) {
    if (entry.path().extension() != ".yaml") continue;
    if (YamlDocument::from_file(entry.path().string()).root().find("base") != nullptr) continue;  // changes to another profile
    ASSERT_TRUE(fs::is_directory(calibration / "raw" / entry.path().stem())) << entry.path() << " has no measurements";
    profiles.push_back(entry.path());
  }
  ASSERT_FALSE(profiles.empty());
  std::vector<std::string> fresh(profiles.size());
  parallel_for(profiles.size(), 0, [&](std::size_t i) {
    fresh[i] = calibration_text(fit(read_raw({(calibration / "raw" / profiles[i].stem()).string()})).calibration);
  });
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    std::ifstream in(profiles[i]);
    const std::string shipped(std::istreambuf_iterator<char>(in), {});
    EXPECT_EQ(fresh[i], shipped) << profiles[i] << " differs from a fresh fit of its measurements";
  }
}

}  // namespace
}  // namespace trillion::fit_test
