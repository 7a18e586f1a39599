#include "sim/engine/flow_set.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "sim/base/error.h"

namespace trillion {

namespace {

SimTime rounded_up(double picoseconds) {
  const double ticks = std::ceil(picoseconds);
  CHECK(ticks < 9.2e18, "a flow's end lies outside SimTime's range");
  return SimTime{static_cast<std::int64_t>(ticks)};
}

}  // namespace

FlowSet::FlowSet(std::vector<double> link_capacities, std::size_t slots, std::size_t devices) : flows_(slots), devices_(devices) {
  links_.reserve(link_capacities.size());
  for (const double capacity : link_capacities) links_.push_back({capacity, 0, false, false, kNotInProblem, {}});
}

void FlowSet::start(std::uint32_t slot, SimTime shortest, std::span<const LinkUse> uses, const Place& place) {
  Flow& flow = flows_[slot];
  CHECK(!flow.active, "the slot already holds a flow");
  collect_uses(flow, uses);
  double total = 0;
  for (const Use& use : flow.uses) total = std::max(total, use.bytes);
  CHECK(total > 0 || place.side != Side::none, "a flow needs bytes on a link, or a device");

  flow.full = shortest;
  flow.cap = total == 0 ? 1 : shortest > SimTime{0} ? total / shortest.seconds().value() : std::numeric_limits<double>::infinity();
  for (std::uint32_t u = 0; u < flow.uses.size(); ++u) {
    Use& use = flow.uses[u];
    Link& link = links_[use.link];
    use.share = Share::of(use.bytes / total);
    use.position = static_cast<std::uint32_t>(link.flows.size());
    flow.full = std::max(flow.full, SimTime::from(Bytes{use.bytes} / BytesPerSecond{link.capacity}));
    // By the very expression that the solver uses, so that a flow alone on its links comes out at its cap, bit for bit.
    flow.cap = std::min(flow.cap, link.capacity / use.share.value());
    link.flows.push_back({slot, u});
  }
  for (Use& use : flow.uses) {
    Link& link = links_[use.link];
    use.load = static_cast<std::uint64_t>(std::ceil(flow.cap * use.share.value() / link.capacity * static_cast<double>(kWhole)));
    link.load += use.load;
    touch_link(use.link);
  }
  touch_flow(slot);
  flow.active = true;
  flow.progressed = false;
  flow.rate = 0;
  flow.bottleneck = kNoLink;
  flow.pace = 1;
  flow.remaining = static_cast<double>(flow.full.picoseconds());
  flow.place = place;
  place_on_devices(slot);
}

void FlowSet::place_on_devices(std::uint32_t slot) {
  const Place& place = flows_[slot].place;
  for (const std::uint32_t device : place.devices) {
    devices_[device].flows[side_index(place.side)].push_back(slot);
    touch_device(device);
  }
}

void FlowSet::take_off_devices(std::uint32_t slot) {
  const Place& place = flows_[slot].place;
  for (const std::uint32_t device : place.devices) {
    std::vector<std::uint32_t>& flows = devices_[device].flows[side_index(place.side)];
    flows.erase(std::find(flows.begin(), flows.end(), slot));
    touch_device(device);
  }
}

void FlowSet::touch_device(std::uint32_t device) {
  if (std::exchange(devices_[device].touched, true)) return;
  touched_devices_.push_back(device);
}

void FlowSet::pace_flows() {
  const auto slowed = [&](const Flow& flow) {
    const std::size_t other = 1 - side_index(flow.place.side);
    return std::any_of(flow.place.devices.begin(), flow.place.devices.end(),
                       [&](std::uint32_t device) { return !devices_[device].flows[other].empty(); });
  };
  for (const std::uint32_t d : touched_devices_) {
    devices_[d].touched = false;
    for (const std::vector<std::uint32_t>& side : devices_[d].flows) {
      for (const std::uint32_t slot : side) {
        Flow& flow = flows_[slot];
        const double pace = flow.place.beside < 1 && slowed(flow) ? flow.place.beside : 1;
        if (pace == flow.pace && flow.rate > 0) continue;
        flow.pace = pace;
        touch_flow(slot);
      }
    }
  }
  touched_devices_.clear();
}

// One use per link, zeros left out. Sorted by bytes too, so that the sum does not depend on the order of a rendezvous' members.
void FlowSet::collect_uses(Flow& flow, std::span<const LinkUse> uses) {
  flow.uses.clear();
  for (const LinkUse& use : uses) {
    if (use.bytes.value() > 0) flow.uses.push_back({use.link.value, 0, use.bytes.value(), {}, 0});
  }
  std::sort(flow.uses.begin(), flow.uses.end(),
            [](const Use& a, const Use& b) { return std::tie(a.link, a.bytes) < std::tie(b.link, b.bytes); });
  std::size_t kept = 0;
  for (const Use& use : flow.uses) {
    if (kept > 0 && flow.uses[kept - 1].link == use.link) {
      flow.uses[kept - 1].bytes += use.bytes;
    } else {
      flow.uses[kept++] = use;
    }
  }
  flow.uses.resize(kept);
}

void FlowSet::end(std::uint32_t slot) {
  Flow& flow = flows_[slot];
  CHECK(flow.active, "the slot holds no flow");
  flow.active = false;
  take_off_devices(slot);
  for (const Use& use : flow.uses) {
    Link& link = links_[use.link];
    const Crossing last = link.flows.back();
    link.flows[use.position] = last;
    flows_[last.slot].uses[last.use].position = use.position;
    link.flows.pop_back();
    link.load -= use.load;
    touch_link(use.link);
  }
}

void FlowSet::touch_link(std::uint32_t link) {
  if (!std::exchange(links_[link].touched, true)) touched_links_.push_back(link);
}

void FlowSet::touch_flow(std::uint32_t slot) {
  if (!std::exchange(flows_[slot].listed, true)) component_flows_.push_back(slot);
}

std::span<const FlowSet::NewEnd> FlowSet::resolve(SimTime now) {
  new_ends_.clear();
  pace_flows();
  find_contended_links();
  collect_component();
  if (component_links_.empty()) {
    for (const std::uint32_t slot : component_flows_) {
      flows_[slot].bottleneck = kNoLink;
      set_rate(slot, flows_[slot].most(), now);
    }
  } else {
    const std::span<const double> rates = solve_component();
    for (std::size_t i = 0; i < rates.size(); ++i) {
      const std::uint32_t bottleneck = solver_.bottlenecks()[i];
      flows_[component_flows_[i]].bottleneck = bottleneck == MaxMinSolver::kAtCap ? kNoLink : component_links_[bottleneck];
      set_rate(component_flows_[i], rates[i], now);
    }
  }
  for (const std::uint32_t link : component_links_) links_[link].local = kNotInProblem;
  for (const std::uint32_t slot : component_flows_) flows_[slot].listed = false;
  component_links_.clear();
  component_flows_.clear();
  return new_ends_;
}

void FlowSet::find_contended_links() {
  // Well below the capacity, so that rounding cannot decide; what lies between is solved.
  constexpr std::uint64_t kSurely = kWhole - (kWhole >> 30);
  for (const std::uint32_t l : touched_links_) {
    Link& link = links_[l];
    link.touched = false;
    const bool was_contended = link.contended;
    link.contended = link.flows.size() > 1 && link.load > kSurely;  // a flow alone knows its links
    if (!was_contended) continue;
    for (const Crossing& crossing : link.flows) {
      if (flows_[crossing.slot].bottleneck == l) touch_flow(crossing.slot);
    }
  }
  touched_links_.clear();
}

void FlowSet::collect_component() {
  for (std::size_t i = 0; i < component_flows_.size(); ++i) {
    for (const Use& use : flows_[component_flows_[i]].uses) {
      Link& link = links_[use.link];
      if (!link.contended || link.local != kNotInProblem) continue;
      link.local = static_cast<std::uint32_t>(component_links_.size());
      component_links_.push_back(use.link);
      for (const Crossing& crossing : link.flows) touch_flow(crossing.slot);
    }
  }
}

std::span<const double> FlowSet::solve_component() {
  problem_.clear();
  for (const std::uint32_t link : component_links_) problem_.add_link(links_[link].capacity);
  for (const std::uint32_t slot : component_flows_) {
    problem_uses_.clear();
    for (const Use& use : flows_[slot].uses) {
      if (const std::uint32_t local = links_[use.link].local; local != kNotInProblem) problem_uses_.push_back({local, use.share});
    }
    problem_.add_flow(flows_[slot].most(), problem_uses_);
  }
  return solver_.solve(problem_);
}

void FlowSet::set_rate(std::uint32_t slot, double rate, SimTime now) {
  Flow& flow = flows_[slot];
  if (rate == flow.rate) return;
  if (flow.rate > 0) {
    const auto elapsed = static_cast<double>((now - flow.since).picoseconds());
    flow.remaining = std::max(0.0, flow.remaining - elapsed * (flow.rate / flow.cap));
    flow.progressed = true;
  }
  flow.since = now;
  flow.rate = rate;
  if (rate == flow.cap && !flow.progressed) {
    new_ends_.push_back({slot, now + flow.full});
  } else {
    // Its end had not fired yet, so something is left, even if rounding says otherwise.
    new_ends_.push_back({slot, now + std::max(SimTime{1}, rounded_up(flow.remaining * (flow.cap / rate)))});
  }
}

}  // namespace trillion
