#include "sim/spec/diagnostics.h"

#include <algorithm>
#include <string>
#include <tuple>

namespace trillion {

void Diagnostics::throw_if_any() const {
  if (all_.empty()) return;
  std::vector<std::string> files;
  const auto rank = [&](const Diagnostic& d) { return std::find(files.begin(), files.end(), d.where.file) - files.begin(); };
  for (const Diagnostic& d : all_) {
    if (rank(d) == static_cast<std::ptrdiff_t>(files.size())) files.push_back(d.where.file);
  }
  std::vector<Diagnostic> sorted = all_;
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Diagnostic& a, const Diagnostic& b) {
    return std::tuple(rank(a), a.where.line, a.where.column) < std::tuple(rank(b), b.where.line, b.where.column);
  });
  throw InputError(std::move(sorted));
}

}  // namespace trillion
