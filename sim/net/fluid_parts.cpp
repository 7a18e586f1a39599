#include "sim/net/fluid_parts.h"

#include <algorithm>

namespace trillion {

void FluidParts::reset() {
  list_rows();
  list_passed();
  find_depths();
}

void FluidParts::list_rows() {
  const auto pusher = [&](const FluidBundles::Passing& row) { return state_.part_of(state_.crossings[row.first].bundle); };
  rows_begin_.assign(state_.parts.size() + 1, 0);
  for (const FluidBundles::Passing& row : state_.passing) ++rows_begin_[pusher(row) + 1];
  for (std::size_t p = 0; p < state_.parts.size(); ++p) rows_begin_[p + 1] += rows_begin_[p];
  rows_.resize(state_.passing.size());
  std::vector<std::uint32_t> at(rows_begin_.begin(), rows_begin_.end() - 1);
  for (std::uint32_t row = 0; row < rows_.size(); ++row) rows_[at[pusher(state_.passing[row])]++] = row;
}

void FluidParts::list_passed() {
  passed_.clear();
  passed_begin_.assign(1, 0);
  for (std::uint32_t p = 0; p < state_.parts.size(); ++p) {
    const std::size_t begin = passed_.size();
    for (const std::uint32_t row : rows_of(p)) {
      const std::uint32_t other = state_.live[state_.passing[row].link].part;
      // Links are numbered part by part, and rows link by link.
      if (other != p && (passed_.size() == begin || passed_.back() != other)) passed_.push_back(other);
    }
    passed_begin_.push_back(static_cast<std::uint32_t>(passed_.size()));
  }
}

void FluidParts::find_depths() {
  const std::size_t parts = state_.parts.size();
  depths_.assign(parts, 0);
  waits_.assign(parts, 0);
  for (const std::uint32_t p : passed_) ++waits_[p];
  ready_.clear();
  for (std::uint32_t p = 0; p < parts; ++p) {
    if (waits_[p] == 0) ready_.push_back(p);
  }
  for (std::size_t i = 0; i < ready_.size(); ++i) {
    for (const std::uint32_t p : passed_by(ready_[i])) {
      depths_[p] = std::max(depths_[p], depths_[ready_[i]] + 1);
      if (--waits_[p] == 0) ready_.push_back(p);
    }
  }
  for (std::uint32_t p = 0; p < parts; ++p) {
    if (waits_[p] > 0) state_.parts[p].pairs = false;
  }
}

}  // namespace trillion
