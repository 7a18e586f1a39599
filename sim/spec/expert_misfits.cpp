#include "sim/spec/expert_misfits.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "sim/spec/yaml_tree.h"

namespace trillion {

namespace {

struct Row {
  SourceLocation where;
  std::string line;
};

// Where the row of this number, from 0, was written: after the title, past empty lines and comments.
Row row_of_csv(const std::string& path, std::size_t number) {
  std::ifstream file(path);
  Row row{{path, 0, 1}, {}};
  for (std::size_t rows = 0; std::getline(file, row.line);) {
    ++row.where.line;
    const auto first = row.line.find_first_not_of(" \t\r");
    if (first == std::string::npos || row.line[first] == '#') continue;
    if (rows++ == number + 1) break;
  }
  return row;
}

Row row_of(const std::string& path, std::size_t number) {
  if (std::filesystem::path(path).extension() != ".json") return row_of_csv(path, number);
  const YamlDocument document = YamlDocument::from_file(path);
  const YamlNode* loads = document.root().find("loads");
  if (loads == nullptr || number >= loads->items.size()) return {{path, 0, 0}, {}};
  return {document.location(loads->items[number].position), document.source_line(loads->items[number].position)};
}

std::string misfit(const ExpertCount& row, const Model& model) {
  const std::int64_t layers = model.num_hidden_layers, all = layers + model.num_nextn_predict_layers;
  if (row.layer < 0 || row.layer >= all)
    return "layer " + std::to_string(row.layer) + ": the model has layers 0 to " + std::to_string(all - 1);
  if (row.layer < layers && !model.is_moe_layer(row.layer)) return "layer " + std::to_string(row.layer) + ": has no experts in the model";
  if (row.expert < 0 || row.expert >= model.moe->n_routed_experts)
    return "expert " + std::to_string(row.expert) + ": the model has experts 0 to " + std::to_string(model.moe->n_routed_experts - 1);
  return {};
}

}  // namespace

std::vector<Diagnostic> expert_misfits(const std::vector<ExpertCount>& counts, const std::string& path, const Model& model) {
  std::vector<Diagnostic> found;
  if (!model.moe) return found;
  const auto note = [&](std::size_t number, const std::string& what, const std::string& hint) {
    Row row = row_of(path, number);
    found.push_back({std::move(row.where), what, std::move(row.line), hint});
  };
  std::size_t first = 0, wrong = 0;
  std::map<std::int64_t, std::pair<std::size_t, double>> layers;  // first row and sum
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (!misfit(counts[i], model).empty() && wrong++ == 0) first = i;
    layers.try_emplace(counts[i].layer, i, 0.0).first->second.second += counts[i].count;
  }
  if (wrong > 0) note(first, misfit(counts[first], model), wrong > 1 ? std::to_string(wrong) + " rows do not fit the model" : "");
  for (const auto& [layer, row_and_sum] : layers) {
    if (row_and_sum.second <= 0) note(row_and_sum.first, "layer " + std::to_string(layer) + ": has no tokens", "");
  }
  return found;
}

}  // namespace trillion
