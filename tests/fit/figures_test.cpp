// Figures: what is assumed says so; what probes measured replaces it; what facts.yaml says replaces both.
#include "calibration/fit/figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/fit/chips.h"
#include "tests/fit/bench_points.h"

namespace trillion::figures_test {
namespace {

TEST(Figures, EveryAssumedOneSaysWhy) {
  const Stack stack = assumed_stack();
  for_each_figure(stack, [](const char* name, const auto& figure) {
    EXPECT_EQ(figure.provenance.origin, Origin::assumed) << name;
    EXPECT_GT(figure.provenance.source.size(), 10u) << name;
  });
}

TEST(Figures, SustainedFactorsComeFromPairsOfOneShape) {
  RawFile file = bench_file();
  const Gemm gemm{DType::bf16, 8192, 8192, 8192};
  add(file, gemm, 1.4e-3);
  add(file, gemm, 1.61e-3);
  file.rows[1].query.load = Load::sustained;
  add(file, Gemm{DType::bf16, 4096, 8192, 8192}, 0.7e-3);  // without a partner
  Stack stack = assumed_stack();
  std::vector<std::string> notes;
  apply_measured_figures({file}, *vendor_chip("H100"), stack, notes);
  EXPECT_NEAR(stack.sustained_gemm.value, 1.15, 1e-12);
  EXPECT_EQ(stack.sustained_gemm.provenance.origin, Origin::measured);
  EXPECT_EQ(stack.sustained_attention.provenance.origin, Origin::assumed);
}

// A call among others costs more than in a loop of its own: both figures grow until a layer's calls take what a layer was measured to take.
TEST(Figures, HostCallsCostWhatTheyDoInALayer) {
  RawFile file = bench_file();
  const auto row = [&](const char* text) { file.others.push_back(parse_json_line(text, {"t.jsonl", 2, 1})); };
  row(R"({"op":"launch","kind":"torch_linear_autograd","time_s":20e-6})");
  row(R"({"op":"launch","kind":"torch_add_autograd","time_s":10e-6})");
  Stack stack = assumed_stack();
  std::vector<std::string> notes;
  apply_measured_figures({file}, *vendor_chip("H100"), stack, notes);
  EXPECT_NEAR(stack.host_product.value.value(), 20e-6, 1e-12);
  row(R"({"op":"launch","kind":"torch_layer","time_s":2.48e-3})");
  apply_measured_figures({file}, *vendor_chip("H100"), stack, notes);
  EXPECT_NEAR(23 * stack.host_product.value.value() + 78 * stack.host_elementwise.value.value(), 2.48e-3, 1e-9);
  EXPECT_NEAR(stack.host_product.value / stack.host_elementwise.value, 2, 1e-9);
}

TEST(Figures, InterferenceIsBeyondTheSmsThatAreHeld) {
  RawFile file = bench_file();
  file.others.push_back(parse_json_line(
      R"({"op":"interference","victim":{"op":"gemm"},"beside_sms":33,"beside_traffic":"memory","time_s":1.5e-3,"alone_s":1e-3})",
      {"i.jsonl", 2, 1}));
  Stack stack = assumed_stack();
  std::vector<std::string> notes;
  apply_measured_figures({file}, *vendor_chip("H100"), stack, notes);
  EXPECT_NEAR(stack.beside_communication_gemm.value, 1.5 * 99 / 132, 1e-12);
}

TEST(Figures, RealCollectivesOutrankTheStandIn) {
  RawFile file = bench_file();
  const auto row = [&](const char* text) { file.others.push_back(parse_json_line(text, {"i.jsonl", 2, 1})); };
  row(R"({"op":"interference","victim":{"op":"gemm"},"beside_sms":33,"beside_traffic":"memory","time_s":1.5e-3,"alone_s":1e-3})");
  row(R"({"op":"interference","victim":{"op":"gemm"},"beside":{"op":"collective","kind":"all_reduce","bytes":1073741824},)"
      R"("time_s":1.65e-4,"alone_s":1e-4,"beside_time_s":4.2e-3,"beside_alone_s":3e-3,"channels":33})");
  // Short calls wait, limited ones are not what the library does: neither counts.
  row(R"({"op":"interference","victim":{"op":"gemm"},"beside":{"op":"collective","kind":"all_reduce","bytes":67108864},)"
      R"("time_s":9e-4,"alone_s":1e-4,"beside_time_s":9e-3,"beside_alone_s":3e-4,"channels":33})");
  row(R"({"op":"interference","victim":{"op":"gemm"},"beside":{"op":"collective","kind":"all_reduce","bytes":1073741824,"sms":8},)"
      R"("time_s":9e-4,"alone_s":1e-4,"beside_time_s":9e-3,"beside_alone_s":3e-3,"channels":8})");
  Stack stack = assumed_stack();
  std::vector<std::string> notes;
  apply_measured_figures({file}, *vendor_chip("H100"), stack, notes);
  EXPECT_NEAR(stack.beside_communication_gemm.value, 1.65 * 99 / 132, 1e-12);
  EXPECT_NEAR(stack.beside_compute_communication.value, 1.4, 1e-12);
}

TEST(Figures, CollectivesHoldTheChannelsThatWereLaunched) {
  RawFile file = bench_file();
  add(file, Collective{CollectiveKind::all_reduce, 64 * kMiB, 2, 2, {}}, 2e-4);
  file.rows.back().channels = 24;
  Stack stack = assumed_stack();
  std::vector<std::string> notes;
  apply_measured_figures({file}, *vendor_chip("H100"), stack, notes);
  EXPECT_EQ(stack.collective_sms.value, 24);
  EXPECT_EQ(stack.collective_sms.provenance.origin, Origin::measured);
}

}  // namespace
}  // namespace trillion::figures_test
