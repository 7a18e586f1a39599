// The smooth correction: it learns a smooth deviation, and never costs monotonicity, whatever it is shown.
#include "calibration/fit/gemm_correction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fit/bench_points.h"

namespace trillion::gemm_correction_test {
namespace {

double mean_error(const GemmCurve& curve, const Points& points) {
  double sum = 0;
  for (const auto& point : points) sum += std::abs(std::log(predict(curve, point) / point.seconds));
  return sum / static_cast<double>(points.size());
}

TEST(GemmCorrection, LearnsASmoothDeviation) {
  Points points = points_of(gemm_file(300, 0.0));
  for (auto& point : points) {
    const double k = static_cast<double>(std::get<Gemm>(point.query.shape).k);
    point.seconds *= std::exp(0.02 * std::log(k / 1024));
  }
  const double before = mean_error(true_gemm(), points), after = mean_error(with_correction(true_gemm(), points), points);
  EXPECT_LT(after, 0.35 * before);
}

TEST(GemmCorrection, PropertyStaysMonotoneWhateverItIsShown) {
  Points points = points_of(gemm_file(200, 0.6));  // noise far beyond any machine's
  const GemmCurve curve = with_correction(true_gemm(), points);
  ASSERT_FALSE(curve.correction.ln_factor.empty());
  const Random random(kSeed, 12);
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const auto draw = [&](std::uint64_t j) {
      return static_cast<std::int64_t>(std::llround(16 * std::pow(4000.0, random.uniform(4 * i + j))));
    };
    const Gemm small{DType::bf16, draw(0), draw(1), draw(2)};
    Gemm large = small;
    (i % 3 == 0 ? large.m : i % 3 == 1 ? large.n : large.k) += draw(3);
    ASSERT_LE(evaluate(curve, small, 132).value(), evaluate(curve, large, 132).value() * (1 + 1e-9))
        << "seed " << kSeed << " case " << i << ": " << small.m << " " << small.n << " " << small.k << " -> " << large.m << " " << large.n
        << " " << large.k;
  }
}

// Own rows say what shapes like theirs take, and nothing of shapes far away.
TEST(GemmCorrection, OwnRowsMoveWhatIsNearThem) {
  const Gemm near{DType::bf16, 4096, 256, 7168}, alike{DType::bf16, 4096, 320, 6144}, far{DType::bf16, 16384, 16384, 512};
  RawFile file = bench_file();
  add(file, near, 1.4 * evaluate(true_gemm(), near, 132).value());
  const GemmCurve moved = with_level_nearby(true_gemm(), points_of(file));
  const auto ratio = [&](const Gemm& gemm) { return evaluate(moved, gemm, 132) / evaluate(true_gemm(), gemm, 132); };
  EXPECT_NEAR(ratio(near), 1.4, 0.02);
  EXPECT_GT(ratio(alike), 1.25);
  EXPECT_NEAR(ratio(far), 1, 0.08);
}

}  // namespace
}  // namespace trillion::gemm_correction_test
