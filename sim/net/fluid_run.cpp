#include "sim/net/fluid_run.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "sim/base/error.h"

namespace trillion {

namespace {

constexpr auto kLaterMark = [](const auto& a, const auto& b) { return a.mark > b.mark; };

// A link that held nothing back is filled again with the others before it is quite full, so that rounding cannot overfill it.
constexpr double kSurely = 1 - 1e-9;

}  // namespace

FluidRun::FluidRun(const FluidProblem& problem, std::vector<double>& ends)
    : problem_(problem), ends_(ends), links_(problem.capacities.size()), paths_(problem.path_count()), next_(links_.size(), kNever) {
  order_flows();
  uses_.reserve(problem.uses.size());
  for (const FluidProblem::Use& use : problem.uses) {
    CHECK(use.share > 0 && use.share <= 1, "a share lies in (0, 1]");
    uses_.push_back({use.link, 0, use.share});
  }
  for (std::size_t l = 0; l < links_.size(); ++l) links_[l].capacity = problem.capacities[l];
  for (std::uint32_t p = 0; p < paths_.size(); ++p) {
    if (paths_[p].left() == 0) continue;
    ++open_;
    for (Use& use : uses(p)) {
      use.position = static_cast<std::uint32_t>(links_[use.link].paths.size());
      links_[use.link].paths.push_back({p, static_cast<std::uint32_t>(&use - uses_.data())});
    }
  }
}

void FluidRun::order_flows() {
  for (const FluidProblem::Flow& flow : problem_.flows) {
    CHECK(flow.bytes > 0, "a flow moves bytes");
    ++paths_[flow.path].end_flow;
  }
  std::uint32_t begin = 0;
  for (Path& path : paths_) {
    path.next_flow = begin;
    begin += path.end_flow;
    path.end_flow = path.next_flow;
  }
  by_bytes_.resize(problem_.flows.size());
  for (std::uint32_t f = 0; f < by_bytes_.size(); ++f) by_bytes_[paths_[problem_.flows[f].path].end_flow++] = f;
  for (const Path& path : paths_) {
    if (path.end_flow - path.next_flow < 2) continue;
    std::sort(by_bytes_.begin() + path.next_flow, by_bytes_.begin() + path.end_flow,
              [&](std::uint32_t a, std::uint32_t b) { return problem_.flows[a].bytes < problem_.flows[b].bytes; });
  }
}

void FluidRun::run() {
  // The first change: every link that is used.
  for (std::uint32_t l = 0; l < links_.size(); ++l) {
    links_[l].level = kNever;
    if (!links_[l].paths.empty()) seeds_.push_back(l);
  }
  for (double lowest = 0;;) {
    collect_changed(lowest);
    do {
      prepare_links();
      fill();
    } while (fills_another_link());
    attach();
    if (open_ == 0) break;
    now_ = *std::min_element(next_.begin(), next_.end());
    CHECK(now_ < kNever, "flows are left that nothing ends");
    lowest = kNever;
    for (std::uint32_t l = 0; l < links_.size(); ++l) {
      if (next_[l] != now_) continue;
      lowest = std::min(lowest, links_[l].level);
      end_due_flows(l);
    }
  }
}

double FluidRun::next_end(std::uint32_t link) {
  Link& l = links_[link];
  while (!l.due.empty() && paths_[l.due.front().path].attachment != l.due.front().attachment) {
    std::pop_heap(l.due.begin(), l.due.end(), kLaterMark);
    l.due.pop_back();
  }
  if (l.due.empty() || l.level == 0) return kNever;
  return l.since + std::max(0.0, l.due.front().mark - l.clock) / l.level;
}

// All flows whose mark the link's clock reaches at this instant.
void FluidRun::end_due_flows(std::uint32_t link) {
  Link& l = links_[link];
  while (next_end(link) == now_) {
    const double mark = l.due.front().mark;
    l.clock = mark;
    l.since = now_;
    const std::uint32_t p = l.due.front().path;
    Path& path = paths_[p];
    const double bytes = bytes_of_next(path);
    const double before = path.left();
    for (; path.left() > 0 && bytes_of_next(path) <= bytes; ++path.next_flow) ends_[by_bytes_[path.next_flow]] = now_;
    path.moved = bytes;
    path.attached = mark;
    ++path.attachment;
    for (const Use& use : uses(p)) {
      seeds_.push_back(use.link);
      links_[use.link].load -= (before - path.left()) * use.share * path.rate;
    }
    if (path.left() == 0) {
      leave(p);
    } else {
      l.due.push_back({mark + (bytes_of_next(path) - bytes), p, path.attachment});
      std::push_heap(l.due.begin(), l.due.end(), kLaterMark);
    }
  }
}

void FluidRun::leave(std::uint32_t path) {
  --open_;
  for (const Use& use : uses(path)) {
    std::vector<Crossing>& crossings = links_[use.link].paths;
    crossings[use.position] = crossings.back();
    uses_[crossings[use.position].use].position = use.position;
    crossings.pop_back();
  }
}

// From the links of what ended, over paths that are not slower and links that hold something back.
void FluidRun::collect_changed(double rate) {
  ++visit_;
  changed_links_.clear();
  changed_paths_.clear();
  boundary_.clear();
  for (const std::uint32_t l : seeds_) visit_link(l);
  seeds_.clear();
  for (std::size_t i = 0; i < changed_links_.size(); ++i) {
    for (const Crossing& crossing : links_[changed_links_[i]].paths) {
      Path& path = paths_[crossing.path];
      if (path.visit == visit_ || path.rate < rate) continue;
      path.visit = visit_;
      changed_paths_.push_back(crossing.path);
      for (const Use& use : uses(crossing.path)) visit_link(use.link);
    }
  }
  old_rates_.clear();
  old_holders_.clear();
  for (const std::uint32_t p : changed_paths_) {
    old_rates_.push_back(paths_[p].rate);
    old_holders_.push_back(paths_[p].held_by);
  }
}

void FluidRun::visit_link(std::uint32_t link) {
  Link& l = links_[link];
  if (l.visit == visit_) return;
  l.visit = visit_;
  (l.level > 0 ? changed_links_ : boundary_).push_back(link);
}

// What the changed links have for the changed paths. Summed anew, so that no rounding adds up.
void FluidRun::prepare_links() {
  for (const std::uint32_t p : changed_paths_) paths_[p].rises = true;
  levels_.clear();
  for (const std::uint32_t id : changed_links_) {
    Link& l = links_[id];
    double taken = 0;
    l.rising = 0;
    l.stopped = 0;
    l.fills = true;
    for (const Crossing& crossing : l.paths) {
      const Path& path = paths_[crossing.path];
      const double demand = path.left() * uses_[crossing.use].share;
      (path.rises ? l.rising : taken) += path.rises ? demand : demand * path.rate;
    }
    l.left = l.capacity - taken;
    if (l.rising > 0) levels_.emplace_back(l.left / l.rising, id);
  }
  std::make_heap(levels_.begin(), levels_.end(), std::greater<>());
}

void FluidRun::fill() {
  while (!levels_.empty()) {
    const auto [level, id] = levels_.front();
    std::pop_heap(levels_.begin(), levels_.end(), std::greater<>());
    levels_.pop_back();
    const Link& l = links_[id];
    if (l.rising <= 0) continue;
    if (const double current = l.left / l.rising; current > level) {  // others have stopped on it since
      levels_.emplace_back(current, id);
      std::push_heap(levels_.begin(), levels_.end(), std::greater<>());
      continue;
    }
    stop_paths_of(id, level);
  }
}

void FluidRun::stop_paths_of(std::uint32_t link, double level) {
  touched_.clear();
  for (const Crossing& crossing : links_[link].paths) {
    Path& path = paths_[crossing.path];
    if (!path.rises) continue;
    path.rises = false;
    path.rate = level;
    path.held_by = link;
    for (const Use& use : uses(crossing.path)) {
      Link& l = links_[use.link];
      if (!l.fills) continue;  // it has room for whatever comes out
      if (l.stopped == 0) touched_.push_back(use.link);
      l.stopped += path.left() * use.share;
    }
  }
  for (const std::uint32_t id : touched_) {
    Link& l = links_[id];
    l.left -= level * l.stopped;
    l.rising -= l.stopped;
    l.stopped = 0;
  }
  links_[link].rising = 0;
}

double FluidRun::load_of(const Link& link) const {
  double load = 0;
  for (const Crossing& crossing : link.paths) {
    const Path& path = paths_[crossing.path];
    load += path.left() * uses_[crossing.use].share * path.rate;
  }
  return load;
}

// Whether the new rates overfill a link that held nothing back; then it takes part, with all that it connects to.
bool FluidRun::fills_another_link() {
  for (const std::uint32_t id : boundary_) links_[id].stopped = 0;
  for (std::size_t i = 0; i < changed_paths_.size(); ++i) {
    const Path& path = paths_[changed_paths_[i]];
    const double change = (path.rate - old_rates_[i]) * path.left();
    if (change == 0) continue;
    for (const Use& use : uses(changed_paths_[i])) {
      if (Link& l = links_[use.link]; !l.fills) l.stopped += change * use.share;
    }
  }
  bool found = false;
  for (std::size_t i = 0; i < boundary_.size(); ++i) {
    Link& l = links_[boundary_[i]];
    if (l.load + l.stopped <= l.capacity * kSurely) continue;
    if (load_of(l) <= l.capacity * kSurely) continue;  // what rounding has added up
    found = true;
    changed_links_.push_back(boundary_[i]);
    boundary_[i--] = boundary_.back();
    boundary_.pop_back();
  }
  if (!found) {
    for (const std::uint32_t id : boundary_) links_[id].load += links_[id].stopped;
    return false;
  }
  for (std::size_t i = 0; i < changed_links_.size(); ++i) {
    for (const Crossing& crossing : links_[changed_links_[i]].paths) {
      Path& path = paths_[crossing.path];
      if (path.visit == visit_) continue;
      path.visit = visit_;
      changed_paths_.push_back(crossing.path);
      old_rates_.push_back(path.rate);
      old_holders_.push_back(path.held_by);
      for (const Use& use : uses(crossing.path)) visit_link(use.link);
    }
  }
  return true;
}

// Sets the clocks to the new levels and moves paths to the link that now holds them back.
void FluidRun::attach() {
  for (std::size_t i = 0; i < changed_paths_.size(); ++i) {
    Path& path = paths_[changed_paths_[i]];
    if (path.left() == 0 || path.held_by == old_holders_[i]) continue;
    if (old_holders_[i] != kNone) {
      const Link& old = links_[old_holders_[i]];
      path.moved += old.clock + (now_ - old.since) * old.level - path.attached;
    }
    ++path.attachment;
    path.attached = -1;  // below, once the clocks are set
  }
  for (const std::uint32_t id : changed_links_) {
    Link& l = links_[id];
    if (l.level > 0 && l.level < kNever) l.clock += (now_ - l.since) * l.level;
    l.since = now_;
    l.level = 0;
    l.fills = false;
  }
  for (std::size_t i = 0; i < changed_paths_.size(); ++i) {
    Path& path = paths_[changed_paths_[i]];
    if (path.left() == 0) continue;
    Link& l = links_[path.held_by];
    l.level = path.rate;
    if (path.attached >= 0) continue;
    path.attached = l.clock;
    l.due.push_back({l.clock + (bytes_of_next(path) - path.moved), changed_paths_[i], path.attachment});
    std::push_heap(l.due.begin(), l.due.end(), kLaterMark);
  }
  for (const std::uint32_t id : changed_links_) {
    next_[id] = next_end(id);
    if (links_[id].level == 0) links_[id].load = load_of(links_[id]);
  }
}

}  // namespace trillion
