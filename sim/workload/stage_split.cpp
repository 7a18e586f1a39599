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
  // Which of two equally good ones is taken.
  bool before(const Sides& o) const { return front + back != o.front + o.back ? front + back > o.front + o.back : front < o.front; }
};

// Two stages a rank, from the innermost rank (stages S/2 - 1 and S/2) outwards. A state is the run of layers [begin, end) that the inner
// ranks hold. Only those are kept that the inner ranks can hold and from which the ranks left can still reach all layers: where the limits
// are near the mean, a handful for each begin.
class PairedSearch {
 public:
  PairedSearch(const Problem& problem, Goal goal, Limits limits) : p_(problem), goal_(goal), limits_(limits), ranks_(problem.stages / 2) {
    most_of_stage_ = std::min(most_layers_within(std::min(limits.rank, limits.stage)), p_.most());
    for (const double cost : p_.layers) cost_before_.push_back(cost_before_.back() + cost);
    for (std::size_t inner = 0; inner <= ranks_; ++inner) tables_.push_back(table(inner));
    for (State& nothing : tables_[0].states) nothing.value = 0;
    for (std::size_t inner = 0; inner < ranks_; ++inner) expand(inner);
  }

  // Nothing within the limits: an infinite value.
  Found found() const {
    std::size_t begin = 0, end = p_.count();
    const std::size_t all = slot(ranks_, begin, end);
    if (all == kNowhere || !(tables_[ranks_].states[all].value < kUnreached)) return {};
    Found result{tables_[ranks_].states[all].value, Split(p_.stages)};
    for (std::size_t inner = ranks_; inner > 0; --inner) {
      const Sides sides = tables_[inner].states[slot(inner, begin, end)].sides;
      const std::size_t rank = ranks_ - inner;
      result.split[rank] = static_cast<std::int64_t>(sides.front);
      result.split[p_.stages - 1 - rank] = static_cast<std::int64_t>(sides.back);
      begin += sides.front;
      end -= sides.back;
    }
    return result;
  }

 private:
  struct State {
    double value = kUnreached;
    Sides sides;  // of the outermost of the ranks that hold it
  };
  // The states of one begin, by their ends.
  struct Row {
    std::size_t first_end = 1, last_end = 0, first_state = 0;
  };
  struct Table {
    std::size_t first_begin = 0;
    std::vector<Row> rows;  // [begin - first_begin]
    std::vector<State> states;
  };

  Table table(std::size_t inner) const {
    const std::size_t left = ranks_ - inner, most_outside = left * most_of_stage_, least_outside = left * p_.fewest();
    Table t;
    t.first_begin = least_outside;
    std::size_t states = 0;
    for (std::size_t begin = t.first_begin; begin <= std::min(most_outside, p_.count()); ++begin) {
      const double most_inside = inner == 0 ? 0 : static_cast<double>(inner) * limits_.rank;
      Row row{std::max(begin + 2 * inner * p_.fewest(), p_.count() - std::min(most_outside, p_.count())),
              std::min(p_.count() - std::min(least_outside, p_.count()), last_end(begin, most_inside)), states};
      if (inner == 0) row.first_end = std::max(row.first_end, begin), row.last_end = std::min(row.last_end, begin);
      while (row.first_end <= row.last_end && !can_finish(left, begin, row.first_end)) ++row.first_end;
      if (row.first_end <= row.last_end) states += row.last_end - row.first_end + 1;
      t.rows.push_back(row);
    }
    t.states.resize(states);
    return t;
  }

  // Index of a state in tables_[inner].states; kNowhere where no split can pass through it.
  std::size_t slot(std::size_t inner, std::size_t begin, std::size_t end) const {
    const Table& t = tables_[inner];
    if (begin < t.first_begin || begin - t.first_begin >= t.rows.size()) return kNowhere;
    const Row& row = t.rows[begin - t.first_begin];
    return end < row.first_end || end > row.last_end ? kNowhere : row.first_state + end - row.first_end;
  }

  // Nothing that keeps the limit holds more layers.
  std::size_t most_layers_within(double limit) const {
    std::vector<double> cheapest = p_.layers;
    std::sort(cheapest.begin(), cheapest.end());
    std::size_t most = 0;
    for (double sum = 0; most < cheapest.size() && (sum += cheapest[most]) <= limit;) ++most;
    return most;
  }

  // The last layer that a run from `begin` on reaches which costs no more than `most`.
  std::size_t last_end(std::size_t begin, double most) const {
    const auto from = cost_before_.begin() + static_cast<std::ptrdiff_t>(begin);
    return static_cast<std::size_t>(std::upper_bound(from, cost_before_.end(), *from + most) - cost_before_.begin()) - 1;
  }

  // Whether `left` ranks can hold what [begin, end) leaves outside.
  bool can_finish(std::size_t left, std::size_t begin, std::size_t end) const {
    if (left == 0) return begin == 0 && end == p_.count();
    const double outside = cost_before_[begin] + (cost_before_.back() - cost_before_[end]) + p_.first_extra + p_.last_extra;
    return outside <= static_cast<double>(left) * limits_.rank;
  }

  void expand(std::size_t inner) {
    const Table& t = tables_[inner];
    for (std::size_t i = 0; i < t.rows.size(); ++i) {
      for (std::size_t end = t.rows[i].first_end; end <= t.rows[i].last_end; ++end) {
        const double value = t.states[t.rows[i].first_state + end - t.rows[i].first_end].value;
        if (value < kUnreached) add_fronts(inner + 1, {t.first_begin + i, end, value});
      }
    }
  }

  // Layers [begin, end) of the ranks inside, and the goal's value for them.
  struct Inside {
    std::size_t begin, end;
    double value;
  };

  void add_fronts(std::size_t ranks, const Inside& inside) {
    for (std::size_t front = p_.fewest(); front <= most_of_stage_ && front <= inside.begin; ++front) {
      const double cost = cost_before_[inside.begin] - cost_before_[inside.begin - front] + (ranks == ranks_ ? p_.first_extra : 0);
      if (cost > limits_.stage || cost > limits_.rank) return;
      add_backs(ranks, inside, {front, cost});
    }
  }

  struct Front {
    std::size_t layers;
    double cost;
  };

  void add_backs(std::size_t ranks, const Inside& inside, const Front& front) {
    Table& t = tables_[ranks];
    const std::size_t begin = inside.begin - front.layers;
    if (begin < t.first_begin || begin - t.first_begin >= t.rows.size()) return;
    const Row& row = t.rows[begin - t.first_begin];
    const std::size_t last = std::min(row.last_end, inside.end + most_of_stage_);
    for (std::size_t end = std::max(row.first_end, inside.end + p_.fewest()); end <= last; ++end) {
      const double cost = cost_before_[end] - cost_before_[inside.end] + (ranks == ranks_ ? p_.last_extra : 0);
      if (cost > limits_.stage || front.cost + cost > limits_.rank) return;
      State& state = t.states[row.first_state + end - row.first_end];
      const Sides sides{front.layers, end - inside.end};
      const double value = with(inside.value, front.cost, cost);
      if (value < state.value || (value == state.value && sides.before(state.sides))) state = {value, sides};
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
  std::size_t ranks_, most_of_stage_ = 0;
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
  Limits limits{reachable_cost(problem, true), kUnreached};
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
