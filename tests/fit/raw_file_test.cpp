// Raw rows: what becomes a point, what is set aside and named, where mistakes are.
#include "calibration/fit/raw_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"

namespace trillion::raw_file_test {
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

TEST(RawRows, ReadHeaderShapesAndWhatIsSetAside) {
  const RawFile file = parse_raw(
      "{\"schema\":\"trillion.raw/1\",\"gpu\":\"H100\",\"software\":\"cuBLAS\",\"origin\":\"measured\",\"source\":\"a "
      "bench\",\"sms\":132}\n"
      "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":128,\"n\":256,\"k\":512,\"load\":\"sustained\",\"time_s\":1e-5,\"clock_mhz\":1700}\n"
      "{\"op\":\"gemm\",\"dtype\":\"fp8\",\"m\":128,\"n\":256,\"k\":512,\"unsupported\":\"no algorithm\"}\n"
      "{\"op\":\"memory_bound\",\"kernel\":\"memcpy\",\"read_bytes\":1,\"written_bytes\":1,\"time_s\":1e-5}\n"
      "{\"op\":\"launch\",\"kind\":\"gap\",\"time_s\":1e-6}\n"
      "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":128,\"n\":256,\"k\":1024,\"time_s\":2e-5,\"origin\":\"paper\",\"source\":\"a paper\"}\n"
      "{\"op\":\"gemm\",\"dty",
      "raw.jsonl");
  ASSERT_EQ(file.rows.size(), 2u);
  EXPECT_EQ(file.rows[0].query.load, Load::sustained);
  EXPECT_EQ(file.rows[0].provenance.source, "a bench");
  EXPECT_EQ(file.rows[1].provenance.origin, Origin::paper);
  EXPECT_EQ(file.others.size(), 1u);
  EXPECT_THAT(file.notes, testing::UnorderedElementsAre(HasSubstr("declined"), HasSubstr("memcpy"), HasSubstr("torn")));
}

TEST(RawRows, MistakesAreLocated) {
  const std::string header = "{\"schema\":\"trillion.raw/1\",\"gpu\":\"H100\",\"source\":\"x\"}\n";
  EXPECT_THAT(message_of("{\"schema\":\"trillion.raw/2\"}\n", "a.jsonl"), HasSubstr("a.jsonl:1"));
  EXPECT_THAT(message_of(header + "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":128,\"n\":256,\"k\":512}\n", "a.jsonl"), HasSubstr("time_s"));
  EXPECT_THAT(message_of(header + "{\"op\":\"gemm\",\"dtype\":\"bf61\",\"m\":128,\"n\":256,\"k\":512,\"time_s\":1}\n", "a.jsonl"),
              testing::AllOf(HasSubstr("a.jsonl:2"), HasSubstr("bf16")));
  EXPECT_THAT(message_of(header + "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":128,\"n\":256,\"k\":512,\"time_s\":-1}\n", "a.jsonl"),
              HasSubstr("positive"));
  EXPECT_THAT(message_of("", "empty.jsonl"), HasSubstr("empty"));
  EXPECT_THAT(message_of("hello\n", "a.txt"), HasSubstr("neither"));
}

}  // namespace
}  // namespace trillion::raw_file_test
