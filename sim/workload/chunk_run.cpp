#include "sim/workload/chunk_run.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "sim/base/error.h"

namespace trillion {

namespace {

// First pass and its stage, second's stage (-1) and kind, what is beside them.
using What = std::tuple<ActionKind, std::int32_t, std::int32_t, ActionKind, BesideAction>;

What what_of(const Action& a, const BesideAction& beside) {
  return {a.first.kind, a.first.stage, a.second ? a.second->stage : -1, a.second ? a.second->kind : ActionKind::forward, beside};
}

// Of a pass: when it is there, and where.
struct Result {
  double time = 0;
  std::int32_t rank = 0;
};

bool makes_weights(const Pass& p) { return p.kind == ActionKind::backward || p.kind == ActionKind::weight_gradient; }

}  // namespace

ChunkProgram::ChunkProgram(const PipelineSchedule& schedule)
    : stages_(schedule.stages), micro_batches_(schedule.micro_batches), ranks_(static_cast<std::int32_t>(schedule.ranks.size())) {
  // Passes with weights of each stage of each rank that are still to come.
  std::vector<std::vector<std::int32_t>> left;
  for (std::int32_t r = 0; r < ranks_; ++r) {
    stages_of_rank_.push_back(schedule.stages_of(r));
    left.emplace_back(static_cast<std::size_t>(stages_));
    for (const Action& a : schedule.ranks[static_cast<std::size_t>(r)]) {
      for (const Pass* p : {&a.first, a.second ? &*a.second : nullptr}) {
        if (p && makes_weights(*p)) ++left.back()[static_cast<std::size_t>(p->stage)];
      }
    }
  }
  std::map<What, std::int16_t> known;
  std::vector<std::vector<bool>> begun(left.size(), std::vector<bool>(static_cast<std::size_t>(stages_)));
  for (const ScheduledAction& at : execution_order(schedule)) {
    const auto r = static_cast<std::size_t>(at.rank);
    const Action& a = schedule.ranks[r][static_cast<std::size_t>(at.position)];
    Instruction in;
    in.rank = static_cast<std::int16_t>(at.rank);
    BesideAction beside;
    for (const Pass* p : {&a.first, a.second ? &*a.second : nullptr}) {
      if (!p) continue;
      const auto stage = static_cast<std::size_t>(p->stage);
      const std::int32_t place = p->stage * micro_batches_ + p->micro_batch;
      if (p->kind == ActionKind::forward) {
        in.forward = place;
        if (!begun[r][stage]) in.first_of_stage = static_cast<std::int16_t>(p->stage), beside.gathers = true;
        begun[r][stage] = true;
      } else if (p->kind != ActionKind::weight_gradient) {
        in.backward = place;
      }
      if (!makes_weights(*p) || --left[r][stage] > 0) continue;
      const auto held = std::find(stages_of_rank_[r].begin(), stages_of_rank_[r].end(), p->stage) - stages_of_rank_[r].begin();
      in.last_of = static_cast<std::int16_t>(held), beside.reduces = true;
    }
    const auto [entry, fresh] = known.try_emplace(what_of(a, beside), static_cast<std::int16_t>(distinct_.size()));
    if (fresh) {
      Action one = a;
      one.first.micro_batch = 0;
      if (one.second) one.second->micro_batch = 0;
      distinct_.push_back(one);
      beside_.push_back(beside);
    }
    in.what = entry->second;
    instructions_.push_back(in);
  }
  CHECK(distinct_.size() < 32768 && ranks_ < 32768 && stages_ < 32768, "a schedule too large to compile");
}

double ChunkProgram::bound(const std::vector<BlockChains>& stages, double transfer) const {
  CHECK(stages.size() == static_cast<std::size_t>(stages_), "one chain per stage and direction");
  const auto places = static_cast<std::size_t>(stages_) * static_cast<std::size_t>(micro_batches_);
  std::vector<Result> forward(places), backward(places);
  struct Rank {
    double free = 0, exchanged = 0;
  };
  std::vector<Rank> ranks(static_cast<std::size_t>(ranks_));
  const std::int32_t m = micro_batches_, last_stage = (stages_ - 1) * m;
  for (const Instruction& in : instructions_) {
    const Action& a = distinct_[static_cast<std::size_t>(in.what)];
    Rank& rank = ranks[static_cast<std::size_t>(in.rank)];
    const double before = rank.free;
    const auto arrival = [&](const Result& from) { return from.rank == in.rank ? from.time : from.time + transfer; };
    for (const Pass* p : {&a.first, a.second ? &*a.second : nullptr}) {
      if (!p) continue;
      const BlockChains& stage = stages[static_cast<std::size_t>(p->stage)];
      if (p->kind == ActionKind::forward) rank.free += stage.forward.kernels;
      if (p->kind == ActionKind::backward || p->kind == ActionKind::input_gradient) rank.free += stage.backward.kernels;
      if (makes_weights(*p)) rank.free += stage.weights;
    }
    // When the result of a pass is there that can begin at `ready`.
    const auto result = [&](const ChainTime& chain, double ready) {
      rank.exchanged += chain.exchanges;
      if (!chain.any_kernel) return ready + chain.lead;
      const double last = std::max(before, ready + chain.lead) + chain.busy;
      rank.free = std::max(rank.free, last);
      return last + chain.tail;
    };
    if (in.forward >= 0) {
      const double ready = in.forward >= m ? arrival(forward[static_cast<std::size_t>(in.forward - m)]) : 0;
      forward[static_cast<std::size_t>(in.forward)] = {result(stages[static_cast<std::size_t>(in.forward / m)].forward, ready), in.rank};
    }
    if (in.backward >= 0) {
      const auto place = static_cast<std::size_t>(in.backward);
      const double ready = in.backward < last_stage ? arrival(backward[place + static_cast<std::size_t>(m)]) : forward[place].time;
      backward[place] = {result(stages[static_cast<std::size_t>(in.backward / m)].backward, ready), in.rank};
    }
  }
  double end = 0;
  for (const Rank& rank : ranks) end = std::max({end, rank.free, rank.exchanged});
  return end;
}

ChunkProgram::Run ChunkProgram::run(const std::vector<const ChunkProfile*>& profiles, double transfer,
                                    const std::vector<double>& gathered) const {
  CHECK(profiles.size() == distinct_.size(), "one profile per distinct action");
  const auto places = static_cast<std::size_t>(stages_) * static_cast<std::size_t>(micro_batches_);
  std::vector<Result> forward(places), backward(places);
  struct Rank {
    double compute = 0, communication = 0;
  };
  std::vector<Rank> rank(static_cast<std::size_t>(ranks_));
  Run out;
  for (const auto& held : stages_of_rank_) out.last_weights.emplace_back(held.size());
  const std::int32_t m = micro_batches_, last_stage = (stages_ - 1) * m;
  for (const Instruction& in : instructions_) {
    const ChunkProfile& p = *profiles[static_cast<std::size_t>(in.what)];
    Rank& r = rank[static_cast<std::size_t>(in.rank)];
    const auto arrival = [&](const Result& from) { return from.rank == in.rank ? from.time : from.time + transfer; };
    double start = 0;
    if (in.forward >= m) start = arrival(forward[static_cast<std::size_t>(in.forward - m)]) - p.forward.first;
    if (in.first_of_stage >= 0 && !gathered.empty()) {
      start = std::max(start, gathered[static_cast<std::size_t>(in.first_of_stage)] - p.forward.first);
    }
    if (in.backward >= 0) {
      const auto place = static_cast<std::size_t>(in.backward);
      const double ready = in.backward < last_stage ? arrival(backward[place + static_cast<std::size_t>(m)]) : forward[place].time;
      start = std::max(start, ready - p.backward.first);
    }
    if (p.compute.any()) start = std::max(start, r.compute - p.compute.first);
    if (p.communication.any()) start = std::max(start, r.communication - p.communication.first);
    start = std::max(start, 0.0);
    if (p.compute.any()) r.compute = start + p.compute.end;
    if (p.communication.any()) r.communication = start + p.communication.end;
    if (in.forward >= 0) forward[static_cast<std::size_t>(in.forward)] = {start + p.forward.end, in.rank};
    if (in.backward >= 0) backward[static_cast<std::size_t>(in.backward)] = {start + p.backward.end, in.rank};
    if (in.last_of >= 0) {
      out.last_weights[static_cast<std::size_t>(in.rank)][static_cast<std::size_t>(in.last_of)] = {start, start + p.compute.end,
                                                                                                   start + std::max(0.0, p.reduction.end)};
    }
  }
  for (const Rank& r : rank) {
    out.rank_end.push_back(r.compute);
    out.makespan = std::max({out.makespan, r.compute, r.communication});
  }
  return out;
}

}  // namespace trillion
