// The words on the command line: which verb, which options, and how whatever goes wrong becomes an exit code.
//
//   0  done
//   1  our bug (InternalError, or an exception that nobody foresaw)
//   2  bad input: an unknown option or verb, an InputError, a file that cannot be read or written
//   3  cannot run as asked: the plan is infeasible, or a validation is outside its tolerance
#pragma once

#include <string>
#include <vector>

#include "sim/cli/streams.h"

namespace trillion {

inline constexpr int kExitDone = 0;
inline constexpr int kExitBug = 1;
inline constexpr int kExitBadInput = 2;
inline constexpr int kExitCannotRun = 3;

// `arguments` without the program's name. Throws nothing.
int run_command_line(std::vector<std::string> arguments, const Streams& streams);

}  // namespace trillion
