#include "sim/spec/yaml_tree.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "sim/spec/yaml_parse.h"

namespace trillion {

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

YamlNode* YamlNode::find(std::string_view key) {
  for (YamlEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

YamlDocument YamlDocument::from_text(std::string text, std::string name) {
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);  // byte-order mark
  if (text.size() > kMaxYamlBytes) throw InputError(Diagnostic{{name, 0, 0}, "the file is larger than 64 MiB", "", ""});
  check_characters(text, name);
  YamlDocument document;
  document.root_ = parse_yaml(text, name, 0);
  document.sources_.push_back({std::move(name), std::move(text)});
  const YamlNode& root = document.root_;
  if (root.kind == YamlNode::Kind::null)
    throw InputError(Diagnostic{{document.name(), 0, 0}, "the file is empty", "", "expected 'key: value' lines"});
  if (root.kind != YamlNode::Kind::mapping) {
    throw InputError(
        Diagnostic{document.location(root.position),
                   "expected 'key: value' lines, found " + std::string(root.kind == YamlNode::Kind::list ? "a list" : "a single value"),
                   document.source_line(root.position), ""});
  }
  return document;
}

YamlDocument YamlDocument::from_file(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw InputError(Diagnostic{{path, 0, 0}, "no such file", "", ""});
  if (fs::is_directory(status)) throw InputError(Diagnostic{{path, 0, 0}, "this is a folder, not a file", "", ""});
  if (!fs::is_regular_file(status)) throw InputError(Diagnostic{{path, 0, 0}, "this is not a regular file", "", ""});
  if (fs::file_size(path, error) > kMaxYamlBytes) throw InputError(Diagnostic{{path, 0, 0}, "the file is larger than 64 MiB", "", ""});
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || !text) {
    // An empty file sets failbit on the sink, not an error of reading.
    if (!file.is_open() || file.bad()) throw InputError(Diagnostic{{path, 0, 0}, "the file cannot be read", "", ""});
  }
  return from_text(text.str(), path);
}

namespace {

// Moves every position of a tree to the sources of the document that takes it over.
void shift_sources(YamlNode& node, int by) {
  node.position.source += by;
  for (YamlNode& item : node.items) shift_sources(item, by);
  for (YamlEntry& entry : node.entries) {
    entry.position.source += by;
    shift_sources(entry.value, by);
  }
}

void lay_over(YamlNode& below, YamlNode top) {
  std::set<std::string> seen;
  for (YamlEntry& entry : top.entries) {
    YamlNode* same = below.find(entry.key);
    const bool duplicate = !seen.insert(entry.key).second;  // kept, for the reader to complain about
    if (same == nullptr || duplicate) {
      below.entries.push_back(std::move(entry));
    } else if (same->kind == YamlNode::Kind::mapping && entry.value.kind == YamlNode::Kind::mapping) {
      lay_over(*same, std::move(entry.value));
    } else {
      *same = std::move(entry.value);
    }
  }
}

}  // namespace

YamlDocument YamlDocument::subdocument(const YamlNode& mapping) const {
  YamlDocument document;
  document.sources_ = sources_;
  document.root_ = mapping;
  return document;
}

void YamlDocument::remove(std::string_view key) {
  std::erase_if(root_.entries, [&](const YamlEntry& entry) { return entry.key == key; });
}

void YamlDocument::wrap(std::string_view key, std::string inner) {
  YamlNode* node = root_.find(key);
  CHECK(node != nullptr);
  YamlNode mapping;
  mapping.kind = YamlNode::Kind::mapping;
  mapping.position = node->position;
  mapping.entries.push_back({std::move(inner), node->position, std::move(*node)});
  *node = std::move(mapping);
}

void YamlDocument::overlay(const YamlDocument& top) {
  YamlNode root = top.root_;
  shift_sources(root, static_cast<int>(sources_.size()));
  sources_.insert(sources_.end(), top.sources_.begin(), top.sources_.end());
  lay_over(root_, std::move(root));
}

SourceLocation YamlDocument::location(const YamlPosition& position) const {
  const Source& source = sources_[static_cast<std::size_t>(position.source)];
  return source.text.empty() ? SourceLocation{source.name, 0, 0} : SourceLocation{source.name, position.line, position.column};
}

std::string YamlDocument::source_line(const YamlPosition& position) const {
  // A line that no terminal shows whole (a config.json without line breaks) would only hide the message.
  constexpr std::size_t kLongest = 200;
  std::string line = line_of(sources_[static_cast<std::size_t>(position.source)].text, position.line);
  return line.size() > kLongest ? std::string() : line;
}

Assignment parse_assignment(std::string_view text, const std::string& shown) {
  const std::size_t equals = text.find('=');
  const auto fail = [&](const std::string& message) {
    throw InputError(Diagnostic{{shown, 0, 0}, message, "", "write it as plan.tensor_parallel=8"});
  };
  if (equals == std::string_view::npos) fail("there is no '='");
  Assignment assignment;
  assignment.value = std::string(text.substr(equals + 1));
  std::string_view path = text.substr(0, equals);
  while (true) {
    const std::size_t dot = path.find('.');
    assignment.path.emplace_back(path.substr(0, dot));
    if (assignment.path.back().empty()) fail("a key is empty");
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  if (assignment.path.size() > kMaxYamlDepth) fail("nested deeper than " + std::to_string(kMaxYamlDepth) + " levels");
  return assignment;
}

void YamlDocument::apply_override(std::string_view assignment, std::string shown) {
  const Assignment a = parse_assignment(assignment, shown);
  const YamlPosition position{static_cast<int>(sources_.size()), 0, 0};
  YamlNode value;
  const std::size_t first = a.value.find_first_not_of(' ');
  if (first != std::string::npos && std::string_view("[{\"'").find(a.value[first]) != std::string_view::npos) {
    check_characters(a.value, shown);
    value = parse_yaml(a.value, shown, position.source);
  } else if (a.value.empty() || a.value == "null" || a.value == "~") {
    value.kind = YamlNode::Kind::null;
  } else {
    value.kind = YamlNode::Kind::scalar;
    value.text = a.value;
  }
  value.position = position;
  YamlNode* node = &root_;
  for (std::size_t i = 0; i < a.path.size(); ++i) {
    if (i > 0 && node->kind != YamlNode::Kind::mapping) {
      if (node->kind != YamlNode::Kind::null) {
        throw InputError(
            Diagnostic{{shown, 0, 0}, "'" + a.path[i - 1] + "' has no keys of its own", "", "set '" + a.path[i - 1] + "' as a whole"});
      }
      node->kind = YamlNode::Kind::mapping;
    }
    YamlNode* next = node->find(a.path[i]);
    if (next == nullptr) {
      node->entries.push_back({a.path[i], position, {}});
      next = &node->entries.back().value;
      next->position = position;
    }
    node = next;
  }
  *node = std::move(value);
  sources_.push_back({std::move(shown), {}});
}

}  // namespace trillion
