// The program `trillion`. Everything it does is in command_line.cpp, so that tests can call it.
#include <csignal>
#include <string>
#include <vector>

#include "sim/cli/command_line.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);  // `trillion ... | head` ends quietly, also where the parent ignores the signal
  return trillion::run_command_line(std::vector<std::string>(argv + 1, argv + argc), trillion::process_streams());
}
