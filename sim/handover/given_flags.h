// Flags as somebody wrote them down for a framework, each with its place: in a shell fragment, in a script that launches a program, or in
// a YAML file of --yaml-cfg's kind.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/base/error.h"

namespace trillion {

// A word and where it was written; `unknown`: a variable or a command's output stands in it, which the file does not settle.
struct GivenWord {
  std::string text;
  SourceLocation where;
  std::string line;  // of the file, for messages
  bool unknown = false;
};

struct GivenFlag {
  GivenWord name;                 // "--bf16"
  std::vector<GivenWord> values;  // up to the next flag
  bool conditional = false;       // inside if, a loop or a function: the file does not say whether it holds
};

struct GivenFlags {
  std::string file;
  std::vector<GivenFlag> flags;  // in their order; of two equal ones the later holds
};

// Flags of the command that runs a Python program (what stands behind the name of the program; torchrun's and srun's own are not
// among them), or of a bare list of flags, or else of the variables of a fragment that runs nothing.
// Throws InputError: see shell_words.h; no flags at all; several commands that have some.
GivenFlags flags_of_script(std::string_view text, const std::string& file);

// A YAML or JSON file: nested mappings are looked through, `tensor_model_parallel_size: 8`, `bf16: true` and Megatron's own
// "--bf16: true" are flags; null and false ones are not.
GivenFlags flags_of_yaml(const std::string& text, const std::string& file);

// By the file's ending: .yaml, .yml and .json are YAML, everything else is a script.
GivenFlags flags_of_file(const std::string& text, const std::string& file);

}  // namespace trillion
