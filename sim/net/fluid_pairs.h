// Levels of links whose bundles use one or two of them, which is most of what is there: out of one NIC, into another.
//
// There a bundle rises as long as its other link has not been filled, so links alone say how they fill. They do so in an order that
// hardly changes from one end to the next, and in the right order one sum a link is all,
//
//   level = (capacity - what goes at the levels of links before) / weight of what rises still
//
// The order is right if levels do not fall along it. A link that comes out below the one before it is put before it; one that comes out
// above what the next one had is kept for later. Links of one level are filled as if at once: as FluidRun does, and for its reason.
//
// What bundles of other parts take of a link is known before (net/fluid_parts.h), and goes off its capacity.
//
// Example: links of 10 and 6 with one flow over both and one more on each. The second is filled at 3, then the first at 10 - 3 = 7.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "sim/net/fluid_bundles.h"
#include "sim/net/fluid_clocks.h"

namespace trillion {

class FluidPairs {
 public:
  // Both must outlive it.
  FluidPairs(FluidBundles& state, FluidClocks& clocks) : state_(state), clocks_(clocks) {}

  // Everything was bundled anew.
  void reset();
  // The levels of a part were set by someone else.
  void forget(std::uint32_t part) { ordered_[part] = 0; }

  // Sets the levels of a part in which flows ended or by which others pass, of `lowest` and more, and what they hold. False if a link
  // holds back a bundle that has it not in its key, or no order is found: then all must be bundled anew.
  bool fill(std::uint32_t part, double lowest, double now);

 private:
  static constexpr std::uint32_t kPending = std::numeric_limits<std::uint32_t>::max();

  struct Sums {
    double taken = 0, rising = 0;  // what goes at the levels of placed links; weight of what rises
    bool takes = false;            // of what rises, something that another held
  };
  struct GroupSums {
    double before = 0, grouped = 0;  // what goes at lower levels than the present one; weight of what goes at that
  };

  void order(std::uint32_t part);
  void find_room(std::uint32_t link);
  Sums sums(std::uint32_t link) const;
  GroupSums group_sums(std::uint32_t link) const;
  void place_next();
  void place(std::uint32_t link, double level, bool takes);
  void put_before_group();
  void keep_for_later(double level);
  bool hold(std::uint32_t link);

  FluidBundles& state_;
  FluidClocks& clocks_;
  std::vector<std::uint32_t> order_, places_;  // live links, part by part, and where they are in that, or kPending
  std::vector<std::uint8_t> ordered_;          // by part
  std::vector<std::uint8_t> takes_;            // by live link
  std::vector<double> room_, floors_;          // by live link: what other parts leave of it; the highest rate at which they pass

  // While filling: links from `begin_` are filled anew, those before `at_` are; those from `group_` have the present level.
  std::uint32_t begin_ = 0, group_ = 0, at_ = 0, end_ = 0;
  double lowest_ = 0, level_ = 0;
};

}  // namespace trillion
