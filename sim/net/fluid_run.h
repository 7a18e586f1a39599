// The state of a fluid problem between two ends, and the step from one to the next: see net/fluid.h.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/net/fluid.h"
#include "sim/net/fluid_bundles.h"
#include "sim/net/fluid_clocks.h"
#include "sim/net/fluid_pairs.h"
#include "sim/net/fluid_parts.h"

namespace trillion {

class FluidRun {
 public:
  // Both must outlive it. `ends` has an entry per flow.
  FluidRun(const FluidProblem& problem, std::vector<double>& ends);
  void run();

 private:
  static constexpr double kNever = FluidBundles::kNever;

  // Of a changed link, while filling: capacity that is left for bundles that rise, and how much they would use per byte per second.
  struct Filling {
    double left = 0, rising = 0;
    double stopped = 0;                              // of `rising`, at the present level
    std::uint32_t bundles = 0, stopped_bundles = 0;  // that rise, and of these
    bool passing_rise = false;                       // some of them
  };
  // Sums over some of a link's crossings, while collecting.
  struct Taken {
    double taken = 0, used = 0, highest = 0;
    std::uint32_t bundles = 0;
  };
  // Where a live link is among the changed ones.
  struct Visit {
    std::uint32_t change = 0, place = 0;
  };

  void bundle_anew(double reach);
  void rate_changed();
  void leave_out_keyless();
  bool fill_pairs();
  void fill_with(std::uint32_t part);
  void collect_changed();
  void collect(std::uint32_t place);
  Taken collect_passing(const FluidBundles::LiveLink& link);
  Taken collect_crossings(std::uint32_t begin, std::uint32_t end);
  void visit(std::uint32_t link);
  void find_lowest_of_block(std::size_t block);
  bool fill();
  bool stop_bundles_of(std::uint32_t place, double level);
  void settle(double level);
  void end_due_flows();
  void end_flows_of(std::uint32_t bundle);

  std::vector<double>& ends_;
  FluidBundles state_;
  FluidClocks clocks_;
  FluidPairs pairs_;
  FluidParts parts_;
  double now_ = 0;

  // Of the current change.
  double lowest_ = 0;                          // rates below stay
  std::vector<std::uint32_t> ended_;           // bundles of which flows ended
  std::vector<std::uint32_t> ended_of_part_;   // how many
  std::vector<std::uint32_t> seeds_;           // links from which on levels change that FluidPairs does not find
  std::vector<std::uint32_t> parts_of_pairs_;  // that FluidPairs fills
  std::vector<std::uint8_t> filled_;           // by part: it is one of them, or filled otherwise

  // Of what changes outside of these.
  std::uint32_t change_ = 0;
  std::vector<Visit> visits_;           // by live link
  std::uint32_t changed_count_ = 0;     // links, with places in what follows
  std::vector<std::uint32_t> changed_;  // live links
  std::vector<Filling> filling_;
  std::vector<double> levels_;         // at which they fill, as far as bundles have stopped
  std::vector<std::uint32_t> rising_;  // by bundle: 1 or 0
  // Of every kBlock levels in a row: the lowest, and which of them have bundles that stopped at the present level.
  static constexpr std::size_t kBlock = 64;
  std::vector<double> lowest_of_block_;
  std::vector<std::uint64_t> touched_;
  std::vector<std::uint32_t> found_;  // bundles of one link
};

}  // namespace trillion
