#include "sim/spec/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

namespace trillion {

namespace {

// Thrown out of the event handler; the caller adds file and line.
struct TreeError {
  YAML::Mark mark;
  std::string message;
  std::string hint;
};

YamlPosition position_of(const YAML::Mark& mark, int source) { return {source, std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1}; }

// Builds the tree from the parser's events. The path of open lists and mappings is a stack; a mapping expects a key first.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(int source) : source_(source) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    if (expects_key()) throw TreeError{mark, "a key is missing here", ""};
    add(mark, YamlNode::Kind::null);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw TreeError{mark, "aliases ('*name') are not accepted", "write the value out where it is used"};
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (expects_key()) {
      if (value == "<<" && tag != "!") throw TreeError{mark, "merge keys ('<<') are not accepted", "write the keys out"};
      open_.back()->entries.push_back({value, position_of(mark, source_), {}});
      key_pending_.back() = true;
      return;
    }
    YamlNode& node = add(mark, YamlNode::Kind::scalar);
    node.text = value;
    node.quoted = tag == "!";
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::mapping);
  }
  void OnMapEnd() override { close(); }

 private:
  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) throw TreeError{mark, "anchors ('&name') are not accepted", "write the value out where it is used"};
  }

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!")
      throw TreeError{mark, "tags ('!" + tag.substr(tag.rfind(':') + 1) + "') are not accepted", ""};
  }

  bool expects_key() const { return !open_.empty() && open_.back()->kind == YamlNode::Kind::mapping && !key_pending_.back(); }

  YamlNode& add(const YAML::Mark& mark, YamlNode::Kind kind) {
    YamlNode* node = &root_;
    if (!open_.empty() && open_.back()->kind == YamlNode::Kind::list) {
      node = &open_.back()->items.emplace_back();
    } else if (!open_.empty()) {
      node = &open_.back()->entries.back().value;
      key_pending_.back() = false;
    }
    node->kind = kind;
    node->position = position_of(mark, source_);
    return *node;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (expects_key()) throw TreeError{mark, "a key must be a word, not a list or a mapping", ""};
    if (open_.size() >= kMaxYamlDepth) throw TreeError{mark, "nested deeper than " + std::to_string(kMaxYamlDepth) + " levels", ""};
    // Pointers into vectors stay good while deeper nodes are built: a parent grows only after its child is closed.
    open_.push_back(&add(mark, kind));
    key_pending_.push_back(false);
  }

  void close() {
    open_.pop_back();
    key_pending_.pop_back();
  }

  int source_;
  YamlNode root_;
  std::vector<YamlNode*> open_;
  std::vector<bool> key_pending_;  // parallel to open_: a key was read, its value not yet
};

// The second document of a file is not wanted; only that it exists matters.
class RefuseDocument : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    throw TreeError{mark, "a second document starts here", "keep one document per file"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

std::string line_of(const std::string& text, int line) {
  std::size_t begin = 0;
  for (int i = 1; i < line; ++i) {
    begin = text.find('\n', begin);
    if (begin == std::string::npos) return {};
    ++begin;
  }
  std::string found = text.substr(begin, text.find('\n', begin) - begin);
  if (!found.empty() && found.back() == '\r') found.pop_back();
  return found;
}

// Length of the UTF-8 sequence at text[i]; 0: not UTF-8.
std::size_t utf8_length(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
  const unsigned lead = byte(i);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  for (std::size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
  }
  if ((lead == 0xe0 && byte(i + 1) < 0xa0) || (lead == 0xed && byte(i + 1) > 0x9f)) return 0;  // overlong, surrogate
  if ((lead == 0xf0 && byte(i + 1) < 0x90) || (lead == 0xf4 && byte(i + 1) > 0x8f)) return 0;
  return length;
}

// What would confuse the parser or a terminal is refused before either sees it.
void check_characters(const std::string& text, const std::string& name) {
  int line = 1;
  std::size_t line_begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text, i);
    const bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
    if (length == 0 || control) {
      throw InputError(Diagnostic{{name, line, static_cast<int>(i - line_begin) + 1},
                                  control ? "a control character is not accepted" : "this is not UTF-8 text",
                                  "",
                                  "is it a text file?"});
    }
    if (c == '\n') {
      ++line;
      line_begin = i + 1;
    }
    i += length;
  }
}

// JSON may indent with tabs, YAML may not. Outside of strings a tab is as good as a space.
std::string without_json_tabs(std::string text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || (text[first] != '{' && text[first] != '[')) return text;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') in_string = !in_string;
    if (in_string && text[i] == '\\')
      ++i;
    else if (!in_string && text[i] == '\t')
      text[i] = ' ';
  }
  return text;
}

// The root, or nothing for a text without content.
YamlNode parse_tree(const std::string& text, const std::string& name, int source) {
  try {
    std::istringstream stream(without_json_tabs(text));
    YAML::Parser parser(stream);
    TreeBuilder builder(source);
    const bool found = parser.HandleNextDocument(builder);
    YamlNode root = builder.take();
    RefuseDocument refuse;
    if (found) parser.HandleNextDocument(refuse);
    return root;
  } catch (const TreeError& e) {
    const YamlPosition p = position_of(e.mark, source);
    throw InputError(Diagnostic{{name, p.line, p.column}, e.message, line_of(text, p.line), e.hint});
  } catch (const YAML::Exception& e) {
    const YamlPosition p = position_of(e.mark, source);
    throw InputError(Diagnostic{{name, p.line, p.column}, "not valid YAML: " + e.msg, line_of(text, p.line), ""});
  } catch (const std::exception& e) {
    throw InputError(Diagnostic{{name, 0, 0}, std::string("not valid YAML: ") + e.what(), "", ""});
  }
}

}  // namespace

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
  document.root_ = parse_tree(text, name, 0);
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
  for (YamlEntry& entry : top.entries) {
    YamlNode* same = below.find(entry.key);
    const bool duplicate = &entry.value != top.find(entry.key);  // kept, for the reader to complain about
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
    value = parse_tree(a.value, shown, position.source);
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
