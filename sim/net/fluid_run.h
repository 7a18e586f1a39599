// The state of a fluid problem between two ends, and the step from one to the next: see net/fluid.h.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/net/fluid.h"
#include "sim/net/fluid_bundles.h"

namespace trillion {

class FluidRun {
 public:
  // Both must outlive it. `ends` has an entry per flow.
  FluidRun(const FluidProblem& problem, std::vector<double>& ends);
  void run();

 private:
  static constexpr double kNever = FluidBundles::kNever;

  // While filling: capacity that is left for bundles that rise, and how much they would use per byte per second.
  struct Filling {
    double left = 0, rising = 0;
    double stopped = 0;                              // of `rising`, at the present level
    std::uint32_t bundles = 0, stopped_bundles = 0;  // that rise, and of these
    std::uint32_t visit = 0, place = 0;              // in changed_links_
  };

  void bundle_anew(double reach);
  void rate_changed();
  void collect_changed();
  void visit(std::uint32_t link);
  void find_lowest_of_block(std::size_t block);
  void fill();
  void stop_bundles_of(std::uint32_t link, double level);
  void stop(std::uint32_t bundle, std::uint32_t link, double level);
  void settle(double level);
  bool guesses_held();
  double soonest() const;
  void end_due_flows();
  void end_flows_of(std::uint32_t bundle);

  const FluidProblem& problem_;
  std::vector<double>& ends_;
  FluidBundles state_;
  std::vector<double> next_;                    // by link: when the next flow ends that it holds back
  std::vector<Filling> filling_;                // by link
  std::vector<std::uint32_t> visit_of_bundle_;  // rises if it is `visit_`
  std::size_t keyless_ = 0;                     // live links that are in no open flow's key any more
  std::size_t stopped_since_bundling_ = 0;
  double now_ = 0;

  // Of the current change.
  double lowest_ = 0;  // rates below stay
  std::uint32_t visit_ = 0;
  bool stopped_in_passing_ = false;
  std::vector<std::uint32_t> seeds_, changed_links_, touched_, unguarded_;
  // Levels at which changed_links_ fill, as far as bundles have stopped, and the lowest of every kBlock in a row.
  static constexpr std::size_t kBlock = 64;
  std::vector<double> levels_, lowest_of_block_;
  std::vector<std::size_t> stale_blocks_;
};

}  // namespace trillion
