// A shell script's words without running it: enough of POSIX sh and bash to read the command lines and variables that training
// scripts are made of. Every character knows where in the file it was written, also after it has come through variables.
//
//   read_shell("TP=8\nARGS=(--tensor-model-parallel-size ${TP} --bf16)\ntorchrun pretrain_gpt.py \"${ARGS[@]}\"", "run.sh")
//       .commands[0].words      // torchrun pretrain_gpt.py --tensor-model-parallel-size 8 --bf16
//
// Understood: comments, quotes, '\' at the end of a line, NAME=VALUE, NAME+=VALUE, arrays, export and declare, $NAME, ${NAME},
// ${NAME:-default}, ${NAME:=default}, ${NAME:+other}, ${NAME[@]}, $((arithmetic)), redirections, here-documents (skipped), and which
// words stand inside if, case, loops and functions. Not run: commands, $(...), `...`; what they or the environment would say is
// kUnknown in the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/base/error.h"

namespace trillion {

inline constexpr char kUnknown = '\0';  // stands for what only a run would know
inline constexpr std::size_t kMostShellBytes = 4u << 20;

// A word after expansion, and the offset in the file at which each of its characters was written.
struct ShellWord {
  std::string text;
  std::vector<std::uint32_t> at;  // parallel to text
  std::uint32_t begin = 0;        // of the word in its command, also of an empty one
  bool known() const { return text.find(kUnknown) == std::string::npos; }
  std::uint32_t where() const { return at.empty() ? begin : at.front(); }
};

struct ShellCommand {
  std::vector<ShellWord> words;
};

struct ShellScript {
  std::vector<ShellCommand> commands;                                // without assignments, in file order
  std::vector<ShellWord> assigned;                                   // the words of every variable, in the order of assignment
  std::vector<std::pair<std::uint32_t, std::uint32_t>> conditional;  // offsets [first, second): runs only if or while something holds
  bool is_conditional(std::uint32_t offset) const;
};

// Throws InputError for an open quote or bracket, for text that is no text, and for what expands without end.
ShellScript read_shell(std::string_view text, const std::string& file);

// Line and column of an offset, and its line as written.
SourceLocation shell_location(std::string_view text, std::size_t offset, const std::string& file);
std::string shell_line(std::string_view text, std::size_t offset);

}  // namespace trillion
