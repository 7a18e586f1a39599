// Axes of a search as they are written: a value, a list, or bounds; mistakes have their place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "sim/spec/load.h"

namespace trillion::read_search_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Search read(const std::string& search) {
  return load_scenario(std::string(TRILLION_SOURCE_DIR) + "/scenarios/deepseek-v3", {"search=" + search}).search;
}

std::string refusal(const std::string& search) {
  try {
    read(search);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ReadSearch, TakesValuesListsAndBounds) {
  const Search s = read(
      "{objective: days, tensor_parallel: 2, pipeline_parallel: [4, 8], micro_batch_size: {from: 1, to: 3}, "
      "schedule: zb-v, recompute: [none, full], sequence_parallel: [true, false]}");
  EXPECT_EQ(s.objective, Objective::days);
  EXPECT_THAT(*s.tensor_parallel, ElementsAre(2));
  EXPECT_THAT(*s.pipeline_parallel, ElementsAre(4, 8));
  EXPECT_THAT(*s.micro_batch_size, ElementsAre(1, 2, 3));
  EXPECT_THAT(*s.schedule, ElementsAre(ScheduleKind::zb_v));
  EXPECT_EQ(s.recompute->size(), 2u);
  EXPECT_THAT(*s.sequence_parallel, ElementsAre(true, false));
  EXPECT_FALSE(s.expert_parallel);
}

TEST(ReadSearch, TakesEveryAxisOfAPlan) {
  const Search s = read(
      "{budget: 5000000 USD, deadline: 60 days, gpus: 2048, data_parallel: [64, 128], tensor_parallel_overlap: [none, pipelined], "
      "context_parallel_method: ring, recompute: [none, norm+activation], offload: [none, optimizer+activations], stage_split: layers, "
      "overlap_gradient_reduce: true, overlap_parameter_gather: [true, false], bucket_parameters: 40M, sharding_group: 64, "
      "rank_order: [tp-cp-ep-dp-pp, tp-cp-ep-pp-dp], precision: [bf16, fp8]}");
  EXPECT_EQ(s.budget->value(), 5e6);
  EXPECT_EQ(s.deadline->value(), 60 * 86400.0);
  EXPECT_THAT(*s.gpus, ElementsAre(2048));
  EXPECT_THAT(*s.data_parallel, ElementsAre(64, 128));
  EXPECT_THAT(*s.tensor_parallel_overlap, ElementsAre(TensorOverlap::none, TensorOverlap::pipelined));
  EXPECT_THAT(*s.recompute, ElementsAre(std::vector<RecomputeModule>{}, std::vector{RecomputeModule::norm, RecomputeModule::activation}));
  EXPECT_THAT(*s.offload, ElementsAre(std::vector<Offload>{}, std::vector{Offload::optimizer, Offload::activations}));
  EXPECT_THAT(*s.bucket_parameters, ElementsAre(40e6));
  EXPECT_EQ(s.rank_order->size(), 2u);
  EXPECT_THAT(*s.precision, ElementsAre(Precision::bf16, Precision::fp8));
}

TEST(ReadSearch, ClustersBringTheirCalibration) {
  const std::string root = std::string(TRILLION_SOURCE_DIR) + "/";
  const Search s = read("{clusters: [{name: H100, cluster: " + root + "topologies/h100-1024.yaml, calibration: " + root +
                        "calibration/profiles/h100.yaml}]}");
  ASSERT_EQ(s.clusters.size(), 1u);
  EXPECT_EQ(s.clusters[0].name, "H100");
  EXPECT_EQ(s.clusters[0].cluster.nodes, 128);
  EXPECT_FALSE(s.clusters[0].calibration.gemms.empty());
  EXPECT_THAT(refusal("{clusters: [{name: H100, cluster: nowhere.yaml, calibration: nowhere.yaml}]}"), HasSubstr("there is no file"));
}

TEST(ReadSearch, SaysWhatIsWrong) {
  EXPECT_THAT(refusal("{recompute: [norm+activatoin]}"), HasSubstr("did you mean 'activation'"));
  EXPECT_THAT(refusal("{nodes: 4, gpus: 32}"), HasSubstr("one of the two"));
  EXPECT_THAT(refusal("{budget: -1 USD}"), HasSubstr("budget"));
  EXPECT_THAT(refusal("{rank_order: tp-dp}"), HasSubstr("is not an order of the axes"));

  EXPECT_THAT(refusal("{tensor_paralel: 2}"), HasSubstr("tensor_parallel"));
  EXPECT_THAT(refusal("{schedule: [zb-q]}"), HasSubstr("zb-v"));
  EXPECT_THAT(refusal("{tensor_parallel: [0]}"), HasSubstr("must be at least 1"));
  EXPECT_THAT(refusal("{tensor_parallel: {from: 8, to: 2}}"), HasSubstr("must be from 8"));
  EXPECT_THAT(refusal("{objective: hours}"), HasSubstr("gpu_hours"));
}

}  // namespace
}  // namespace trillion::read_search_test
