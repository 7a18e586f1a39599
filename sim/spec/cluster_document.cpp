#include "sim/spec/cluster_document.h"

#include <optional>
#include <utility>

#include "sim/base/error.h"
#include "sim/spec/node_facts.h"

namespace trillion {

namespace fs = std::filesystem;

namespace {

constexpr int kMostBases = 16;

std::string name_of_gpu(const YamlDocument& document) {
  const YamlNode* gpu = document.root().find("gpu");
  const YamlNode* name = gpu == nullptr ? nullptr : gpu->find("name");
  return name == nullptr ? std::string() : name->text;
}

[[noreturn]] void fail(const YamlDocument& document, const YamlNode& node, std::string message) {
  throw InputError(Diagnostic{document.location(node.position), std::move(message), document.source_line(node.position), {}});
}

// The file that a key names. REQUIRES: the key is there.
fs::path named_file(const YamlDocument& document, const char* key, const fs::path& folder) {
  const YamlNode& node = *document.root().find(key);
  if (node.kind != YamlNode::Kind::scalar || node.text.empty()) fail(document, node, std::string("'") + key + "': expected a file name");
  std::error_code error;
  const bool from_command_line = document.location(node.position).line == 0;
  const fs::path path = from_command_line && fs::exists(node.text, error) ? fs::path(node.text) : folder / node.text;
  if (!fs::exists(path, error)) fail(document, node, std::string("'") + key + "': there is no file " + path.lexically_normal().string());
  return path.lexically_normal();
}

YamlDocument document_of(const fs::path& path, int bases) {
  YamlDocument own = YamlDocument::from_file(path.string());
  const YamlNode* base = own.root().find("base");
  if (base == nullptr) return with_node_facts(own, nullptr, path.parent_path());
  if (bases == kMostBases) fail(own, *base, "'base': topology files name each other as their base");
  const YamlDocument below = document_of(named_file(own, "base", path.parent_path()), bases + 1);
  own.remove("base");
  return with_node_facts(own, &below, path.parent_path());
}

}  // namespace

YamlDocument with_node_facts(const YamlDocument& own, const YamlDocument* below, const fs::path& folder) {
  YamlDocument result = below == nullptr ? own : *below;
  if (const YamlNode* from = own.root().find("from")) {
    const fs::path path = named_file(own, "from", folder);
    std::string gpu = name_of_gpu(own);
    if (gpu.empty()) gpu = name_of_gpu(result);
    const YamlDocument facts =
        YamlDocument::from_text(topology_text(read_node_facts(path.string()), path.string(), gpu), "what " + path.string() + " says");
    const bool from_command_line = own.location(from->position).line == 0;
    YamlDocument rest = own;
    rest.remove("from");
    result.remove("from");
    result.overlay(from_command_line ? rest : facts);
    result.overlay(from_command_line ? facts : rest);
    return result;
  }
  if (below != nullptr) result.overlay(own);
  return result;
}

YamlDocument cluster_document(const std::string& path) { return document_of(path, 0); }

}  // namespace trillion
