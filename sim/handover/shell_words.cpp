#include "sim/handover/shell_words.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sim/handover/shell_expansion.h"

namespace trillion {
namespace {

template <std::size_t kCount>
bool is_one_of(std::string_view word, const std::array<std::string_view, kCount>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class Commands {
 public:
  Commands(std::string_view text, const std::string& file) : reader_(text, file) {}

  ShellScript read() {
    while (!reader_.done()) command();
    if (!open_blocks_.empty()) conditional_from(open_blocks_.front());
    script_.assigned = reader_.assigned();
    return std::move(script_);
  }

 private:
  static constexpr std::array<std::string_view, 5> kDeclaring = {"export", "declare", "local", "readonly", "typeset"};

  // What a command consists of so far.
  struct Begun {
    ShellFields fields;
    bool first = true;       // nothing but assignments
    bool declaring = false;  // after export and its like
    bool assigned = false;
  };

  void conditional_from(std::size_t begin) {
    script_.conditional.emplace_back(static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(reader_.place()));
  }

  void command() {
    Begun begun;
    const bool joined = std::exchange(joined_, false);
    const std::size_t begin = reader_.place();
    while (next_part(begun)) {
    }
    if (joined && begun.assigned) conditional_from(begin);
    std::vector<ShellWord> words = begun.fields.take();
    if (!words.empty() && !begun.declaring) script_.commands.push_back({std::move(words)});
    here_documents();
  }

  // False: the command ends.
  bool next_part(Begun& begun) {
    begun.fields.close();
    reader_.skip_blanks();
    if (reader_.done()) return false;
    const char c = reader_.peek();
    if (c == '#') {
      reader_.skip_line();
    } else if (c == '<' || c == '>' || (c == '&' && reader_.peek(1) == '>') || is_descriptor()) {
      redirection();
    } else if (ends_shell_word(c)) {
      return end_command(c);
    } else if ((begun.first || begun.declaring) && reader_.assignment()) {
      begun.assigned = true;
    } else if (!begun.first || !special_word(begun)) {
      reader_.word(begun.fields);
      begun.first = false;
    }
    return true;
  }

  bool end_command(char c) {
    reader_.go(reader_.place() + 1);
    if ((c == '&' || c == '|') && !reader_.done() && reader_.peek() == c) {
      reader_.go(reader_.place() + 1);
      joined_ = true;
    }
    return false;
  }

  // export, and what opens and closes blocks that need not run; true if the word was one of them and more may follow.
  bool special_word(Begun& begun) {
    const std::size_t at = reader_.place();
    const bool brace = reader_.peek() == '{' || reader_.peek() == '}';
    const std::size_t end = brace ? at + 1 : reader_.name_end();
    reader_.go(end);
    const bool whole = reader_.done() || ends_shell_word(reader_.peek());
    const std::string_view word = reader_.between(at, end);
    if (whole && is_one_of(word, kDeclaring)) {
      begun.declaring = true;
      begun.first = false;
      return true;
    }
    if (whole && keyword(word, at)) return true;
    reader_.go(at);
    return false;
  }

  bool keyword(std::string_view word, std::size_t at) {
    static constexpr std::array<std::string_view, 4> kOpening = {"if", "while", "until", "{"};
    static constexpr std::array<std::string_view, 3> kNaming = {"for", "case", "select"};  // words follow, not a command
    static constexpr std::array<std::string_view, 4> kClosing = {"fi", "done", "esac", "}"};
    static constexpr std::array<std::string_view, 4> kBetween = {"then", "else", "elif", "do"};
    if (is_one_of(word, kOpening) || is_one_of(word, kNaming)) {
      open_blocks_.push_back(at);
      return is_one_of(word, kOpening);
    }
    if (is_one_of(word, kClosing) && !open_blocks_.empty()) {
      const std::size_t begin = open_blocks_.back();
      open_blocks_.pop_back();
      if (open_blocks_.empty()) conditional_from(begin);
      return true;
    }
    return is_one_of(word, kBetween);
  }

  // The 2 of 2>&1.
  bool is_descriptor() const {
    std::size_t digits = 0;
    while (reader_.peek(digits) >= '0' && reader_.peek(digits) <= '9') ++digits;
    return digits > 0 && (reader_.peek(digits) == '<' || reader_.peek(digits) == '>');
  }

  void redirection() {
    while (is_descriptor()) reader_.go(reader_.place() + 1);
    const std::size_t at = reader_.place();
    const bool here = reader_.starts("<<") && !reader_.starts("<<<");
    while (!reader_.done() && (reader_.peek() == '<' || reader_.peek() == '>' || reader_.peek() == '&')) reader_.go(reader_.place() + 1);
    if (here && reader_.peek() == '-') reader_.go(reader_.place() + 1);
    reader_.skip_blanks();
    ShellFields target;
    reader_.word(target);
    const std::vector<ShellWord> words = target.take();
    if (!here) return;
    if (words.empty()) reader_.fail(at, "a here-document without the word that ends it");
    here_.push_back(words.front().text);
  }

  // Skips the bodies of the here-documents that the line just read began.
  void here_documents() {
    if (here_.empty() || reader_.place() == 0 || reader_.between(reader_.place() - 1, reader_.place()) != "\n") return;
    for (const std::string& end : here_) {
      while (!reader_.done()) {
        const std::size_t begin = reader_.place();
        reader_.skip_line();
        std::string_view line = reader_.between(begin, reader_.place());
        if (!reader_.done()) reader_.go(reader_.place() + 1);
        while (!line.empty() && shell_blank(line.front())) line.remove_prefix(1);
        while (!line.empty() && shell_blank(line.back())) line.remove_suffix(1);
        if (line == end) break;
      }
    }
    here_.clear();
  }

  ShellReader reader_;
  bool joined_ = false;  // the last command by && or || to the next
  std::vector<std::string> here_;
  std::vector<std::size_t> open_blocks_;
  ShellScript script_;
};

}  // namespace

bool ShellScript::is_conditional(std::uint32_t offset) const {
  return std::any_of(conditional.begin(), conditional.end(),
                     [&](const auto& range) { return offset >= range.first && offset < range.second; });
}

SourceLocation shell_location(std::string_view text, std::size_t offset, const std::string& file) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return {file, static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1, static_cast<int>(before.size() - line_begin) + 1};
}

std::string shell_line(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  std::string_view line = text.substr(begin, text.find('\n', before.size()) - begin);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return std::string(line);
}

ShellScript read_shell(std::string_view text, const std::string& file) {
  if (text.size() > kMostShellBytes) throw InputError(Diagnostic{{file, 0, 0}, "too large for a script", {}, {}});
  const auto binary = std::find_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 9; });
  if (binary != text.end()) {
    const auto at = static_cast<std::size_t>(binary - text.begin());
    throw InputError(Diagnostic{shell_location(text, at, file), "a control character: this is no script", {}, {}});
  }
  return Commands(text, file).read();
}

}  // namespace trillion
