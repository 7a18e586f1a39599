// Where a command reads and writes: data from `in` to `out`, progress and errors to `err`. Tests pass string streams.
#pragma once

#include <istream>
#include <ostream>
#include <string>

#include "sim/report/text_style.h"

namespace trillion {

struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  TextStyle out_style;
  TextStyle err_style;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  std::string home;  // the repository, which has scenarios/; the current folder where the launcher has not said
};

// Standard output and error of this process. Colour on a terminal without NO_COLOR (https://no-color.org); width from COLUMNS,
// else the terminal's, at most 100; Unicode where the locale's character set is UTF-8.
Streams process_streams();

}  // namespace trillion
