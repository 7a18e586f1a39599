// Max-min fair sharing of links: a pure function from demands to rates.
//
//   flow i     moves at rate r_i (bytes of its own total per second), at most cap_i
//   demand     a_il: bytes on link l per byte of flow i's own total, 0 < a_il <= 1
//   feasible   sum over i of a_il r_i <= C_l on every link l
//   max-min    no rate can grow without making one that is not larger smaller. Equivalently (Bertsekas and Gallager, Data
//              Networks, 2nd ed., section 6.5.2): every flow runs at its cap, or crosses a saturated link on which no flow is faster
//
// Progressive filling, level by level: all rates rise together; at each level either flows reach their cap or links saturate,
// and the flows concerned stop there. What a link has left is C_l - sum over levels of (level x demand that stopped there), never
// subtracted flow by flow. Demands are summed in fixed point, exactly. Hence flows in equal positions get bit-equal rates, the
// order in which flows or links are listed does not change a bit, and neither do links and flows that are not connected to them.
//
// Cost: O(uses + flows log flows + links log links). Example: two flows on a link of 10, one of them capped at 2, get 2 and 8.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trillion {

// A demand coefficient in fixed point (units of 2^-80), so that sums of them are exact in any order.
class Share {
 public:
  constexpr Share() = default;
  // REQUIRES: 0 < coefficient <= 1. What is below 2^-80 counts as 2^-80.
  static Share of(double coefficient);

  double value() const;
  bool zero() const { return units_ == 0; }
  Share& operator+=(Share other) { return units_ += other.units_, *this; }
  Share& operator-=(Share other) { return units_ -= other.units_, *this; }
  friend bool operator==(Share a, Share b) { return a.units_ == b.units_; }

 private:
  __extension__ using Units = unsigned __int128;
  Units units_ = 0;
};

struct MaxMinUse {
  std::uint32_t link = 0;
  Share share;
};

struct MaxMinProblem {
  std::vector<double> capacities;         // per link; positive
  std::vector<double> caps;               // per flow; positive, may be infinite if the flow uses a link
  std::vector<std::uint32_t> uses_begin;  // flow i's uses are uses[uses_begin[i]] .. uses[uses_begin[i + 1]]; flows + 1 entries
  std::vector<MaxMinUse> uses;            // a flow names a link at most once

  void clear();
  void add_link(double capacity) { capacities.push_back(capacity); }
  void add_flow(double cap, std::span<const MaxMinUse> flow_uses);
};

// Keeps its working memory between calls; the answer depends on the problem alone.
class MaxMinSolver {
 public:
  // One rate per flow, valid until the next call.
  std::span<const double> solve(const MaxMinProblem& problem);
  static constexpr std::uint32_t kAtCap = 0xffffffffu;
  // Per flow of the last problem: a saturated link on which no flow is faster, or kAtCap. While a flow has one, what leaves its other
  // links does not change its rate by a bit.
  std::span<const std::uint32_t> bottlenecks() const { return bottlenecks_; }

 private:
  struct Link {
    double left = 0;    // capacity minus what stopped flows take
    double level = 0;   // at which the link saturates if the flows that still rise are not stopped elsewhere; never falls
    Share rising;       // demand of the flows that still rise
    Share stopped_now;  // ... of those that stopped at the current level
  };
  struct Candidate {
    double level;
    std::uint32_t link;
  };

  void prepare(const MaxMinProblem& problem);
  void index_flows_by_link(const MaxMinProblem& problem);
  double lowest_link_level();
  void stop_flow(const MaxMinProblem& problem, std::uint32_t flow, double level);
  void stop_flows_of_saturated_links(const MaxMinProblem& problem, double level);
  void settle_links(double level);

  std::vector<double> rates_;  // negative: still rising
  std::vector<std::uint32_t> bottlenecks_;
  std::vector<Link> links_;
  std::vector<std::uint32_t> link_flows_begin_, link_flows_;
  std::vector<Candidate> candidates_;  // min-heap by level; a level in it may be out of date, then it is too low
  std::vector<std::uint32_t> by_cap_;
  std::vector<std::uint32_t> touched_;
  std::size_t rising_count_ = 0;
};

std::vector<double> max_min_rates(const MaxMinProblem& problem);

}  // namespace trillion
