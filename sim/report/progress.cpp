#include "sim/report/progress.h"

#include <string>

namespace trillion {

void Progress::update(std::size_t done, std::size_t total, std::string_view label) {
  if (!shown_) return;
  std::string line = "[" + std::to_string(done) + "/" + std::to_string(total) + "] ";
  line.append(label);
  stream_ << "\r\x1b[K" << shortened(line, style_.columns - 1, style_) << std::flush;
  dirty_ = true;
}

void Progress::clear() {
  if (!dirty_) return;
  stream_ << "\r\x1b[K" << std::flush;
  dirty_ = false;
}

}  // namespace trillion
