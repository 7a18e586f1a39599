#include "sim/workload/stage_split.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sim/base/error.h"

namespace trillion {
namespace {

constexpr double kUnreached = std::numeric_limits<double>::infinity();
constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

// Whole numbers of a trillionth of the sum, about, so that sums are exact in any order: 4 + 5 equal layers cost what 1 + 8 do. A
// power of two.
double unit_of(double sum) { return sum > 0 ? std::exp2(std::floor(std::log2(sum)) - 40) : 1; }
double in_units(double cost, double unit) { return std::round(cost / unit); }

struct Problem {
  const std::vector<double>& layers;
  double first_extra = 0, last_extra = 0;
  std::size_t stages = 1;

  std::size_t count() const { return layers.size(); }
  std::size_t fewest() const { return count() >= stages ? 1 : 0; }  // layers of a stage
  std::size_t most() const { return count() >= stages ? count() - (stages - 1) : 1; }
};

// What a search minimises while it stays within its limits.
enum class Goal { largest_rank, largest_stage, squares };

struct Limits {
  double rank = kUnreached, stage = kUnreached;
};

using Split = std::vector<std::int64_t>;

struct Found {
  double value = kUnreached;
  Split split;
};

// One stage a rank. best[s][i]: the goal's value when stages 0 .. s - 1 hold the first i layers.
class ChainSearch {
 public:
  ChainSearch(const Problem& problem, Goal goal, double limit) : p_(problem), goal_(goal), limit_(limit) {
    best_.assign(p_.stages + 1, std::vector<double>(p_.count() + 1, kUnreached));
    from_.assign(p_.stages + 1, std::vector<std::size_t>(p_.count() + 1, 0));
    best_[0][0] = 0;
    for (std::size_t stage = 0; stage < p_.stages; ++stage) {
      for (std::size_t begin = 0; begin <= p_.count(); ++begin) {
        if (best_[stage][begin] < kUnreached) extend(stage, begin);
      }
    }
  }

  Found found() const {
    Found result{best_[p_.stages][p_.count()], Split(p_.stages)};
    std::size_t end = p_.count();
    for (std::size_t stage = p_.stages; stage > 0; --stage) {
      const std::size_t begin = from_[stage][end];
      result.split[stage - 1] = static_cast<std::int64_t>(end - begin);
      end = begin;
    }
    return result;
  }

 private:
  // Every stage that can begin at layer `begin`. Costs grow with each layer, so the first one past the limit ends it.
  void extend(std::size_t stage, std::size_t begin) {
    const bool last = stage + 1 == p_.stages;
    double cost = stage == 0 ? p_.first_extra : 0;
    for (std::size_t size = 0; size <= p_.most() && begin + size <= p_.count(); ++size) {
      if (size > 0) cost += p_.layers[begin + size - 1];
      const double total = cost + (last ? p_.last_extra : 0);
      if (total > limit_) return;
      if (size < p_.fewest()) continue;
      const double before = best_[stage][begin];
      const double value = goal_ == Goal::squares ? before + total * total : std::max(before, total);
      double& best = best_[stage + 1][begin + size];
      if (value < best) {
        best = value;
        from_[stage + 1][begin + size] = begin;
      }
    }
  }

  const Problem& p_;
  Goal goal_;
  double limit_;
  std::vector<std::vector<double>> best_;
  std::vector<std::vector<std::size_t>> from_;
};

// Layers of a rank's two stages, on either side of those of the ranks further inside.
struct Sides {
  std::size_t front = 0, back = 0;
};

// Two stages a rank, from the innermost rank (stages S/2 - 1 and S/2) outwards. A state is the run of layers that the inner ranks
// hold: where it begins and how long it is. Only lengths are kept from which the ranks left can still reach all layers.
class PairedSearch {
 public:
  PairedSearch(const Problem& problem, Goal goal, Limits limits) : p_(problem), goal_(goal), limits_(limits), ranks_(problem.stages / 2) {
    most_of_rank_ = std::min(most_layers_within(limits.rank), 2 * p_.most());
    most_of_stage_ = std::min(most_layers_within(std::min(limits.rank, limits.stage)), p_.most());
    for (const double cost : p_.layers) cost_before_.push_back(cost_before_.back() + cost);
    tables_.resize(ranks_ + 1);
    for (std::size_t inner = 0; inner <= ranks_; ++inner) {
      Table& t = tables_[inner];
      t.shortest = std::max(2 * inner * p_.fewest(), p_.count() - std::min(p_.count(), (ranks_ - inner) * most_of_rank_));
      t.longest = inner == 0 ? 0 : std::min(inner * most_of_rank_, p_.count() - 2 * (ranks_ - inner) * p_.fewest());
      if (t.longest < t.shortest) return;
      t.states.assign((p_.count() + 1) * (t.longest - t.shortest + 1), {});
    }
    for (State& nothing : tables_[0].states) nothing.value = 0;
    for (std::size_t inner = 0; inner < ranks_; ++inner) expand(inner);
  }

  // Nothing within the limits: an infinite value.
  Found found() const {
    std::size_t begin = 0, length = p_.count();
    const std::size_t all = slot(ranks_, begin, length);
    if (all == kNowhere || !(tables_[ranks_].states[all].value < kUnreached)) return {};
    Found result{tables_[ranks_].states[all].value, Split(p_.stages)};
    for (std::size_t inner = ranks_; inner > 0; --inner) {
      const Sides sides = tables_[inner].states[slot(inner, begin, length)].sides;
      const std::size_t rank = ranks_ - inner;
      result.split[rank] = static_cast<std::int64_t>(sides.front);
      result.split[p_.stages - 1 - rank] = static_cast<std::int64_t>(sides.back);
      begin += sides.front;
      length -= sides.front + sides.back;
    }
    return result;
  }

 private:
  struct State {
    double value = kUnreached;
    Sides sides;  // of the outermost of the ranks that hold it
  };
  struct Table {
    std::size_t shortest = 1, longest = 0;
    std::vector<State> states;  // [begin][length - shortest]
  };

  // Index of a state in tables_[inner].states; kNowhere where no split can pass through it.
  std::size_t slot(std::size_t inner, std::size_t begin, std::size_t length) const {
    const Table& t = tables_[inner];
    if (t.states.empty() || length < t.shortest || length > t.longest) return kNowhere;
    return begin * (t.longest - t.shortest + 1) + length - t.shortest;
  }

  // Nothing that keeps the limit holds more layers.
  std::size_t most_layers_within(double limit) const {
    std::vector<double> cheapest = p_.layers;
    std::sort(cheapest.begin(), cheapest.end());
    std::size_t most = 0;
    for (double sum = 0; most < cheapest.size() && (sum += cheapest[most]) <= limit;) ++most;
    return most;
  }

  // Whether `left` ranks can hold all layers outside [begin, end).
  bool can_finish(std::size_t left, std::size_t begin, std::size_t end) const {
    const std::size_t most = left * most_of_stage_;
    if (begin > most || p_.count() - end > most) return false;
    const double outside =
        cost_before_[begin] + (cost_before_.back() - cost_before_[end]) + (left > 0 ? p_.first_extra + p_.last_extra : 0);
    return left == 0 || outside <= static_cast<double>(left) * limits_.rank;
  }

  void expand(std::size_t inner) {
    const Table& t = tables_[inner];
    for (std::size_t length = t.shortest; length <= t.longest; ++length) {
      for (std::size_t begin = 0; begin + length <= p_.count(); ++begin) {
        const double value = t.states[slot(inner, begin, length)].value;
        if (value < kUnreached && can_finish(ranks_ - inner, begin, begin + length)) add_fronts(inner + 1, {begin, begin + length, value});
      }
    }
  }

  // Layers [begin, end) of the ranks inside, and the goal's value for them.
  struct Inside {
    std::size_t begin, end;
    double value;
  };

  void add_fronts(std::size_t ranks, const Inside& inside) {
    double cost = 0;
    for (std::size_t front = 0; front <= most_of_stage_ && front <= inside.begin; ++front) {
      if (front > 0) cost += p_.layers[inside.begin - front];
      const double total = cost + (ranks == ranks_ ? p_.first_extra : 0);
      if (total > limits_.stage || total > limits_.rank) return;
      if (front >= p_.fewest()) add_backs(ranks, inside, {front, total});
    }
  }

  struct Front {
    std::size_t layers;
    double cost;
  };

  void add_backs(std::size_t ranks, const Inside& inside, const Front& front) {
    double cost = 0;
    for (std::size_t back = 0; back <= most_of_stage_ && inside.end + back <= p_.count(); ++back) {
      if (back > 0) cost += p_.layers[inside.end + back - 1];
      const double total = cost + (ranks == ranks_ ? p_.last_extra : 0);
      if (total > limits_.stage || front.cost + total > limits_.rank) return;
      if (back < p_.fewest()) continue;
      const std::size_t begin = inside.begin - front.layers;
      const std::size_t to = slot(ranks, begin, inside.end + back - begin);
      if (to == kNowhere) continue;
      State& state = tables_[ranks].states[to];
      const double value = with(inside.value, front.cost, total);
      if (value < state.value) state = {value, {front.layers, back}};
    }
  }

  double with(double before, double front, double back) const {
    switch (goal_) {
      case Goal::largest_rank: return std::max(before, front + back);
      case Goal::largest_stage: return std::max({before, front, back});
      case Goal::squares: return before + (front * front + back * back);
    }
    CHECK(false, "unknown goal");
  }

  const Problem& p_;
  Goal goal_;
  Limits limits_;
  std::size_t ranks_, most_of_rank_ = 0, most_of_stage_ = 0;
  std::vector<double> cost_before_{0};  // [layer]
  std::vector<Table> tables_;           // [ranks inside]
};

// A limit that some split keeps, so that the first search need not look at everything: the slowest rank of the split that gives
// every stage as many layers.
double reachable_cost(const Problem& p, bool paired) {
  std::vector<double> stages(p.stages, 0);
  std::size_t layer = 0;
  for (std::size_t stage = 0; stage < p.stages; ++stage) {
    for (const std::size_t end = p.count() * (stage + 1) / p.stages; layer < end; ++layer) stages[stage] += p.layers[layer];
  }
  stages.front() += p.first_extra;
  stages.back() += p.last_extra;
  double largest = 0;
  for (std::size_t stage = 0; stage < p.stages; ++stage) {
    largest = std::max(largest, stages[stage] + (paired ? stages[p.stages - 1 - stage] : 0));
  }
  return largest;
}

Split split_chain(const Problem& problem) {
  const double slowest = ChainSearch(problem, Goal::largest_stage, reachable_cost(problem, false)).found().value;
  return ChainSearch(problem, Goal::squares, slowest).found().split;
}

Split split_paired(const Problem& problem) {
  // Splits with about even stages are few; the best of them is a good limit for the search among all.
  Limits limits{reachable_cost(problem, true), reachable_cost(problem, false)};
  limits.rank = PairedSearch(problem, Goal::largest_rank, limits).found().value;
  limits.stage = kUnreached;
  limits.rank = PairedSearch(problem, Goal::largest_rank, limits).found().value;
  limits.stage = PairedSearch(problem, Goal::largest_stage, limits).found().value;
  return PairedSearch(problem, Goal::squares, limits).found().split;
}

}  // namespace

std::vector<std::int64_t> split_layers(const std::vector<double>& layer_costs, double first_stage_extra, double last_stage_extra,
                                       StageShape shape) {
  CHECK(shape.stages >= 1 && (!shape.paired || shape.stages % 2 == 0), "stages: at least one, even where paired");
  const auto is_cost = [](double cost) { return std::isfinite(cost) && cost >= 0; };
  CHECK(is_cost(first_stage_extra) && is_cost(last_stage_extra) && std::all_of(layer_costs.begin(), layer_costs.end(), is_cost),
        "a layer's cost is finite and not negative");
  const double unit = unit_of(std::accumulate(layer_costs.begin(), layer_costs.end(), first_stage_extra + last_stage_extra));
  std::vector<double> layers;
  for (const double cost : layer_costs) layers.push_back(in_units(cost, unit));
  const Problem problem{layers, in_units(first_stage_extra, unit), in_units(last_stage_extra, unit),
                        static_cast<std::size_t>(shape.stages)};
  const Split split = shape.paired ? split_paired(problem) : split_chain(problem);
  CHECK(split.size() == problem.stages, "no split was found");
  return split;
}

}  // namespace trillion
