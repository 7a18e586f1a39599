// facts.yaml: figures with provenance; what is unknown or has no source is rejected.
#include "calibration/fit/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"

namespace trillion::facts_test {
namespace {

TEST(Facts, ReadFiguresWithProvenanceAndRejectWhatIsUnknown) {
  const Facts facts =
      read_facts(YamlDocument::from_text("gpu: H800\nborrow: [{folder: ../h100, ops: [gemm]}, {folder: ../h800-2024, ops: [gemm], "
                                         "same_chip: true}]\nlinks: {nvlink: 158 GB/s, nic: 46 GB/s, origin: paper, source: a report}\n"
                                         "stack: {kernel_gap: {value: 2 us, origin: measured, source: a trace}}\n",
                                         "facts.yaml"));
  EXPECT_EQ(facts.gpu, "H800");
  ASSERT_EQ(facts.borrow.size(), 2u);
  EXPECT_FALSE(facts.borrow[0].same_chip);
  EXPECT_TRUE(facts.borrow[1].same_chip);
  EXPECT_EQ(facts.borrow[0].folder, "../h100");
  EXPECT_DOUBLE_EQ(facts.stack.kernel_gap.value.value(), 2e-6);
  EXPECT_TRUE(facts.stack.context.provenance.source.empty());
  EXPECT_TRUE(facts.stack.nvls.provenance.source.empty());
  EXPECT_THROW(
      read_facts(YamlDocument::from_text("gpu: H800\nstack: {kernel_gpa: {value: 2 us, origin: measured, source: t}}\n", "f.yaml")),
      InputError);
  EXPECT_THROW(read_facts(YamlDocument::from_text("stack: {kernel_gap: {value: 2 us}}\n", "f.yaml")), InputError);
}

}  // namespace
}  // namespace trillion::facts_test
