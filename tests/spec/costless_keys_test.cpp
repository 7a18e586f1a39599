#include "sim/spec/model_family.h"
#include "tests/spec/mistakes.h"

namespace trillion::costless_keys_test {
namespace {

TEST(CostlessKeys, AreKnownWhateverTheyHold) {
  EXPECT_THAT(
      mistakes_in("torch_dtype: bfloat16\nrope_scaling: {factor: 40}\nauto_map: null\neos_token_id: [1, 2]\nattention_dropout: 0.1\n",
                  ignore_costless_keys),
      testing::ElementsAre());
}

TEST(CostlessKeys, WhatShapesTheModelIsNotAmongThem) {
  for (const char* key :
       {"hidden_size", "num_experts", "sliding_window", "tie_word_embeddings", "head_dim", "first_k_dense_replace", "layer_types"}) {
    EXPECT_THAT(mistakes_in(std::string(key) + ": 1\n", ignore_costless_keys), testing::ElementsAre(testing::HasSubstr("unknown key")))
        << key;
  }
}

}  // namespace
}  // namespace trillion::costless_keys_test
