#include "sim/handover/shell_expansion.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "sim/handover/shell_arithmetic.h"

namespace trillion {
namespace {

constexpr int kDeepest = 24;                     // ${A:-${B:-...}} and quotes within them
constexpr std::size_t kMostExpanded = 8u << 20;  // characters in all

void append(ShellWord& to, const ShellWord& next) {
  to.text += next.text;
  to.at.insert(to.at.end(), next.at.begin(), next.at.end());
}

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

}  // namespace

bool shell_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool shell_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool shell_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool ends_shell_word(char c) { return shell_blank(c) || is_one_of(c, "\n;|&<>()"); }

void ShellFields::open(std::size_t at) {
  if (open_) return;
  words_.push_back({});
  words_.back().begin = static_cast<std::uint32_t>(at);
  open_ = true;
}

void ShellFields::character(char c, std::size_t at) {
  open(at);
  words_.back().text.push_back(c);
  words_.back().at.push_back(static_cast<std::uint32_t>(at));
}

void ShellFields::quoted(const ShellWord& value, std::size_t at) {
  open(at);
  append(words_.back(), value);
}

void ShellFields::split(const ShellWord& value) {
  for (std::size_t i = 0; i < value.text.size(); ++i) {
    if (shell_blank(value.text[i]) || value.text[i] == '\n') {
      close();
    } else {
      character(value.text[i], value.at[i]);
    }
  }
}

bool ShellVariable::empty() const {
  return std::all_of(values.begin(), values.end(), [](const ShellWord& w) { return w.text.empty(); });
}

void ShellReader::fail(std::size_t at, const std::string& message) const {
  throw InputError(Diagnostic{shell_location(text_, at, file_), message, shell_line(text_, at), {}});
}

std::size_t ShellReader::name_end() const {
  std::size_t end = next_;
  while (end < text_.size() && shell_name(text_[end])) ++end;
  return end;
}

void ShellReader::skip_blanks() {
  while (!done()) {
    if (shell_blank(text_[next_])) {
      ++next_;
    } else if (starts("\\\n")) {
      next_ += 2;
    } else if (starts("\\\r\n")) {
      next_ += 3;
    } else {
      break;
    }
  }
}

void ShellReader::skip_line() { next_ = std::min(text_.find('\n', next_), text_.size()); }

const ShellVariable* ShellReader::find(const std::string& name) const {
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &found->second;
}

ShellVariable& ShellReader::remember(const std::string& name) {
  if (!variables_.contains(name)) names_.push_back(name);
  return variables_[name];
}

std::vector<ShellWord> ShellReader::assigned() const {
  std::vector<ShellWord> words;
  for (const std::string& name : names_) {
    for (const ShellWord& value : variables_.at(name).values) {
      ShellFields fields;
      fields.split(value);
      for (ShellWord& word : fields.take()) words.push_back(std::move(word));
    }
  }
  return words;
}

bool ShellReader::assignment() {
  if (!shell_name_start(peek())) return false;
  const std::size_t end = name_end();
  const bool more = end < text_.size() && text_[end] == '+';
  const std::size_t equals = end + (more ? 1 : 0);
  if (equals >= text_.size() || text_[equals] != '=') return false;
  const std::string name(between(next_, end));
  next_ = equals + 1;
  ShellVariable value;
  if (!done() && peek() == '(') {
    value = {true, list()};
  } else {
    ShellFields fields;
    fields.open(next_);
    no_split_ = true;
    word(fields, 0);
    no_split_ = false;
    value.values = fields.take();
  }
  ShellVariable& variable = remember(name);
  if (!more || variable.values.empty()) {
    variable = std::move(value);
  } else if (variable.list || value.list) {
    variable.list = true;
    for (ShellWord& w : value.values) variable.values.push_back(std::move(w));
  } else {
    append(variable.values.front(), value.values.front());
  }
  return true;
}

std::vector<ShellWord> ShellReader::list() {
  const std::size_t begin = next_++;
  ShellFields fields;
  while (true) {
    fields.close();
    skip_blanks();
    if (done()) fail(begin, "this list is not closed");
    const char c = text_[next_];
    if (c == ')') break;
    if (c == '\n') {
      ++next_;
    } else if (c == '#') {
      skip_line();
    } else if (ends_shell_word(c)) {
      fail(next_, std::string("'") + c + "' within a list");
    } else {
      word(fields, 0);
    }
  }
  ++next_;
  return fields.take();
}

void ShellReader::word(ShellFields& to, int depth) {
  if (depth > kDeepest) fail(next_, "nested too deeply");
  while (!done() && !ends_shell_word(text_[next_])) piece(to, depth);
}

void ShellReader::piece(ShellFields& to, int depth) {
  const std::size_t at = next_;
  const char c = text_[next_];
  if (c == '\'') {
    to.open(at);
    for (++next_; !done() && text_[next_] != '\''; ++next_) to.character(text_[next_], next_);
    if (done()) fail(at, "this quote is not closed");
    ++next_;
  } else if (c == '"') {
    double_quoted(to, depth);
  } else if (c == '\\') {
    ++next_;
    if (starts("\r\n")) {
      next_ += 2;
    } else if (starts("\n")) {
      ++next_;
    } else if (!done()) {
      to.character(text_[next_], next_);
      ++next_;
    }
  } else if (c == '$' || c == '`') {
    expansion(to, no_split_, depth);
  } else {
    to.character(c, next_++);
  }
}

void ShellReader::double_quoted(ShellFields& to, int depth) {
  const std::size_t at = next_++;
  const std::string_view inside = between(next_, std::min(text_.find('"', next_), text_.size()));
  // "${LIST[@]}" of an empty list is no word, and neither is "$@".
  if (inside != "$@" && (!inside.starts_with("${") || !inside.ends_with("[@]}"))) to.open(at);
  while (!done() && text_[next_] != '"') {
    const char c = text_[next_];
    if (c == '\\' && next_ + 1 < text_.size() && is_one_of(text_[next_ + 1], "\"\\$`\n")) {
      if (text_[next_ + 1] != '\n') to.character(text_[next_ + 1], next_ + 1);
      next_ += 2;
    } else if (c == '$' || c == '`') {
      expansion(to, true, depth);
    } else {
      to.character(c, next_++);
    }
  }
  if (done()) fail(at, "this quote is not closed");
  ++next_;
}

// From the bracket at the reader's place to behind the one that closes it.
void ShellReader::skip_brackets(char open, char close) {
  const std::size_t begin = next_;
  int depth = 0;
  for (; !done(); ++next_) {
    if (text_[next_] == open) ++depth;
    if (text_[next_] == close && --depth == 0) {
      ++next_;
      return;
    }
  }
  fail(begin, std::string("this '") + open + "' is not closed");
}

void ShellReader::put(ShellFields& to, const ShellVariable* variable, std::size_t at, bool quoted) {
  if (variable == nullptr) return to.character(kUnknown, at);
  bool first = true;
  for (const ShellWord& value : variable->values) {
    expanded_ += value.text.size() + 1;
    if (expanded_ > kMostExpanded) fail(at, "this expands to more text than any script needs");
    if (!first && no_split_) to.character(' ', at);
    if (!first && !no_split_) to.close();
    first = false;
    if (quoted) {
      to.quoted(value, at);
    } else {
      to.split(value);
    }
  }
}

void ShellReader::expansion(ShellFields& to, bool quoted, int depth) {
  const std::size_t at = next_++;
  if (text_[at] == '`') {
    next_ = text_.find('`', next_);
    if (next_ >= text_.size()) fail(at, "this quote is not closed");
    ++next_;
    to.character(kUnknown, at);
  } else if (starts("((")) {
    arithmetic(to, at);
  } else if (starts("(")) {
    skip_brackets('(', ')');
    to.character(kUnknown, at);
  } else if (starts("{")) {
    braces(to, at, quoted, depth);
  } else if (shell_name_start(peek())) {
    const std::string name(between(next_, name_end()));
    next_ += name.size();
    put(to, find(name), at, quoted);
  } else if (!done() && is_one_of(text_[next_], "@*")) {
    ++next_;  // run without arguments
  } else if (!done() && is_one_of(text_[next_], "#?$!-0123456789")) {
    ++next_;
    to.character(kUnknown, at);
  } else {
    to.character('$', at);
  }
}

void ShellReader::arithmetic(ShellFields& to, std::size_t at) {
  const std::size_t begin = next_;
  skip_brackets('(', ')');
  std::string_view inside = between(begin + 1, next_ - 1);  // "(...)"
  std::map<std::string, std::string, std::less<>> values;
  for (const auto& [name, variable] : variables_) {
    if (!variable.values.empty()) values[name] = variable.values.front().text;
  }
  const auto result = shell_arithmetic(inside, values);
  if (!result) return to.character(kUnknown, at);
  for (const char digit : std::to_string(*result)) to.character(digit, at);
}

// ${NAME}, ${NAME:-word} and their like; others are what only a run knows.
void ShellReader::braces(ShellFields& to, std::size_t at, bool quoted, int depth) {
  if (depth >= kDeepest) fail(at, "nested too deeply");
  const std::size_t open = next_;
  skip_brackets('{', '}');
  const std::size_t after = next_;
  const std::string_view inside = between(open + 1, after - 1);
  const std::size_t length =
      static_cast<std::size_t>(std::find_if_not(inside.begin(), inside.end(), [](char c) { return shell_name(c); }) - inside.begin());
  const std::string name(inside.substr(0, length));
  std::string_view rest = inside.substr(length);
  if (name.empty()) return to.character(kUnknown, at);
  const ShellVariable* variable = find(name);
  if (rest.empty() || rest == "[@]" || rest == "[*]") return put(to, variable, at, quoted);
  const bool or_empty = rest.front() == ':';
  if (or_empty) rest.remove_prefix(1);
  if (rest.empty() || !is_one_of(rest.front(), "-=+")) return to.character(kUnknown, at);
  const bool set = variable != nullptr && (!or_empty || !variable->empty());
  const bool other = rest.front() == '+';
  if (other ? !set : set) {
    if (set) put(to, variable, at, quoted);
    return;
  }
  ShellVariable value = fallback(after - rest.size(), after - 1, quoted, depth + 1);
  next_ = after;
  put(to, &value, at, quoted);
  if (rest.front() == '=') remember(name) = std::move(value);
}

// The word within the braces, read in its place.
ShellVariable ShellReader::fallback(std::size_t begin, std::size_t end, bool quoted, int depth) {
  const std::string_view whole = text_;
  text_ = whole.substr(0, end);
  next_ = begin;
  ShellFields fields;
  fields.open(begin);
  while (!done()) {
    const char c = text_[next_];
    if (c == '$' || c == '`') {
      expansion(fields, true, depth);
    } else if (ends_shell_word(c) || (quoted && c != '"' && c != '\\')) {
      fields.character(c, next_++);
    } else {
      piece(fields, depth);
    }
  }
  text_ = whole;
  return {false, fields.take()};
}

}  // namespace trillion
