// Flows of a fluid problem that must have one rate, bundled: what keeps re-rating cheap (net/fluid.h).
//
// A link of capacity C over which flows go that would use n in sum (of each, its share) never holds anyone back below its even part,
//
//   level >= C / n
//
// since flows that others hold back at less leave more for the rest. So a link whose even part is well above a flow's rate does not
// matter to that flow; those that may matter are its key, and flows of one key are a bundle: one rate, ends in the order of bytes left.
// Which links those are is a guess that is checked whenever rates change:
//
//   in a key        the link may hold the bundle back, all of it
//   passed          in keys of others, who must know what this bundle takes. It must not be the one that stops it
//   in no key       left out. Every bundle has a `guard`: as long as all rates are below their guards, no such link is full
//
// If a guess fails, flows are bundled anew with the rates found, which puts the link into their keys.
//
// Example: an all-to-all of 64 GPUs on 8 nodes, one NIC each. The eight flows from a node to a GPU share the two NICs and are one bundle;
// each passes an NVLink of its own, three times as fast.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "sim/net/fluid.h"

namespace trillion {

class FluidBundles {
 public:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  struct Bundle {
    double next = 0;                            // bytes of each flow since it was bundled with which its next flow ends
    std::uint32_t next_flow = 0, end_flow = 0;  // into `flows`
    std::uint32_t first_use = 0, end_use = 0;   // into `uses`: links of its key, then those that it passes
    bool over() const { return next_flow == end_flow; }
  };
  struct Flow {
    double bytes = 0;  // since it was bundled, with which it ends
    std::uint32_t number = 0;
  };
  struct Use {
    std::uint32_t link = 0, crossing = 0;  // into `live`, into `crossings`
    double weight = 0;                     // sum of its open flows' shares
  };
  struct Crossing {
    std::uint32_t bundle = 0, other = 0;  // the bundle's other link in its part, or this one; of little use where there are more
    double weight = 0;                    // the use's
  };
  // Crossings of a link in a row: bundles of one part that pass it, and what they take while none of them changes its rate.
  struct Passing {
    std::uint32_t link = 0, first = 0, end = 0;  // into `live`, into `crossings`
    double taken = 0, highest = 0;               // sum of weight x rate; of the rates
    bool known = false;                          // these two are
  };
  // A link that is in a key.
  struct LiveLink {
    double capacity = 0;
    std::uint32_t number = 0, part = 0;                   // in the problem, in `parts`
    std::uint32_t key_flows = 0;                          // open flows that have it in their key
    std::uint32_t first = 0, first_passing = 0, end = 0;  // into `crossings`: bundles that have it in their key, then others:
    std::uint32_t first_foreign = 0;                      // those of its own part, then those of others
    std::uint32_t first_passes = 0, end_passes = 0;       // into `passing`: all of these others
    std::uint32_t over = 0;                               // of these bundles, not swept out yet
    bool worth_sweeping() const { return over > (end - first) / 4; }
  };

  // Live links that keys connect, in a row. Whoever passes links of another part fills first: net/fluid_parts.h.
  struct Part {
    std::uint32_t first = 0, count = 0, open = 0;  // links; of these, not left out since
    bool pairs = true;                             // no bundle of it uses more than two of them
  };

  // The problem must outlive it. Nothing is bundled yet.
  explicit FluidBundles(const FluidProblem& problem);

  // Bundles what is open. A link is in a flow's key if its even part is at most `reach` times the flow's rate, or what its narrowest
  // even part would give it. What bundles have `left` must be set, if there are any. Nobody holds the new ones.
  void bundle(double reach);

  bool empty() const { return open_flows_ == 0; }
  // The next flow of a bundle has ended, and is the one that is returned.
  std::uint32_t take_next(std::uint32_t bundle);
  // Takes bundles that are over out of a link's crossings.
  void sweep(std::uint32_t link);
  // Leaves out a link that is in no key any more. Guards of those who pass it may fall.
  void leave_out(std::uint32_t link);
  // What a row of crossings takes. REQUIRES: an index into `passing`.
  const Passing& taken_by(std::uint32_t row) {
    if (!passing[row].known) find_taken(passing[row]);
    return passing[row];
  }

  // Whether no link that was left out is overfilled now that bundle's rate exceeds its guard. Sets guards by what the links have left;
  // those of others may fall by it, and are added to `fallen`.
  bool guarded(std::uint32_t bundle);

  std::vector<Bundle> bundles;
  std::vector<Flow> flows;  // by bundle, in order of their ends
  std::vector<Use> uses;    // by bundle
  std::vector<LiveLink> live;
  std::vector<Part> parts;
  std::vector<Crossing> crossings;     // by live link
  std::vector<Passing> passing;        // by live link, and by the part of who passes
  std::vector<std::uint32_t> keyless;  // live links that are in no open flow's key any more

  // The rate of a bundle is the level of the live link that holds it, or of nobody: 0, the last of `levels`.
  std::vector<double> levels;
  std::vector<std::uint32_t> holders;
  std::uint32_t nobody() const { return static_cast<std::uint32_t>(live.size()); }
  double rate(std::uint32_t bundle) const { return levels[holders[bundle]]; }
  std::uint32_t part_of(std::uint32_t bundle) const { return live[uses[bundles[bundle].first_use].link].part; }
  // By bundle: bytes until its next flow ends, when they were asked for; and the rate below which no link that was left out is full.
  std::vector<double> left, guards;
  std::vector<std::uint32_t> fallen;  // bundles, since someone emptied it

  std::span<const Use> uses_of(std::uint32_t bundle) const {
    return {uses.data() + bundles[bundle].first_use, uses.data() + bundles[bundle].end_use};
  }

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  struct Path {
    std::uint32_t next_flow = 0, end_flow = 0;  // into by_bytes_
    std::uint32_t bundle = 0;
    double moved = 0;  // bytes of each flow when it was bundled
    double open() const { return static_cast<double>(end_flow - next_flow); }
  };

  struct PathShare {
    std::uint32_t path = 0;
    double share = 0;
  };

  void order_flows();
  void leave_bundles();
  void find_even_parts();
  void number_bundles(double reach);
  std::uint32_t bundle_of_key(std::uint64_t hash);
  void number_live_links();
  std::uint32_t part_root(std::uint32_t link);
  void fill_bundles();
  void add_path(Bundle& bundle, std::uint32_t path);
  void list_crossings();
  void list_passing();
  std::uint32_t other_link(std::uint32_t bundle, std::uint32_t use) const;
  void list_paths();
  void find_taken(Passing& row) const;
  bool certify(std::uint32_t link);

  const FluidProblem& problem_;
  std::vector<Path> paths_;
  std::vector<std::uint32_t> by_bytes_;    // flows, by path and then bytes
  std::vector<std::uint32_t> open_paths_;  // by bundle, once bundled
  std::size_t open_flows_ = 0;
  std::vector<double> weights_;           // by link: sum of its open flows' shares
  std::vector<std::uint8_t> certified_;   // by link, since bundled
  std::vector<double> even_part_;         // by link, when bundled
  std::vector<std::uint32_t> live_of_;    // by link, into `live`
  std::vector<PathShare> paths_of_link_;  // that are open, once guards were exceeded
  std::vector<std::uint32_t> paths_begin_, paths_end_;

  // While bundling.
  std::vector<std::uint32_t> key_, keys_, keys_begin_, table_, first_path_, slot_, key_flows_, joined_;
  std::vector<std::uint64_t> hashes_;
};

}  // namespace trillion
