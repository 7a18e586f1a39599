// A YAML or JSON file as a plain tree in which every key and value knows where it was written. Nothing of yaml-cpp shows.
//
// The tree is strict where YAML is lax: duplicate keys are kept (the reader reports them), anchors, aliases, tags, merge keys,
// several documents and non-text keys are errors, and so are control characters, invalid UTF-8 and nesting deeper than
// kMaxYamlDepth. A text that cannot be read at all throws InputError with line and column; nothing else ever escapes.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/error.h"

namespace trillion {

inline constexpr std::size_t kMaxYamlDepth = 64;
inline constexpr std::size_t kMaxYamlBytes = 64u << 20;

// Line and column count from 1. `source` tells the files and overrides that make up a document apart.
struct YamlPosition {
  int source = 0;
  int line = 0, column = 0;
};

struct YamlEntry;

struct YamlNode {
  enum class Kind { null, scalar, list, mapping };

  Kind kind = Kind::null;
  std::string text;     // of a scalar
  bool quoted = false;  // a scalar in quotes or a block: text, whatever it looks like
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;  // in file order, duplicates included
  YamlPosition position;

  // The first entry with this key, or nullptr.
  const YamlNode* find(std::string_view key) const;
  YamlNode* find(std::string_view key);
};

struct YamlEntry {
  std::string key;
  YamlPosition position;  // of the key
  YamlNode value;
};

// One file, what is laid over it and the overrides applied to it. The root is a mapping.
class YamlDocument {
 public:
  // Throws InputError: no such file, a folder, not a regular file, too large, not YAML, not a mapping.
  static YamlDocument from_file(const std::string& path);
  static YamlDocument from_text(std::string text, std::string name);

  // "plan.tensor_parallel=8": sets (or adds) the value at the dotted path, as if the file said so; keys that nobody knows are
  // reported by the reader like any other. The value is taken as it is, except that [...], {...} and "..." are YAML.
  // `shown` is what diagnostics show instead of a position: "--set plan.tensor_parallel=8".
  // Throws InputError: no '=', an empty key, a path through something that is not a mapping.
  void apply_override(std::string_view assignment, std::string shown);

  // A mapping of this document as a document of its own, at the same positions.
  YamlDocument subdocument(const YamlNode& mapping) const;
  // Lays `top` over this document: its keys replace or add, mapping by mapping. Positions stay those of the file that a value
  // was written in.
  void overlay(const YamlDocument& top);

  void remove(std::string_view key);  // of the root; every entry with that key
  // `key: value` of the root becomes `key: {inner: value}`. REQUIRES: the root has the key.
  void wrap(std::string_view key, std::string inner);

  const YamlNode& root() const { return root_; }
  const std::string& name() const { return sources_.front().name; }
  SourceLocation location(const YamlPosition& position) const;
  // The line as written; empty for overrides.
  std::string source_line(const YamlPosition& position) const;

 private:
  struct Source {
    std::string name;
    std::string text;  // empty for an override, which has no lines
  };

  YamlNode root_;
  std::vector<Source> sources_;
};

// Splits "a.b.c=value" into path and value. Throws InputError, located at `shown`.
struct Assignment {
  std::vector<std::string> path;
  std::string value;
};
Assignment parse_assignment(std::string_view text, const std::string& shown);

}  // namespace trillion
