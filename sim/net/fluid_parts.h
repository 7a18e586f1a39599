// Which parts of a fluid problem wait for which: a part's bundles may pass links that another part fills, which must know what they
// take before it can. Rails pass the NVLinks of the nodes that they leave; nobody held back by these goes over a NIC.
//
//   depth  0: nobody passes the part's links; else one more than the deepest that does
//
// Where parts pass each other in a circle neither can come first; they are not filled as pairs, nor is what they pass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/net/fluid_bundles.h"

namespace trillion {

class FluidParts {
 public:
  // The bundles must outlive it.
  explicit FluidParts(FluidBundles& state) : state_(state) {}

  // Everything was bundled anew.
  void reset();

  std::uint32_t depth(std::uint32_t part) const { return depths_[part]; }
  // Parts whose links its bundles pass, each once.
  std::span<const std::uint32_t> passed_by(std::uint32_t part) const {
    return {passed_.data() + passed_begin_[part], passed_.data() + passed_begin_[part + 1]};
  }
  // Rows of crossings (FluidBundles::passing) that are its bundles'.
  std::span<const std::uint32_t> rows_of(std::uint32_t part) const {
    return {rows_.data() + rows_begin_[part], rows_.data() + rows_begin_[part + 1]};
  }
  // Rates of its bundles have changed.
  void changed(std::uint32_t part) {
    for (const std::uint32_t row : rows_of(part)) state_.passing[row].known = false;
  }

 private:
  void list_rows();
  void list_passed();
  void find_depths();

  FluidBundles& state_;
  std::vector<std::uint32_t> rows_begin_, rows_;      // by part
  std::vector<std::uint32_t> passed_begin_, passed_;  // by part
  std::vector<std::uint32_t> depths_, waits_, ready_;
};

}  // namespace trillion
