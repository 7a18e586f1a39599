// The state of a fluid problem between two ends, and the step from one to the next: see net/fluid.h.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "sim/net/fluid.h"

namespace trillion {

class FluidRun {
 public:
  // Both must outlive it. `ends` has an entry per flow.
  FluidRun(const FluidProblem& problem, std::vector<double>& ends);
  void run();

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  // A mark on a link's clock. Out of date when the path has been attached again since.
  struct Due {
    double mark;
    std::uint32_t path, attachment;
  };
  struct Crossing {
    std::uint32_t path, use;  // use: index into uses_
  };
  struct Link {
    double capacity = 0;
    double load = 0;   // bytes per second; kept while it holds nothing back
    double level = 0;  // pace of what it holds back; 0: it holds nothing back
    double clock = 0, since = 0;
    std::vector<Crossing> paths;
    std::vector<Due> due;  // min-heap by mark
    std::uint32_t visit = 0;
    bool fills = false;                        // one of the changed links
    double left = 0, rising = 0, stopped = 0;  // while filling: capacity, demand that rises, and what changes
  };
  struct Use {
    std::uint32_t link, position;  // in the link's list
    double share;
  };
  struct Path {
    std::uint32_t next_flow = 0, end_flow = 0;  // into by_bytes_
    double rate = 0;
    double moved = 0;     // bytes of each flow when it was attached
    double attached = 0;  // the link's clock then
    std::uint32_t held_by = kNone;
    std::uint32_t attachment = 0, visit = 0;
    bool rises = false;  // while filling
    double left() const { return static_cast<double>(end_flow - next_flow); }
  };

  std::span<Use> uses(std::uint32_t path) {
    return {uses_.data() + problem_.uses_begin[path], problem_.uses_begin[path + 1] - problem_.uses_begin[path]};
  }
  double bytes_of_next(const Path& path) const { return problem_.flows[by_bytes_[path.next_flow]].bytes; }

  void order_flows();
  double next_end(std::uint32_t link);
  void end_due_flows(std::uint32_t link);
  void leave(std::uint32_t path);
  void collect_changed(double rate);
  void visit_link(std::uint32_t link);
  void prepare_links();
  void fill();
  void stop_paths_of(std::uint32_t link, double level);
  bool fills_another_link();
  double load_of(const Link& link) const;
  void attach();

  const FluidProblem& problem_;
  std::vector<double>& ends_;
  std::vector<std::uint32_t> by_bytes_;  // flows, by path and then bytes
  std::vector<Link> links_;
  std::vector<Path> paths_;
  std::vector<Use> uses_;
  std::vector<double> next_;  // per link: when the next flow that it holds back ends
  std::size_t open_ = 0;      // paths that have flows left
  double now_ = 0;

  // Of the current change.
  std::uint32_t visit_ = 0;
  std::vector<std::uint32_t> seeds_, changed_links_, changed_paths_, touched_, boundary_;
  std::vector<double> old_rates_;
  std::vector<std::uint32_t> old_holders_;
  std::vector<std::pair<double, std::uint32_t>> levels_;  // min-heap of (level, link); a level in it may be too low
};

}  // namespace trillion
