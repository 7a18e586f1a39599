// What would change a search's choice: which curve, figure, link, price or assumption, how far it would have to be off, and who would then
// be best. So that the user knows what to measure next.
//
//   contenders      the winner, and of all that was simulated the best of every value of every axis, the best first
//   time            T_j(x) = T_j (1 + (s_j(h) / s_j(0) - 1) u(x) / u(h)),    x: relative change of a quantity; s_j: screened time of
//                   contender j; h: the half-width of the quantity's interval to that side, or 10 %; u(x) = x, of rates 1 / (1 + x) - 1;
//                   s_j is the whole simulation's where a layout cannot be screened
//   tipping point   the smallest |x|, from -50 % to +100 %, at which the winner's score is not the smallest; then the winner and who beat
//                   it are simulated whole with the quantity changed, and x is corrected (secant) until their scores meet within 1e-4.
//                   Both keep the stages that their search gave them
//   could_cost      how much more the winner costs than the best contender at the worse end of the interval (or of +-10 %): what not
//                   knowing the quantity can cost at most. 0: the choice holds over the whole interval
//
// Contenders are all that is looked at: a layout that was only screened could win too where the change is large, and the page says so. Each
// quantity is changed alone, its curves together. A few seconds; the same bytes for every number of threads.
//
//   SensitivityAnalysis analysis(search);
//   while (!analysis.done()) analysis.advance(threads);     // may be left at any time
//   for (const Sensitivity& s : analysis.found()) ...       // the most telling first
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "sim/planner/lever.h"
#include "sim/planner/plan_search.h"

namespace trillion {

struct Tipping {
  double change = 0;             // of the quantity, relative; beyond it
  std::size_t wins = 0;          // this one of contenders() wins
  bool simulated_whole = false;  // else by screened times alone: about
};

struct Sensitivity {
  Lever lever;
  std::optional<Tipping> up, down;  // empty: not within -50 % and +100 %
  double could_cost = 0;            // of the winner over the best within the interval; infinite: the winner no longer fits there
  std::size_t instead = 0;          // of contenders(): the best there

  // |change| of the nearer tipping point over the interval's half-width (or 10 %); infinite: there is none.
  double distance() const;
  const Tipping* nearest() const;
};

class SensitivityAnalysis {
 public:
  static constexpr double kUnknownInterval = 0.10, kMostUp = 1.0, kMostDown = -0.5;
  static constexpr std::size_t kContenders = 12, kSimulatedWhole = 6, kLeversAtOnce = 16;

  // REQUIRES: something was ranked. `search` must outlive it.
  explicit SensitivityAnalysis(const PlanSearch& search);
  SensitivityAnalysis(const SensitivityAnalysis&) = delete;
  SensitivityAnalysis& operator=(const SensitivityAnalysis&) = delete;

  bool done() const { return next_ == Next::nothing; }
  // Quantities looked at, of how many; none are known before the first advance().
  std::size_t step() const { return looked_at_; }
  std::size_t steps() const { return levers_.size(); }
  void advance(unsigned threads);

  // Quantities that move some contender's score against the winner's, the most telling first: by what not knowing them could cost, then by
  // distance.
  const std::vector<Sensitivity>& found() const { return found_; }
  // Indices into search.ranked(), the winner first.
  const std::vector<std::size_t>& contenders() const { return contenders_; }

 private:
  // Times of all contenders where the lever's quantity is (1 - h) and (1 + h) times what it is, over what they are.
  struct Response {
    double step_down = 0, step_up = 0;         // -h, h
    std::vector<double> ratio_down, ratio_up;  // [contender]
  };

  void look_at_base(unsigned threads);
  void look_at_some(unsigned threads);
  std::optional<Sensitivity> look_at(const Lever& lever) const;
  void settle(Sensitivity& s) const;
  std::vector<double> ratios(const Lever& lever, double change) const;
  double time(const Lever& lever, const Response& response, std::size_t contender, double change) const;
  Score score(const Lever& lever, std::size_t contender, double change, double step_time) const;
  std::size_t best_at(const Lever& lever, const Response& response, double change) const;
  std::optional<Tipping> tipping(const Lever& lever, const Response& response, double most) const;
  void correct(const Lever& lever, Tipping& tipping) const;
  std::optional<double> margin(const Lever& lever, std::size_t rival, double change) const;
  const Ranked& ranked(std::size_t contender) const { return search_.ranked()[contenders_[contender]]; }

  const PlanSearch& search_;
  std::vector<std::size_t> contenders_;
  std::vector<Layout> layouts_;   // of the contenders, with their stages
  std::vector<double> screened_;  // [contender] seconds as things are
  std::vector<Lever> levers_;
  std::vector<Sensitivity> found_;
  std::size_t looked_at_ = 0;  // of levers_
  enum class Next { base, levers, settle, nothing } next_ = Next::base;
};

}  // namespace trillion
