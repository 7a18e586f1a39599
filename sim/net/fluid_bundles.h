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
    double moved = 0, since = 0;  // bytes of each flow since it was bundled, until then
    double next = 0;              // bytes since then with which its next flow ends
    double end = kNever;          // when that is at the present rate
    double guard = kNever;
    std::uint32_t next_flow = 0, end_flow = 0;  // into `flows`
    std::uint32_t first_use = 0, end_use = 0;   // into `uses`
  };
  struct Flow {
    double bytes = 0;  // since it was bundled, with which it ends
    std::uint32_t number = 0;
  };
  struct Use {
    std::uint32_t link = 0;
    bool in_key = false;
    double weight = 0;  // sum of its open flows' shares
  };
  struct Crossing {
    std::uint32_t bundle = 0, use = 0;
  };

  // The problem must outlive it. Nothing is bundled yet.
  explicit FluidBundles(const FluidProblem& problem);

  // Bundles what is open. A link is in a flow's key if its even part is at most `reach` times the flow's rate, or what its narrowest
  // even part would give it.
  void bundle(double now, double reach);

  bool empty() const { return open_flows_ == 0; }
  // The next flow of a bundle has ended, and is the one that is returned.
  std::uint32_t take_next(std::uint32_t bundle);

  // Whether no link that was left out is overfilled now that bundle's rate exceeds its guard. Sets guards by what the links have left.
  bool guarded(std::uint32_t bundle);

  std::vector<Bundle> bundles;
  std::vector<double> rates;             // by bundle
  std::vector<Flow> flows;               // by bundle, in order of their ends
  std::vector<Use> uses;                 // by bundle
  std::vector<std::uint32_t> live;       // links that are in a key, ascending
  std::vector<std::uint32_t> key_flows;  // by link: open flows that have it in their key

  // Of a live link. Whoever finds bundles in it that have no flows left may take them out.
  std::span<Crossing> crossings(std::uint32_t link) {
    return {crossings_.data() + crossings_begin_[link], crossings_.data() + crossings_end_[link]};
  }
  void shorten_crossings(std::uint32_t link, std::size_t count) {
    crossings_end_[link] = crossings_begin_[link] + static_cast<std::uint32_t>(count);
  }
  std::span<Use> uses_of(std::uint32_t bundle) { return {uses.data() + bundles[bundle].first_use, uses.data() + bundles[bundle].end_use}; }

 private:
  struct Path {
    std::uint32_t next_flow = 0, end_flow = 0;  // into by_bytes_
    std::uint32_t bundle = 0;
    double moved = 0;  // bytes of each flow when it was bundled
    double open() const { return static_cast<double>(end_flow - next_flow); }
  };

  void order_flows();
  void leave_bundles(double now);
  void find_even_parts();
  void number_bundles(double reach);
  std::uint32_t bundle_of_key(std::uint64_t hash);
  void fill_bundles(double now);
  void add_path(Bundle& bundle, std::uint32_t path);
  void list_crossings();
  bool certify(std::uint32_t link);

  const FluidProblem& problem_;
  std::vector<Path> paths_;
  std::vector<std::uint32_t> by_bytes_;    // flows, by path and then bytes
  std::vector<std::uint32_t> open_paths_;  // by bundle, once bundled
  std::size_t open_flows_ = 0;
  std::vector<double> even_part_;  // by link, when bundled
  std::vector<bool> is_live_;
  std::vector<std::uint32_t> crossings_begin_, crossings_end_;
  std::vector<Crossing> crossings_;
  std::vector<std::uint32_t> paths_begin_, paths_of_link_;  // all paths over a link; only once guards were exceeded

  // While bundling.
  std::vector<std::uint32_t> key_, keys_, keys_begin_, table_, first_path_, slot_;
  std::vector<std::uint64_t> hashes_;
  std::vector<double> guards_;
};

}  // namespace trillion
