#include "sim/spec/yaml_parse.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <utility>
#include <vector>

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
    if (expects_key()) throw TreeError{mark, "a key must be a word, not a list or a mapping", "is a bracket not closed?"};
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

// JSON is YAML but for two habits: it may indent with tabs, which outside of strings are as good as spaces, and it escapes
// characters beyond the 16-bit plane as a pair ("\ud83d\ude00"), which YAML writes as one ("\U0001f600").
std::string json_as_yaml(std::string text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || (text[first] != '{' && text[first] != '[')) return text;
  const auto hex = [&](std::size_t at) {
    unsigned value = 0;
    const bool escape = at + 6 <= text.size() && text[at] == '\\' && text[at + 1] == 'u';
    return escape && std::from_chars(&text[at + 2], &text[at + 6], value, 16).ptr == &text[at + 6] ? value : 0u;
  };
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') in_string = !in_string;
    if (!in_string && text[i] == '\t') text[i] = ' ';
    if (!in_string || text[i] != '\\') continue;
    const unsigned high = hex(i), low = hex(i + 6);
    if (high >= 0xd800 && high < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
      std::array<char, 12> code{};
      std::snprintf(code.data(), code.size(), "\\U%08x", 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
      text.replace(i, 12, code.data());
    }
    ++i;
  }
  return text;
}

// What a person most often did when the parser says this.
std::string syntax_hint(const std::string& message) {
  if (message == "illegal map value") return "a text that has ': ' in it needs quotes";
  if (message == "end of map not found" || message == "end of sequence not found") return "is this line indented like its neighbours?";
  if (message.find("flow") != std::string::npos) return "a bracket is not closed, or a comma is missing";
  if (message == "illegal EOF in scalar" || message == "illegal document indicator in scalar") return "a quote is not closed";
  if (message == "unknown token") return "a text that begins with a special character needs quotes";
  return "";
}

}  // namespace

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

YamlNode parse_yaml(const std::string& text, const std::string& name, int source) {
  try {
    std::istringstream stream(json_as_yaml(text));
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
    throw InputError(Diagnostic{{name, p.line, p.column}, "not valid YAML: " + e.msg, line_of(text, p.line), syntax_hint(e.msg)});
  } catch (const std::exception& e) {
    throw InputError(Diagnostic{{name, 0, 0}, std::string("not valid YAML: ") + e.what(), "", ""});
  }
}

}  // namespace trillion
