// The plain CSV of GEMM timings.
#include "calibration/fit/gemm_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"

namespace trillion::gemm_csv_test {
namespace {

using testing::HasSubstr;

std::string message_of(const std::string& text, const std::string& name) {
  try {
    parse_raw(text, name);
  } catch (const InputError& error) {
    std::string all;
    for (const auto& diagnostic : error.diagnostics()) all += to_text(diagnostic) + "\n";
    return all;
  }
  return "accepted";
}

TEST(GemmCsv, ReadsColumnsByNameAndLayoutsByLetters) {
  const RawFile file = parse_raw(
      "# gpu: NVIDIA H100\n# load: sustained\nlayout,m,n,k,dtype_a,dtype_out,time_us,sm_clock_mhz\n"
      "TN,4096,7168,2048,bf16,bf16,171.2,1755\nNT,7168,2048,4096,fp8_e4m3,fp32,99,1700\n",
      "gemm.csv");
  ASSERT_EQ(file.rows.size(), 2u);
  EXPECT_EQ(file.gpu, "NVIDIA H100");
  EXPECT_EQ(file.rows[0].query.load, Load::sustained);
  EXPECT_EQ(std::get<Gemm>(file.rows[0].query.shape), (Gemm{DType::bf16, 4096, 7168, 2048, GemmLayout::forward, false}));
  EXPECT_EQ(std::get<Gemm>(file.rows[1].query.shape), (Gemm{DType::fp8, 7168, 2048, 4096, GemmLayout::weight_gradient, true}));
  EXPECT_DOUBLE_EQ(file.rows[0].time.value(), 171.2e-6);
}

TEST(GemmCsv, MistakesAreLocated) {
  const std::string header = "m,n,k,dtype_a,dtype_out,layout,time_us\n";
  EXPECT_THAT(message_of("m,n,k,dtype_a,dtype_out,layuot,time_us\n", "g.csv"), testing::AllOf(HasSubstr("layuot"), HasSubstr("layout")));
  EXPECT_THAT(message_of(header + "1,2,3,bf16,bf16,TN\n", "g.csv"), HasSubstr("g.csv:2"));
  EXPECT_THAT(message_of(header + "1,2,3,int4,bf16,TN,5\n1,0,3,bf16,bf16,TN,5\n", "g.csv"),
              testing::AllOf(HasSubstr("g.csv:2:7"), HasSubstr("int4"), HasSubstr("g.csv:3:3")));
}

}  // namespace
}  // namespace trillion::gemm_csv_test
