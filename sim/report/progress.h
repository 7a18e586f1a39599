// One line that is overwritten while something runs, for people at a terminal; nothing at all elsewhere.
#pragma once

#include <cstddef>
#include <ostream>
#include <string_view>

#include "sim/report/text_style.h"

namespace trillion {

class Progress {
 public:
  // Shows nothing unless `shown` (the stream is a terminal and nobody asked for quiet). `stream` must outlive the Progress.
  Progress(std::ostream& stream, bool shown, const TextStyle& style) : stream_(stream), shown_(shown), style_(style) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // "[3/12] deepseek-v3"
  void update(std::size_t done, std::size_t total, std::string_view label);
  // Removes the line, so that what is printed next starts in column 1.
  void clear();

 private:
  std::ostream& stream_;
  bool shown_;
  bool dirty_ = false;
  TextStyle style_;
};

}  // namespace trillion
