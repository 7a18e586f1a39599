// The tasks whose pace depends on others right now, and how fast they are: those that move bytes over links, and those that share
// a device.
//
// A flow has a shortest duration D and puts b_l bytes on link l, all at one pace: rate r (bytes of its largest b_l per second).
//
//   alone      it takes full = max(D, b_l / C_l over its links), exactly, in picoseconds
//   shared     rates are max-min fair (net/max_min.h) with demands b_l / max b and the cap that `full` implies: two flows with
//              one common link get equal bytes per second there unless something else holds one of them back
//   re-rating  only flows that a change reaches over contended links are solved again: those whose flows at full pace would ask for
//              more than there is. Where a flow ends, nothing changes but for flows whose bottleneck was one of its links. A flow whose
//              rate comes out bit-equal keeps its end, so that what happens elsewhere never moves it
//   device     a flow with a side (task_graph.h) runs at most at `beside` of its full pace while one of the other side runs on one of
//              its devices
//   ending     the caller ends a flow at the time that was last announced for it, never because little remains
//
// Work is counted in picoseconds at full pace. Progress at a fraction of it is a double; the end is rounded up to the next
// picosecond. A flow that ran at full pace from start to end has taken exactly `full`.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/base/sim_time.h"
#include "sim/engine/task_graph.h"
#include "sim/net/max_min.h"

namespace trillion {

class FlowSet {
 public:
  // A flow's new end, to be scheduled in place of its former one.
  struct NewEnd {
    std::uint32_t slot;
    SimTime end;
  };

  // What a flow is on the devices of its members.
  struct Place {
    Side side = Side::none;
    double beside = 1;
    std::vector<std::uint32_t> devices;  // of a rendezvous: one per member; empty without a side
  };

  // A slot holds at most one flow at a time.
  FlowSet(std::vector<double> link_capacities, std::size_t slots, std::size_t devices = 0);

  bool active(std::uint32_t slot) const { return flows_[slot].active; }
  // Slots of the flows of one side on a device.
  std::span<const std::uint32_t> on_device(std::uint32_t device, Side side) const { return devices_[device].flows[side_index(side)]; }

  // `uses` may name a link several times (the bytes add up) and bytes may be 0; without bytes only devices can slow the flow down.
  // REQUIRES: !active(slot); bytes on a link or a side.
  void start(std::uint32_t slot, SimTime shortest, std::span<const LinkUse> uses, const Place& place);
  void start(std::uint32_t slot, SimTime shortest, std::span<const LinkUse> uses) { start(slot, shortest, uses, {}); }
  // REQUIRES: active(slot).
  void end(std::uint32_t slot);

  // Solves the rates of what was touched by start() and end() since the last call, once, and says which flows got another
  // end; in an order that depends on the calls made, not on chance. The span is valid until the next call.
  std::span<const NewEnd> resolve(SimTime now);

 private:
  struct Use {
    std::uint32_t link;
    std::uint32_t position;  // in the link's list
    double bytes;
    Share share;
    std::uint64_t load = 0;  // of the link while the flow runs at full pace, in units of kWhole
  };
  static constexpr std::uint32_t kNoLink = 0xffffffffu;
  struct Flow {
    bool active = false;
    bool progressed = false;  // some of the work was done at some rate that has since changed
    bool listed = false;      // in component_flows_
    SimTime full;             // duration at full pace
    double cap = 0;           // the rate that full pace means, bytes per second; without links 1
    double pace = 1;          // what the devices leave of it
    double rate = 0;
    double remaining = 0;  // picoseconds at full pace, as of `since`
    SimTime since;
    std::uint32_t bottleneck = kNoLink;  // where it is held back
    std::vector<Use> uses;
    Place place;
    double most() const { return cap * pace; }
  };
  struct Crossing {
    std::uint32_t slot;
    std::uint32_t use;  // index into the flow's uses
  };
  struct Link {
    double capacity;
    std::uint64_t load = 0;  // of all its flows at full pace; whole numbers, so that it is the same whatever came and went before
    bool contended = false;  // as of the last resolve(): it may hold a flow back
    bool touched = false;
    std::uint32_t local = kNotInProblem;  // number in the problem
    std::vector<Crossing> flows;
  };
  struct Device {
    std::array<std::vector<std::uint32_t>, 2> flows;  // slots, by side
    bool touched = false;
  };
  static constexpr std::uint64_t kWhole = std::uint64_t{1} << 40;
  static constexpr std::uint32_t kNotInProblem = 0xffffffffu;
  static std::size_t side_index(Side side) { return side == Side::kernel ? 0 : 1; }

  void place_on_devices(std::uint32_t slot);
  void take_off_devices(std::uint32_t slot);
  void touch_device(std::uint32_t device);
  // Paces of the flows on the devices that start() and end() changed; whom they concern is touched.
  void pace_flows();
  void collect_uses(Flow& flow, std::span<const LinkUse> uses);
  void touch_link(std::uint32_t link);
  void touch_flow(std::uint32_t slot);
  // Which of the touched links are contended; whom they have held back is touched.
  void find_contended_links();
  // The touched flows and all that they reach over contended links, which make up the problem.
  void collect_component();
  std::span<const double> solve_component();
  void set_rate(std::uint32_t slot, double rate, SimTime now);

  std::vector<Link> links_;
  std::vector<Flow> flows_;
  std::vector<Device> devices_;
  std::vector<std::uint32_t> touched_links_, touched_devices_;
  std::vector<std::uint32_t> component_links_, component_flows_;  // the links in the order of the problem
  MaxMinProblem problem_;
  MaxMinSolver solver_;
  std::vector<MaxMinUse> problem_uses_;
  std::vector<NewEnd> new_ends_;
};

}  // namespace trillion
