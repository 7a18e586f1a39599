#include "sim/handover/given_flags.h"

#include <algorithm>
#include <filesystem>

#include "sim/handover/shell_words.h"
#include "sim/spec/yaml_tree.h"

namespace trillion {
namespace {

bool is_flag(std::string_view word) { return word.size() > 2 && word.starts_with("--"); }

class ScriptFlags {
 public:
  ScriptFlags(std::string_view text, const std::string& file) : text_(text), file_(file), script_(read_shell(text, file)) {}

  GivenFlags read() {
    std::vector<std::vector<ShellWord>> candidates;
    for (const ShellCommand& command : script_.commands) {
      std::vector<ShellWord> words = words_of_program(command);
      if (std::any_of(words.begin(), words.end(), [](const ShellWord& w) { return is_flag(w.text); })) candidates.push_back(words);
    }
    if (candidates.empty()) candidates.push_back(script_.assigned);
    if (candidates.size() > 1) {
      const ShellWord& second = candidates[1].front();
      throw InputError(Diagnostic{location(second.where()), "a second command with flags: which one is the plan?",
                                  shell_line(text_, second.where()),
                                  "the first is in line " + std::to_string(location(candidates[0].front().where()).line)});
    }
    GivenFlags given{file_, {}};
    for (const ShellWord& word : candidates.front()) take(given, word);
    if (given.flags.empty()) throw InputError(Diagnostic{{file_, 0, 0}, "no flags in this file", {}, "flags begin with --"});
    return given;
  }

 private:
  SourceLocation location(std::size_t at) const { return shell_location(text_, at, file_); }

  // What stands behind the Python program; all of a command that begins with a flag; else nothing.
  std::vector<ShellWord> words_of_program(const ShellCommand& command) const {
    std::vector<ShellWord> words;
    for (const ShellWord& word : command.words) {  // bash -c "torchrun program.py --flag"
      const bool whole_command = word.text.find(".py ") != std::string::npos && word.text.find(" --") != std::string::npos;
      if (whole_command) {
        split(word, words);
      } else {
        words.push_back(word);
      }
    }
    const auto program = std::find_if(words.begin(), words.end(), [](const ShellWord& w) { return w.text.ends_with(".py"); });
    if (program != words.end()) return {program + 1, words.end()};
    if (!words.empty() && is_flag(words.front().text)) return words;
    return {};
  }

  static void split(const ShellWord& word, std::vector<ShellWord>& to) {
    bool open = false;
    for (std::size_t i = 0; i < word.text.size(); ++i) {
      const char c = word.text[i];
      if (c == ' ' || c == '\t' || c == '\n') {
        open = false;
        continue;
      }
      if (!open) to.push_back({{}, {}, word.at[i]});
      open = true;
      to.back().text.push_back(c);
      to.back().at.push_back(word.at[i]);
    }
  }

  GivenWord given(const ShellWord& word, std::size_t begin, std::size_t length) const {
    const std::size_t at = begin < word.at.size() ? word.at[begin] : word.where();
    const std::string text = word.text.substr(begin, length);
    return {text, location(at), shell_line(text_, at), text.find(kUnknown) != std::string::npos};
  }

  void take(GivenFlags& flags, const ShellWord& word) const {
    if (is_flag(word.text)) {
      const std::size_t equals = word.text.find('=');
      const bool conditional = script_.is_conditional(word.where());
      flags.flags.push_back({given(word, 0, equals), {}, conditional});
      if (equals != std::string::npos) flags.flags.back().values.push_back(given(word, equals + 1, std::string::npos));
    } else if (!flags.flags.empty()) {
      GivenFlag& last = flags.flags.back();
      last.conditional = last.conditional || script_.is_conditional(word.where());
      last.values.push_back(given(word, 0, std::string::npos));
    }
  }

  std::string_view text_;
  const std::string& file_;
  ShellScript script_;
};

class YamlFlags {
 public:
  YamlFlags(const std::string& text, const std::string& file) : document_(YamlDocument::from_text(text, file)), given_{file, {}} {}

  GivenFlags read() {
    visit(document_.root());
    if (given_.flags.empty()) throw InputError(Diagnostic{{given_.file, 0, 0}, "no flags in this file", {}, {}});
    return std::move(given_);
  }

 private:
  GivenWord word(const std::string& text, const YamlPosition& position) const {
    const bool unknown = text.find("${") != std::string::npos;
    return {text, document_.location(position), document_.source_line(position), unknown};
  }

  static std::string flag_name(std::string key) {
    std::replace(key.begin(), key.end(), '_', '-');
    return key.starts_with("--") ? key : "--" + key;
  }

  void visit(const YamlNode& mapping) {
    for (const YamlEntry& entry : mapping.entries) {
      const YamlNode& value = entry.value;
      GivenFlag flag{word(flag_name(entry.key), entry.position), {}, false};
      switch (value.kind) {
        case YamlNode::Kind::null: continue;
        case YamlNode::Kind::mapping: visit(value); continue;
        case YamlNode::Kind::scalar:
          if (!value.quoted && (value.text == "false" || value.text == "False")) continue;
          if (value.quoted || (value.text != "true" && value.text != "True")) flag.values.push_back(word(value.text, value.position));
          break;
        case YamlNode::Kind::list:
          for (const YamlNode& item : value.items) flag.values.push_back(word(item.text, item.position));
          break;
      }
      given_.flags.push_back(std::move(flag));
    }
  }

  YamlDocument document_;
  GivenFlags given_;
};

}  // namespace

GivenFlags flags_of_script(std::string_view text, const std::string& file) { return ScriptFlags(text, file).read(); }

GivenFlags flags_of_yaml(const std::string& text, const std::string& file) { return YamlFlags(text, file).read(); }

GivenFlags flags_of_file(const std::string& text, const std::string& file) {
  const std::string ending = std::filesystem::path(file).extension().string();
  return ending == ".yaml" || ending == ".yml" || ending == ".json" ? flags_of_yaml(text, file) : flags_of_script(text, file);
}

}  // namespace trillion
