#include "sim/planner/screening.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <variant>

#include "sim/base/parallel_for.h"
#include "sim/estimate/steady_step.h"
#include "sim/planner/kernel_key.h"
#include "sim/planner/run_lengths.h"
#include "sim/planner/screening_load.h"
#include "sim/planner/step_end_time.h"
#include "sim/workload/block_times.h"
#include "sim/workload/chunk_set.h"
#include "sim/workload/feasibility.h"
#include "sim/workload/lower.h"
#include "sim/workload/passes.h"
#include "sim/workload/step_clock.h"

namespace trillion {

namespace {

// Of the usable memory: where the mean rank's states need more, nothing else is looked at.
constexpr double kFarTooMuch = 1.25;
// Layouts of a family hold nearly the same clock; by so much less may one's kernels take.
constexpr double kOtherClock = 0.998;

Bytes peak_of(const std::vector<StageMemory>& memory) {
  Bytes peak;
  for (const StageMemory& m : memory) peak = std::max(peak, m.peak());
  return peak;
}

}  // namespace

// One family or group at work: what its layouts share.
class Screening::Group {
 public:
  Group(const Screening& of, const std::vector<std::size_t>& members)
      : of_(of),
        members_(members),
        s_(of.scenario(first())),
        timing_(of.timing(first())),
        mesh_(s_.plan, s_.cluster),
        no_routing_(least_load(s_)),
        even_(s_, mesh_, no_routing_),
        conditions_(kernel_conditions(s_, timing_)) {
    mesh_.share_network(s_.cluster);
  }

  std::vector<Screened> look() {
    std::vector<Screened> out;
    for (const std::size_t i : members_) out.push_back(look_at(of_.layouts_[i].plan, nullptr).screened);
    return out;
  }

  // Chunks are profiled together once all that are wanted are known.
  std::vector<Screened> screen() {
    std::vector<Looked> looked;
    for (const std::size_t i : members_) looked.push_back(look_at(of_.layouts_[i].plan, of_.looked_at(i)));
    for (std::size_t i = 0; i < looked.size(); ++i) {
      s_.plan = of_.layouts_[members_[i]].plan;
      if (looked[i].screened.fits && by_chunks()) want_chunks(looked[i]);
    }
    if (clock_) chunks_.profile({s_, *load_, timing_, *clock_, blocks_});
    std::vector<Screened> out;
    for (std::size_t i = 0; i < looked.size(); ++i) {
      Screened& s = looked[i].screened;
      s_.plan = of_.layouts_[members_[i]].plan;
      if (s.fits) s.time = time(looked[i]);
      if (s.time) s.time = std::max(*s.time, s.bound);
      out.push_back(s);
    }
    return out;
  }

 private:
  const Layout& first() const { return of_.layouts_[members_.front()]; }

  // A layout, and what its time will follow from.
  struct Looked {
    Screened screened;
    DeviceMesh mesh;
    const StageCut* cut;  // empty where the model's states alone are far too much
    std::int64_t micro_batches;
    RunLengths lengths;
  };

  // `known`: what look() said of it; null: not looked at.
  Looked look_at(const Plan& plan, const Screened* known) {
    s_.plan = plan;
    const std::int64_t m = micro_batches(s_);
    Looked looked{{}, DeviceMesh(s_.plan, s_.cluster), nullptr, m, run_lengths(plan, m)};
    Screened& out = looked.screened;
    const auto& [mesh, lengths] = std::tie(looked.mesh, looked.lengths);
    if (known) out = *known;
    if (known && !known->fits) return looked;
    const Bytes usable = s_.cluster.gpu.usable_memory;
    if (!known) out.peak = mean_states(s_, mesh, even_);
    if (out.peak > kFarTooMuch * usable) return looked;
    const StageCut& cut = cut_of(plan);
    looked.cut = &cut;
    const auto too_much = [&](BlockMemory& blocks, const LayerRouting& routing) {
      out.peak = peak(mesh, cut, m, lengths, blocks, routing);
      return out.peak > usable;
    };
    // On even load until one is drawn: what does not fit there does not fit anywhere.
    if (!known && (!load_ || !s_.model.moe) && too_much(even_, no_routing_)) return looked;
    if (!load_) draw_load();
    if (!known && s_.model.moe && too_much(*loaded_, load_->mean)) return looked;
    looked.mesh.share_network(s_.cluster);
    if (known) return looked;
    out.fits = true;
    out.bound = bound(looked);
    return looked;
  }

  void draw_load() {
    if (!s_.model.moe) {
      load_.emplace();
      return;
    }
    const ExpertLoad& drawn = of_.load(s_, first().cluster);
    if (waits_for_busiest()) least_ = least_of(drawn);
    load_ = flat(drawn);
    loaded_.emplace(s_, mesh_, load_->mean);
  }

  const StageCut& cut_of(const Plan& plan) {
    const auto cut = [&](const std::vector<std::int64_t>& layers) {
      return StageCut{make_stages(s_.model, layers, plan.recomputed_layers), first_layers(layers)};
    };
    if (plan.layers_per_stage) {
      const auto [entry, fresh] = cuts_.try_emplace({*plan.layers_per_stage, false});
      if (fresh) entry->second = cut(*plan.layers_per_stage);
      return entry->second;
    }
    if (!costs_) costs_ = layer_costs(s_, even_, timing_);
    const StageShape shape = stage_shape(plan);
    const auto [entry, fresh] = cuts_.try_emplace({{-1, shape.stages}, shape.paired});
    if (fresh) entry->second = cut(of_.split(shape, *costs_));
    return entry->second;
  }

  // What a rank keeps does not depend on how long the step goes on, except where all of it comes first; nor on when gradients and
  // parameters travel.
  Bytes peak(const DeviceMesh& mesh, const StageCut& cut, std::int64_t m, const RunLengths& lengths, BlockMemory& blocks,
             const LayerRouting& routing) {
    const Plan& p = s_.plan;
    const bool all_first = p.schedule == ScheduleKind::gpipe && p.pipeline_parallel > 1;
    if (p.schedule_file || (all_first && lengths.longer != m)) {
      const PipelineSchedule whole = schedule_of(p, m);
      return peak_of(memory_of_ranks({s_, mesh, whole, cut, routing}, blocks));
    }
    const auto [entry, fresh] =
        peaks_.try_emplace({p.schedule, p.pipeline_parallel, p.virtual_pipeline_stages, p.sharding, p.sharding_group, &cut, &blocks});
    if (fresh) entry->second = peak_of(memory_of_ranks({s_, mesh, of_.scheduled(p, lengths.longer).schedule, cut, routing}, blocks));
    return entry->second;
  }

  // Every rank waits for the busiest one: what a bound may count on.
  bool waits_for_busiest() const { return s_.perturbations.none() && s_.fidelity == Fidelity::folded && s_.extent == Extent::step; }

  const BlockChains& chains_of(BlockKind kind, const Conditions& conditions) {
    std::optional<BlockChains>& known = chains_[static_cast<std::size_t>(kind)];
    if (!known) {
      BlockMemory& blocks = loaded_ && waits_for_busiest() ? *loaded_ : even_;
      known = block_chains(blocks.of(kind).block, least_, timing_, conditions);
    }
    return *known;
  }

  Seconds bound(const Looked& looked) {
    const Plan& p = s_.plan;
    const auto& [cut, m, lengths] = std::tie(*looked.cut, looked.micro_batches, looked.lengths);
    const auto [entry, fresh] = bounds_.try_emplace({p.schedule, p.pipeline_parallel, p.virtual_pipeline_stages, &cut});
    if (!fresh && !p.schedule_file) return entry->second;
    Conditions conditions = conditions_;
    conditions.clock_mhz = clock(looked);
    std::vector<BlockChains> stages;
    double kernels = 0;
    for (const Stage& stage : cut.stages) {
      BlockChains sum;
      for (const BlockKind kind : stage) {
        sum.forward += chains_of(kind, conditions).forward;
        sum.weights += chains_of(kind, conditions).weights;
      }
      for (auto kind = stage.rbegin(); kind != stage.rend(); ++kind) sum.backward += chains_of(*kind, conditions).backward;
      kernels += sum.forward.kernels + sum.backward.kernels + sum.weights;
      stages.push_back(sum);
    }
    const double slack = conditions.clock_mhz > 0 ? kOtherClock : 1;
    if (p.schedule_file) return Seconds{slack * kernels * static_cast<double>(m) / static_cast<double>(p.pipeline_parallel)};
    const double wire = transfer(looked.mesh);
    double all = of_.scheduled(p, lengths.longer).program.bound(stages, wire);
    if (lengths.longer != m) {
      const double less = of_.scheduled(p, lengths.shorter).program.bound(stages, wire);
      all += (all - less) / static_cast<double>(lengths.longer - lengths.shorter) * static_cast<double>(m - lengths.longer);
    }
    entry->second = Seconds{slack * all};
    return entry->second;
  }

  bool replicas_alike() const {
    return s_.perturbations.none() && s_.fidelity == Fidelity::folded && s_.extent == Extent::step && !s_.plan.schedule_file;
  }
  bool by_chunks() const {
    const Plan& p = s_.plan;
    return replicas_alike() && s_.calibration.stack.framework.value == Framework::fused && p.offload.empty() &&
           p.sharding != Sharding::zero_3 && !reduces_every_micro_batch(p);
  }

  std::optional<Seconds> time(const Looked& looked) {
    const auto& [mesh, cut, m, lengths] = std::tie(looked.mesh, *looked.cut, looked.micro_batches, looked.lengths);
    if (!by_chunks()) return by_short_steps(looked);
    const ChunkProgram& program = of_.scheduled(s_.plan, lengths.longer).program;
    Conditions conditions = conditions_;
    conditions.clock_mhz = clock(looked);
    const StepEndInput end{s_, mesh, cut, program, even_, timing_, conditions};
    const double wire = transfer(mesh);
    const std::vector<double> gathered = first_gathered(end);
    const ChunkProgram::Run longer = program.run(chunks_.of({program, s_.plan, mesh, cut}), wire, gathered);
    double step = step_end_time(end, longer);
    if (lengths.longer != m) {
      const ChunkProgram& shorter = of_.scheduled(s_.plan, lengths.shorter).program;
      const double less = shorter.run(chunks_.of({shorter, s_.plan, mesh, cut}), wire, gathered).makespan;
      step += (longer.makespan - less) / static_cast<double>(lengths.longer - lengths.shorter) * static_cast<double>(m - lengths.longer);
    }
    return Seconds{step};
  }

  void want_chunks(const Looked& looked) {
    clock(looked);
    for (const std::int64_t length : {looked.lengths.longer, looked.lengths.shorter}) {
      chunks_.want({of_.scheduled(s_.plan, length).program, s_.plan, looked.mesh, *looked.cut});
    }
  }

  // Without a pipeline micro-batches follow each other: a step of few is simulated whole, with the mean routing, and continued.
  std::optional<Seconds> by_short_steps(const Looked& looked) {
    if (!replicas_alike() || s_.plan.pipeline_parallel > 1) return std::nullopt;
    const std::int64_t m = looked.micro_batches;
    Scenario s = s_;
    const auto of = [&](std::int64_t micro_batches) {
      s.training.global_batch_size = micro_batches * looked.mesh.data_parallel() * s.plan.micro_batch_size;
      const PipelineSchedule schedule = schedule_of(s.plan, micro_batches);
      LoweringInput in{s, looked.mesh, schedule, *looked.cut, *load_, timing_, clock(looked)};
      in.blocks = &blocks_;
      return steady_step(in).trace.makespan.seconds();
    };
    if (m <= 3) return of(m);
    const Seconds three = of(3);
    return three + (three - of(2)) * static_cast<double>(m - 3);
  }

  // That the chip holds in a step of the group, as in the first that was timed.
  double clock(const Looked& looked) {
    if (!clock_) {
      PipelineSchedule one;
      one.micro_batches = static_cast<std::int32_t>(looked.micro_batches);
      clock_ = step_clock_mhz({s_, mesh_, one, *looked.cut, *load_, timing_});
    }
    return *clock_;
  }

  double transfer(const DeviceMesh& mesh) {
    const Collective send{.kind = CollectiveKind::send_recv,
                          .bytes = Sizes(even_.context()).residual(),
                          .ranks = 2,
                          .ranks_per_node = std::min<std::int64_t>(2, mesh.pipeline().ranks_per_node),
                          .scale_up_bytes = {},
                          .nic_share = mesh.pipeline().nic_share};
    return timing_.time(send).time.value();
  }

  const Screening& of_;
  const std::vector<std::size_t>& members_;
  Scenario s_;
  const Timing& timing_;
  DeviceMesh mesh_;  // of the first layout: the groups of tensor, context and expert parallelism are all members'
  LayerRouting no_routing_;
  BlockMemory even_;
  Conditions conditions_;
  std::optional<ExpertLoad> load_;
  std::optional<BlockMemory> loaded_;
  std::optional<LayerCosts> costs_;
  std::optional<double> clock_;
  std::map<std::pair<std::vector<std::int64_t>, bool>, StageCut> cuts_;  // by layers of each stage, or -1 and the number of stages; paired?
  using PeakKey =
      std::tuple<ScheduleKind, std::int64_t, std::int64_t, Sharding, std::optional<std::int64_t>, const StageCut*, const BlockMemory*>;
  std::map<PeakKey, Bytes> peaks_;
  std::array<std::optional<BlockChains>, kBlockKindCount> chains_;
  LayerRouting least_;
  std::map<std::tuple<ScheduleKind, std::int64_t, std::int64_t, const StageCut*>, Seconds> bounds_;
  TimedBlocks blocks_;
  ChunkSet chunks_;
};

Screening::Screening(const std::vector<Scenario>& clusters, const std::vector<Layout>& layouts, const Screening* loads_of, unsigned threads)
    : clusters_(clusters), layouts_(layouts), loads_of_(loads_of) {
  for (const Layout& l : layouts) {
    std::unique_ptr<Sized>& sized = sized_[{l.cluster, l.nodes}];
    if (sized) continue;
    Scenario s = clusters[l.cluster];
    s.cluster.nodes = l.nodes;
    sized = std::make_unique<Sized>(std::move(s));
  }
  std::vector<std::string> keys(layouts.size());
  constexpr std::size_t kAtOnce = 1024;
  parallel_for((layouts.size() + kAtOnce - 1) / kAtOnce, threads, [&](std::size_t part) {
    for (std::size_t i = part * kAtOnce; i < std::min(layouts.size(), (part + 1) * kAtOnce); ++i) {
      keys[i] = kernel_key(layouts[i], sized_.at({layouts[i].cluster, layouts[i].nodes})->scenario);
    }
  });
  std::unordered_map<std::string, std::size_t> family_of, group_of;
  const auto add = [](std::size_t layout, std::unordered_map<std::string, std::size_t>& known, const std::string& key, auto& sets) {
    const auto [entry, fresh] = known.try_emplace(key, sets.size());
    if (fresh) sets.emplace_back();
    sets[entry->second].push_back(layout);
    return entry->second;
  };
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    add(i, family_of, keys[i], families_);
    group_of_.push_back(add(i, group_of, keys[i] + " in " + std::to_string(layouts[i].plan.pipeline_parallel), groups_));
  }
  spread_loads();
}

// Families that share a draw of routing lie far apart, lest threads wait for each other's draw.
void Screening::spread_loads() {
  std::map<LoadKey, std::size_t> seen;
  std::vector<std::pair<std::size_t, std::vector<std::size_t>>> ordered;
  for (std::vector<std::size_t>& family : families_) {
    const Layout& first = layouts_[family.front()];
    const std::size_t number = clusters_[first.cluster].model.moe ? seen[load_key(scenario(first), first.cluster)]++ : 0;
    ordered.emplace_back(number, std::move(family));
  }
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  family_of_.resize(layouts_.size());
  for (std::size_t i = 0; i < families_.size(); ++i) {
    families_[i] = std::move(ordered[i].second);
    for (const std::size_t layout : families_[i]) family_of_[layout] = i;
  }
}

std::vector<Screened> Screening::look(std::size_t family) const {
  return looked_.get(family, [&] { return Group(*this, families_[family]).look(); });
}

const Screened* Screening::looked_at(std::size_t layout) const {
  const std::size_t family = family_of_[layout];
  const std::vector<Screened>* looked = looked_.find(family);
  if (looked == nullptr) return nullptr;
  const std::vector<std::size_t>& members = families_[family];  // ascending
  return &(*looked)[static_cast<std::size_t>(std::lower_bound(members.begin(), members.end(), layout) - members.begin())];
}

std::vector<Screened> Screening::screen(std::size_t group) const { return Group(*this, groups_[group]).screen(); }

Scenario Screening::scenario(const Layout& layout) const {
  Scenario s = sized_.at({layout.cluster, layout.nodes})->scenario;
  s.plan = layout.plan;
  return s;
}

const Screening::Scheduled& Screening::scheduled(const Plan& plan, std::int64_t micro_batches) const {
  return schedules_.get({plan.schedule, plan.pipeline_parallel, micro_batches, plan.virtual_pipeline_stages}, [&] {
    PipelineSchedule schedule = make_schedule(plan.schedule, plan.pipeline_parallel, micro_batches, plan.virtual_pipeline_stages);
    ChunkProgram program(schedule);
    return Scheduled{std::move(schedule), std::move(program)};
  });
}

const std::vector<std::int64_t>& Screening::split(const StageShape& shape, const LayerCosts& costs) const {
  return splits_.get({shape, costs}, [&] { return even_split(shape, costs); });
}

std::optional<Screening::Whole> Screening::simulate(const Layout& layout) const {
  const Scenario s = scenario(layout);
  const Timing& timing = this->timing(layout);
  const auto known = s.model.moe ? std::optional(load(s, layout.cluster)) : std::nullopt;
  const auto outcome = lay_out(s, timing, known);
  const auto* step = std::get_if<PreparedStep>(&outcome);
  if (step == nullptr || why_memory_short(step->memory, s.cluster.gpu)) return std::nullopt;
  return Whole{simulate_prepared(s, *step, timing), peak_of(step->memory)};
}

const ExpertLoad& Screening::load(const Scenario& s, std::size_t cluster) const {
  if (loads_of_ != nullptr) return loads_of_->load(s, cluster);
  return loads_.get(load_key(s, cluster), [&] { return routing_.load_of(s, DeviceMesh(s.plan, s.cluster)); });
}

Screening::LoadKey Screening::load_key(const Scenario& s, std::size_t cluster) {
  const ExpertGroup group = expert_group(s, DeviceMesh(s.plan, s.cluster));
  return {cluster, group.ranks, group.ranks_per_node, group.tokens_per_rank, s.plan.expert_placement};
}

}  // namespace trillion
