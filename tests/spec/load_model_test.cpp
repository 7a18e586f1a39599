// Model files: ten mistakes give ten errors, one at a time and together; every shipped file and every config.json of the Hub
// loads; mutilated ones never do worse than InputError.
#include <filesystem>

#include "sim/spec/load.h"
#include "tests/fuzz/mutations.h"
#include "tests/spec/mistakes.h"

namespace trillion::load_model_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

std::string file_text(const fs::path& path) { return read_whole_file(path.string()); }

std::vector<std::string> mistakes(const std::string& text) {
  return mistakes_in(text, [](YamlReader& r) { read_model(r, "model"); });
}

const fs::path kSource = TRILLION_SOURCE_DIR;

struct Mistake {
  std::string right, wrong;  // a line of models/deepseek-v3.yaml and what becomes of it
  std::string column_and_message;
};

// Each one of another kind.
const std::vector<Mistake>& ten_mistakes() {
  static const std::vector<Mistake> kMistakes = {
      {"model_type: deepseek_v3\n", "model_type: deepsek_v3\n", "13 'model_type': unknown model family 'deepsek_v3'"},
      {"vocab_size: 129280\n", "vocab_size: 129_280\n", "13 'vocab_size': expected a whole number: '129_280' is ambiguous"},
      {"hidden_size: 7168\n", "hiden_size: 7168\n", "1 unknown key 'hiden_size' | did you mean 'hidden_size'?"},
      {"\nintermediate_size: 18432\n", "\nintermediate_size: \"18432\"\n",
       "20 'intermediate_size': expected a whole number, found '18432' in quotes"},
      {"moe_intermediate_size: 2048\n", "moe_intermediate_size: -2048\n", "24 'moe_intermediate_size': must be at least 1, found -2048"},
      {"num_hidden_layers: 61\n", "num_hidden_layers: 061\n", "20 'num_hidden_layers': expected a whole number: '061' is ambiguous"},
      {"n_group: 8\n", "n_group: 7\n", "10 'n_group': 7 does not divide n_routed_experts, 256"},
      {"tie_word_embeddings: false\n", "tie_word_embeddings: no\n",
       "22 'tie_word_embeddings': expected true or false, found 'no', which is ambiguous"},
      {"scoring_func: sigmoid\n", "scoring_func: sigmoyd\n", "15 'scoring_func': found 'sigmoyd'; accepted is one of softmax, sigmoid"},
      {"v_head_dim: 128\n", "v_head_dim: 128\nv_head_dim: 64\n", "1 duplicate key 'v_head_dim', first on line"},
  };
  return kMistakes;
}

int line_of_mistake(const std::string& text, const Mistake& mistake) {
  std::size_t at = text.find(mistake.wrong) + (mistake.wrong.front() == '\n' ? 1 : 0);
  at += mistake.wrong.find("v_head_dim: 64") == std::string::npos ? 0 : std::string("v_head_dim: 128\n").size();
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

TEST(LoadModel, TenMistakesOneAtATime) {
  const std::string good = file_text(kSource / "models/deepseek-v3.yaml");
  EXPECT_THAT(mistakes(good), ElementsAre());
  for (const Mistake& m : ten_mistakes()) {
    const std::string bad = replaced(good, m.right, m.wrong);
    const std::string expected = std::to_string(line_of_mistake(bad, m)) + ":" + m.column_and_message;
    EXPECT_THAT(mistakes(bad), ElementsAre(HasSubstr(expected)));
  }
}

TEST(LoadModel, TenMistakesTogether) {
  std::string bad = file_text(kSource / "models/deepseek-v3.yaml");
  for (const Mistake& m : ten_mistakes()) bad = replaced(bad, m.right, m.wrong);
  const std::vector<std::string> found = mistakes(bad);
  EXPECT_EQ(found.size(), 10u) << testing::PrintToString(found);
  for (const Mistake& m : ten_mistakes()) {
    const std::string expected = std::to_string(line_of_mistake(bad, m)) + ":" + m.column_and_message;
    EXPECT_THAT(found, testing::Contains(HasSubstr(expected)));
  }
}

TEST(LoadModel, EveryShippedModelLoadsAndIsConsistent) {
  int files = 0;
  for (const fs::path& path : files_below(kSource / "models", {".yaml"})) {
    ++files;
    const Model m = load_model(path.string());
    EXPECT_THAT(m.validate(), ElementsAre()) << path;
    EXPECT_NE(m.name, "") << path;
    EXPECT_GT(m.max_position_embeddings, 0) << path;
  }
  EXPECT_GE(files, 12);
}

TEST(LoadModel, ConfigFilesOfTheHubLoad) {
  int files = 0;
  for (const fs::path& path : files_below(kSource / "tests/golden/hf", {".json"})) {
    ++files;
    EXPECT_THAT(mistakes_of([&] { load_model(path.string()); }), ElementsAre()) << path;
  }
  EXPECT_GE(files, 15);
}

// The same architecture, from our file and from the Hub's.
void expect_same(const Model& a, const Model& b) {
  EXPECT_EQ(a.model_type, b.model_type);
  EXPECT_EQ(std::tuple(a.hidden_size, a.num_hidden_layers, a.num_attention_heads, a.num_key_value_heads, a.head_dim, a.intermediate_size,
                       a.vocab_size),
            std::tuple(b.hidden_size, b.num_hidden_layers, b.num_attention_heads, b.num_key_value_heads, b.head_dim, b.intermediate_size,
                       b.vocab_size));
  EXPECT_EQ(std::tuple(a.tie_word_embeddings, a.attention_bias, a.attention_output_bias, a.mlp_bias, a.qk_norm, a.qk_norm_full_width,
                       a.attention_sinks),
            std::tuple(b.tie_word_embeddings, b.attention_bias, b.attention_output_bias, b.mlp_bias, b.qk_norm, b.qk_norm_full_width,
                       b.attention_sinks));
  EXPECT_EQ(a.moe_layers, b.moe_layers);
  EXPECT_EQ(a.sliding_window, b.sliding_window);
  EXPECT_EQ(a.num_nextn_predict_layers, b.num_nextn_predict_layers);
  ASSERT_EQ(a.moe.has_value(), b.moe.has_value());
  if (a.moe) {
    const MixtureOfExperts &x = *a.moe, &y = *b.moe;
    EXPECT_EQ(std::tuple(x.n_routed_experts, x.num_experts_per_tok, x.moe_intermediate_size, x.shared_intermediate_size, x.n_group,
                         x.topk_group, x.topk_group_scores, x.score, x.correction_bias, x.shared_gate, x.expert_bias, x.router_bias),
              std::tuple(y.n_routed_experts, y.num_experts_per_tok, y.moe_intermediate_size, y.shared_intermediate_size, y.n_group,
                         y.topk_group, y.topk_group_scores, y.score, y.correction_bias, y.shared_gate, y.expert_bias, y.router_bias));
  }
  ASSERT_EQ(a.mla.has_value(), b.mla.has_value());
  if (a.mla) {
    EXPECT_EQ(std::tuple(a.mla->q_lora_rank, a.mla->kv_lora_rank, a.mla->qk_nope_head_dim, a.mla->qk_rope_head_dim, a.mla->v_head_dim),
              std::tuple(b.mla->q_lora_rank, b.mla->kv_lora_rank, b.mla->qk_nope_head_dim, b.mla->qk_rope_head_dim, b.mla->v_head_dim));
  }
}

TEST(LoadModel, OurFilesSayWhatTheHubSays) {
  for (const char* name : {"deepseek-v3", "deepseek-v2-lite", "llama-3.1-8b", "qwen2.5-72b", "qwen3-30b-a3b", "mixtral-8x7b",
                           "gpt-oss-120b", "kimi-k2", "olmo-2-7b"}) {
    SCOPED_TRACE(name);
    expect_same(load_model((kSource / "models" / (std::string(name) + ".yaml")).string()),
                load_model((kSource / "tests/golden/hf" / (std::string(name) + ".json")).string()));
  }
}

TEST(LoadModel, AnUnknownFamilyListsTheKnownOnesAndMisspeltKeys) {
  const auto found = mistakes("model_type: falcon\nhidden_size: 8\nhiden_act: silu\nalibi: true\n");
  ASSERT_EQ(found.size(), 2u) << testing::PrintToString(found);
  EXPECT_THAT(found[0], HasSubstr("unknown model family 'falcon'; known are llama, mistral"));
  EXPECT_THAT(found[1], HasSubstr("3:1 unknown key 'hiden_act'"));
  EXPECT_THAT(mistakes("hidden_size: 8\n"), ElementsAre(HasSubstr("missing key 'model_type'; known are llama")));
}

TEST(LoadModel, OverridesAreCheckedLikeTheFile) {
  const std::string path = (kSource / "models/llama-3.1-8b.yaml").string();
  EXPECT_EQ(load_model(path, {"num_hidden_layers=2"}).num_hidden_layers, 2);
  const auto found = diagnostics_of([&] { load_model(path, {"num_hiden_layers=2", "hidden_size=1_000"}); });
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(to_text(found[0]), HasSubstr("--set hidden_size=1_000: error: 'hidden_size': expected a whole number"));
  EXPECT_THAT(to_text(found[1]), HasSubstr("did you mean 'num_hidden_layers'?"));
}

TEST(LoadModel, AFolderOfTheHubIsAModel) {
  const fs::path folder = fs::path(testing::TempDir()) / "My-Model";
  fs::create_directories(folder);
  fs::copy_file(kSource / "tests/golden/hf/llama-3.1-8b.json", folder / "config.json", fs::copy_options::overwrite_existing);
  EXPECT_EQ(load_model(folder.string()).name, "My-Model");
  EXPECT_EQ(load_model((folder / "config.json").string()).name, "My-Model");
}

TEST(LoadModel, MutilatedFilesNeverCrash) {
  for (const char* file : {"models/deepseek-v3.yaml", "models/deepseek-v3-baseline-229b.yaml", "tests/golden/hf/gpt-oss-120b.json",
                           "tests/golden/hf/llama-4-maverick.json"}) {
    SCOPED_TRACE(file);
    EXPECT_GT(mutilate(file_text(kSource / file), 150), 0);
  }
}

}  // namespace
}  // namespace trillion::load_model_test
