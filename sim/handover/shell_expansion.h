// Words, quotes and variables of a shell script, character by character. Internal to shell_words, which knows commands.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/handover/shell_words.h"

namespace trillion {

// Words as they are put together: an unquoted expansion may end one and begin the next.
class ShellFields {
 public:
  void open(std::size_t at);  // begins a word, if none is being put together
  void close() { open_ = false; }
  void character(char c, std::size_t at);
  void quoted(const ShellWord& value, std::size_t at);  // as it is
  void split(const ShellWord& value);                   // into words, at blanks
  std::vector<ShellWord> take() { return std::move(words_); }

 private:
  std::vector<ShellWord> words_;
  bool open_ = false;
};

struct ShellVariable {
  bool list = false;
  std::vector<ShellWord> values;  // one, or the elements
  bool empty() const;
};

class ShellReader {
 public:
  ShellReader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  [[noreturn]] void fail(std::size_t at, const std::string& message) const;
  bool done() const { return next_ >= text_.size(); }
  std::size_t place() const { return next_; }
  void go(std::size_t place) { next_ = place; }
  char peek(std::size_t ahead = 0) const { return next_ + ahead < text_.size() ? text_[next_ + ahead] : '\n'; }
  bool starts(std::string_view word) const { return text_.substr(next_, word.size()) == word; }
  std::string_view between(std::size_t begin, std::size_t end) const { return text_.substr(begin, end - begin); }
  std::size_t name_end() const;  // of the name that begins at the reader's place
  void skip_blanks();            // and line ends behind '\'
  void skip_line();

  // One word as written, up to a blank or an operator; what it expands to may be several, or none.
  void word(ShellFields& to) { word(to, 0); }
  // NAME=..., NAME+=... at the reader's place; false if there is none.
  bool assignment();
  // The words of every variable, in the order of first assignment.
  std::vector<ShellWord> assigned() const;

 private:
  void word(ShellFields& to, int depth);
  void piece(ShellFields& to, int depth);
  void double_quoted(ShellFields& to, int depth);
  void expansion(ShellFields& to, bool quoted, int depth);
  void arithmetic(ShellFields& to, std::size_t at);
  void braces(ShellFields& to, std::size_t at, bool quoted, int depth);
  ShellVariable fallback(std::size_t begin, std::size_t end, bool quoted, int depth);
  void put(ShellFields& to, const ShellVariable* variable, std::size_t at, bool quoted);
  void skip_brackets(char open, char close);
  std::vector<ShellWord> list();
  const ShellVariable* find(const std::string& name) const;
  ShellVariable& remember(const std::string& name);

  std::string_view text_;
  const std::string& file_;
  std::size_t next_ = 0;
  std::size_t expanded_ = 0;  // characters that came out of variables
  bool no_split_ = false;     // the value of an assignment is one word
  std::map<std::string, ShellVariable> variables_;
  std::vector<std::string> names_;  // in the order of assignment
};

bool shell_name_start(char c);
bool shell_name(char c);
bool shell_blank(char c);
bool ends_shell_word(char c);

}  // namespace trillion
