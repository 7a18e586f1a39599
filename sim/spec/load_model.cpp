#include <algorithm>
#include <filesystem>

#include "sim/base/closest_word.h"
#include "sim/spec/load.h"
#include "sim/spec/model_family.h"

namespace trillion {

namespace {

std::string family_list() {
  std::string text;
  for (const std::string_view name : kModelFamilyNames) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

// The family that a file without a known model_type most looks like, so that its other mistakes can be shown too.
ModelFamily likeliest_family(const YamlReader& r) {
  if (r.has("kv_lora_rank")) return ModelFamily::deepseek_v3;
  if (r.has("n_embd")) return ModelFamily::gpt2;
  if (r.has("num_local_experts")) return ModelFamily::mixtral;
  if (r.has("n_routed_experts")) return ModelFamily::deepseek;
  if (r.has("num_experts")) return ModelFamily::qwen3_moe;
  return ModelFamily::llama;
}

ModelFamily read_model_type(YamlReader& r, Model& m) {
  const std::vector<std::string> names(kModelFamilyNames.begin(), kModelFamilyNames.end());
  if (!r.has("model_type")) {
    r.problem("", "missing key 'model_type'; known are " + family_list());
    r.judge_spelling_only();
    return likeliest_family(r);
  }
  m.model_type = r.text("model_type");
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == m.model_type) return static_cast<ModelFamily>(i);
  }
  const auto nearest = closest_word(m.model_type, names);
  if (!r.failed("model_type")) {
    r.problem("model_type", "unknown model family '" + m.model_type + "'; known are " + family_list(),
              nearest ? "did you mean '" + *nearest + "'?" : "");
  }
  if (nearest) return static_cast<ModelFamily>(std::find(names.begin(), names.end(), *nearest) - names.begin());
  r.judge_spelling_only();
  return likeliest_family(r);
}

}  // namespace

Model read_model(YamlReader& r, const std::string& name) {
  Model m;
  m.name = r.has("name") ? r.text("name") : name;
  const ModelFamily family = read_model_type(r, m);
  if (const auto assumed = r.texts("assumed")) m.assumed = *assumed;
  ignore_costless_keys(r);
  // Models that see or hear keep the language model under text_config; only that part is trained here.
  if (family == ModelFamily::llama4 && r.has("text_config")) {
    YamlReader text = r.mapping("text_config");
    ignore_costless_keys(text);
    read_family(family, text, m);
    text.report(m.validate());
    r.ignore({"vision_config", "boi_token_index", "eoi_token_index", "image_token_index", "tie_word_embeddings"});
    return m;
  }
  read_family(family, r, m);
  r.report(m.validate());
  return m;
}

// The file's name; of a config.json, which says nothing, its folder's.
std::string default_model_name(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string folder = file.parent_path().filename().string();
  return file.stem() == "config" && !folder.empty() ? folder : file.stem().string();
}

std::string model_file(const std::string& path) {
  std::error_code error;
  const std::filesystem::path inside = std::filesystem::path(path) / "config.json";
  return std::filesystem::is_directory(path, error) && std::filesystem::exists(inside, error) ? inside.string() : path;
}

Model load_model(const std::string& path, const Overrides& overrides) {
  YamlDocument document = YamlDocument::from_file(model_file(path));
  for (const std::string& o : overrides) document.apply_override(o, "--set " + o);
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(std::move(document), diagnostics);
  Model model = read_model(reader, default_model_name(model_file(path)));
  reader.finish();
  diagnostics.throw_if_any();
  return model;
}

}  // namespace trillion
