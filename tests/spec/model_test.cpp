// validate(): one broken figure, one message that names its key; a good model, none.
#include "sim/spec/model.h"

#include <functional>

#include "tests/spec/mistakes.h"

namespace trillion::model_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

Model dense() {
  Model m;
  m.name = "dense";
  m.hidden_size = 1024;
  m.num_hidden_layers = 4;
  m.num_attention_heads = 8;
  m.num_key_value_heads = 2;
  m.head_dim = 128;
  m.intermediate_size = 4096;
  m.vocab_size = 1000;
  m.moe_layers.assign(4, false);
  return m;
}

Model mixture() {
  Model m = dense();
  MixtureOfExperts moe;
  moe.n_routed_experts = 64;
  moe.num_experts_per_tok = 8;
  moe.moe_intermediate_size = 512;
  moe.n_group = 8;
  moe.topk_group = 4;
  m.moe = moe;
  m.moe_layers.assign(4, true);
  m.mla = LatentAttention{1536, 512, 128, 64, 128};
  return m;
}

std::vector<std::string> broken(Model m, const std::function<void(Model&)>& change) {
  change(m);
  return m.validate();
}

TEST(Model, GoodOnesPass) {
  EXPECT_THAT(dense().validate(), IsEmpty());
  EXPECT_THAT(mixture().validate(), IsEmpty());
}

TEST(Model, WidthsFollowTheKindOfAttention) {
  EXPECT_EQ(dense().q_width(), 8 * 128);
  EXPECT_EQ(dense().o_width(), 8 * 128);
  EXPECT_EQ(mixture().q_width(), 8 * (128 + 64));
  EXPECT_EQ(mixture().o_width(), 8 * 128);
}

TEST(Model, EveryFigureHasARange) {
  EXPECT_THAT(broken(dense(), [](Model& m) { m.hidden_size = 0; }), ElementsAre("hidden_size: must be at least 1, found 0"));
  EXPECT_THAT(broken(dense(), [](Model& m) { m.vocab_size = -1; }), ElementsAre(StartsWith("vocab_size: ")));
  EXPECT_THAT(broken(dense(), [](Model& m) { m.head_dim = 0; }), ElementsAre(StartsWith("head_dim: ")));
  EXPECT_THAT(broken(dense(), [](Model& m) { m.intermediate_size = 0; }), ElementsAre(StartsWith("intermediate_size: ")));
  EXPECT_THAT(broken(dense(), [](Model& m) { m.num_hidden_layers = std::int64_t{1} << 60; }),
              ElementsAre(StartsWith("num_hidden_layers: must be at most")));
  EXPECT_THAT(broken(dense(), [](Model& m) { m.position_encoding = PositionEncoding::learned; }),
              ElementsAre(StartsWith("max_position_embeddings: ")));
  EXPECT_THAT(broken(mixture(), [](Model& m) { m.mla->kv_lora_rank = 0; }), ElementsAre(StartsWith("kv_lora_rank: ")));
  EXPECT_THAT(broken(mixture(), [](Model& m) { m.mla->q_lora_rank = 0; }), ElementsAre(StartsWith("q_lora_rank: ")));
  EXPECT_THAT(broken(mixture(), [](Model& m) { m.moe->moe_intermediate_size = 0; }), ElementsAre(StartsWith("moe_intermediate_size: ")));
}

TEST(Model, ContradictionsNameBothKeys) {
  EXPECT_THAT(broken(dense(), [](Model& m) { m.num_key_value_heads = 3; }),
              ElementsAre("num_key_value_heads: 3 does not divide num_attention_heads, 8"));
  EXPECT_THAT(broken(mixture(), [](Model& m) { m.moe->num_experts_per_tok = 65; }), testing::Not(IsEmpty()));
  EXPECT_THAT(broken(mixture(), [](Model& m) { m.moe->n_group = 7; }), ElementsAre("n_group: 7 does not divide n_routed_experts, 64"));
  EXPECT_THAT(broken(mixture(), [](Model& m) { m.moe->topk_group = 9; }), ElementsAre("topk_group: 9 is more than n_group, 8"));
  EXPECT_THAT(broken(mixture(), [](Model& m) { m.moe->num_experts_per_tok = 33; }),
              ElementsAre(StartsWith("num_experts_per_tok: topk_group of n_group groups hold 32")));
  EXPECT_THAT(broken(dense(), [](Model& m) { m.moe_layers.assign(4, true); }), ElementsAre(StartsWith("moe_layers: ")));
  EXPECT_THAT(broken(dense(), [](Model& m) { m.sliding_window.assign(3, 0); }), ElementsAre(StartsWith("sliding_window: ")));
}

TEST(Model, SizesThatMultiplyBeyondReasonAreRefused) {
  const auto found = broken(mixture(), [](Model& m) {
    m.hidden_size = m.intermediate_size = m.moe->moe_intermediate_size = 1 << 24;
    m.moe->n_routed_experts = 1 << 16;
  });
  EXPECT_THAT(found, ElementsAre("the sizes multiply to more than 1e17 parameters"));
}

}  // namespace
}  // namespace trillion::model_test
