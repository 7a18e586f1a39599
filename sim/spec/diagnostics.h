// Mistakes in files, gathered so that a user sees all of them at once.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "sim/base/error.h"

namespace trillion {

// Everything found wrong so far, over all files of one question.
class Diagnostics {
 public:
  void add(Diagnostic diagnostic) { all_.push_back(std::move(diagnostic)); }
  // What another file's reading threw, so that two broken files are reported together.
  void add(const InputError& error) { all_.insert(all_.end(), error.diagnostics().begin(), error.diagnostics().end()); }
  bool empty() const { return all_.empty(); }
  std::size_t size() const { return all_.size(); }
  // In file order, files in the order they were first complained about.
  void throw_if_any() const;

 private:
  std::vector<Diagnostic> all_;
};

}  // namespace trillion
