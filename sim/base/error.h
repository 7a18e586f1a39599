// How things go wrong. Three kinds, never mixed:
//   InputError     the user's mistake: thrown with every diagnostic found, shown with a caret, exit code 2
//   Infeasible     a plan that cannot run: a *value* (spec/infeasible.h), exit code 3
//   InternalError  our bug: thrown by CHECK, turned into exit code 1 by main() alone
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trillion {

// A place in an input file. line and column count from 1; 0 means "no such place" (a --set override, say).
struct SourceLocation {
  std::string file;
  int line = 0;
  int column = 0;
};

// One thing that is wrong in the input.
struct Diagnostic {
  SourceLocation where;
  std::string message;      // what was found and what is accepted: "unknown key 'hiden_size'"
  std::string source_line;  // the offending line as the user wrote it; empty when there is none
  std::string hint;         // nearest key or what would help; may be empty
};

// "file:line:column: error: message", the line, a caret below the column, and the hint.
std::string to_text(const Diagnostic& diagnostic);

class InputError : public std::runtime_error {
 public:
  explicit InputError(Diagnostic diagnostic) : InputError(std::vector<Diagnostic>{std::move(diagnostic)}) {}
  explicit InputError(std::vector<Diagnostic> diagnostics);
  // A mistake without a place in a file.
  explicit InputError(std::string message) : InputError(Diagnostic{{}, std::move(message), {}, {}}) {}

  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  std::vector<Diagnostic> diagnostics_;
};

class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void throw_internal_error(const char* file, int line, const char* condition, std::string_view message);

}  // namespace trillion

// Always on, also in release: a wrong answer costs more than a branch. CHECK(x > 0) or CHECK(x > 0, "why").
#define CHECK(condition, ...)                          \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::trillion::throw_internal_error(__FILE__, __LINE__, #condition, std::string_view{__VA_ARGS__}))
