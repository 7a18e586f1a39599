#include "sim/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>

#include "sim/base/error.h"

namespace trillion {
namespace {

int run(std::vector<std::string> arguments, const Streams& streams) {
  CLI::App app("What a trillion training tokens cost: GPU-hours, dollars and why, from measured parts.", "trillion");
  app.set_version_flag("--version", TRILLION_VERSION);
  try {
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    streams.out << app.help();
  } catch (const CLI::CallForVersion&) {
    streams.out << "trillion " TRILLION_VERSION "\n";
  } catch (const CLI::ParseError& error) {
    throw InputError(error.what());
  }
  return kExitDone;
}

}  // namespace

int run_command_line(std::vector<std::string> arguments, const Streams& streams) {
  try {
    return run(std::move(arguments), streams);
  } catch (const InputError& error) {
    streams.err << error.what() << "\n";
    return kExitBadInput;
  } catch (const std::exception& error) {
    streams.err << "trillion: this is a bug, please report it: " << error.what() << "\n";
    return kExitBug;
  }
}

}  // namespace trillion
