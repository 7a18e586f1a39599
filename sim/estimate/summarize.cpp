#include "sim/estimate/summarize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "sim/estimate/timeline.h"
#include "sim/moe/dispatch.h"
#include "sim/moe/gate.h"
#include "sim/net/fabric.h"
#include "sim/workload/counts.h"

namespace trillion {

namespace {

constexpr double kNormal90 = 1.645;  // standard deviations in half of a 90 % interval

// Sums over all tasks of all GPUs that are stood for, by what the kinds carry.
struct Totals {
  double gpus = 0;
  std::array<Seconds, kCategoryCount> balanced{};  // compute categories, even load
  Flops work;
  std::uint64_t kernels = 0;  // and communications, simulated
  Seconds host;               // issuing them
  std::array<WireBytes, kCategoryCount> wire{};
  std::vector<Seconds> by_curve;
  std::vector<bool> extrapolated;
  std::vector<double> spread;  // largest relative half-width that the curve gave
};

Totals total(const LoweredStep& step, const Trace& trace, std::size_t curves) {
  Totals t;
  t.by_curve.resize(curves);
  t.extrapolated.resize(curves);
  t.spread.resize(curves);
  std::vector<std::int64_t> weight;  // per stream
  for (std::size_t gpu = 0; gpu < step.streams.size(); ++gpu) {
    const std::int64_t stands_for = step.stands_for(static_cast<std::int32_t>(gpu));
    t.gpus += static_cast<double>(stands_for);
    weight.insert(weight.end(), step.streams[gpu].size(), stands_for);
  }
  std::vector<std::int64_t> count(step.graph.kind_count());
  std::vector<Seconds> busy(step.graph.kind_count());
  for (std::uint32_t i = 0; i < step.graph.task_count(); ++i) {
    const KindId k = step.graph.kind_id_of(TaskId{i});
    const std::int64_t n = weight[step.graph.stream_of(TaskId{i}).value];
    count[k.value] += n;
    busy[k.value] += (trace.end[i] - trace.start[i]).seconds() * static_cast<double>(n);
    const bool launch = static_cast<Category>(step.graph.kind(k).tag) == Category::host_launch;
    if (launch) t.host += (trace.end[i] - trace.start[i]).seconds() * static_cast<double>(n);
    if (!launch) t.kernels += std::max<std::size_t>(1, step.parts[k.value].size());
  }
  for (std::size_t k = 0; k < count.size(); ++k) {
    for (const KindId part : step.parts[k]) {
      count[part.value] += count[k];
      busy[part.value] += step.graph.kind(part).duration.seconds() * static_cast<double>(count[k]);
    }
  }
  for (std::size_t k = 0; k < count.size(); ++k) {
    if (!step.parts[k].empty()) continue;
    const Evidence& e = step.evidence[k];
    const TaskKind& kind = step.graph.kind(KindId{static_cast<std::uint32_t>(k)});
    const double n = static_cast<double>(count[k]);
    const auto category = static_cast<Category>(kind.tag);
    if (category == Category::host_launch) continue;
    t.work += e.work * n;
    t.wire[kind.tag].nic += e.wire.nic * n;
    t.wire[kind.tag].nvlink += e.wire.nvlink * n;
    t.by_curve[e.curve] += busy[k];
    t.extrapolated[e.curve] = t.extrapolated[e.curve] || e.extrapolated;
    t.spread[e.curve] = std::max(t.spread[e.curve], static_cast<double>(e.high - e.low) / 2);
    if (is_communication(category)) continue;
    t.balanced[kind.tag] += e.balanced.seconds() * n;
  }
  return t;
}

ComputeSeconds compute_seconds(const Totals& t) {
  const auto of = [&](Category c) { return t.balanced[static_cast<std::size_t>(c)] / t.gpus; };
  return {of(Category::attention),
          of(Category::dense_ffn),
          of(Category::experts),
          of(Category::gate),
          of(Category::embedding_and_head),
          of(Category::norm_and_elementwise),
          of(Category::cast_and_quantize),
          of(Category::recompute),
          of(Category::optimizer)};
}

std::vector<OriginShare> origin_shares(const Totals& t, const Timing& timing) {
  Seconds all;
  for (const Seconds s : t.by_curve) all += s;
  std::vector<OriginShare> out;
  for (std::size_t c = 0; c < t.by_curve.size(); ++c) {
    if (t.by_curve[c].value() <= 0) continue;
    const CurveInfo& info = timing.curve(static_cast<std::uint32_t>(c));
    out.push_back({info.name, info.provenance, t.by_curve[c] / all, static_cast<bool>(t.extrapolated[c])});
  }
  std::stable_sort(out.begin(), out.end(), [](const OriginShare& a, const OriginShare& b) { return a.share_of_time > b.share_of_time; });
  return out;
}

// The step is a sum of kernels of a few curves, and a curve's error is common to its kernels: to first order the step moves by
// share x error, the curves' errors add as squares. (Redrawing every curve and simulating again agrees; tests/estimate.)
double relative_spread(const LoweredStep& step, const Trace& trace, std::int32_t rank, const Totals& t) {
  std::vector<Seconds> busy(t.by_curve.size());
  for (const TaskId task : step.graph.tasks_of(step.streams[static_cast<std::size_t>(rank)][static_cast<std::size_t>(Lane::compute)])) {
    const KindId kind = step.graph.kind_id_of(task);
    for (const KindId part : step.parts[kind.value]) busy[step.evidence[part.value].curve] += step.graph.kind(part).duration.seconds();
    if (step.parts[kind.value].empty())
      busy[step.evidence[kind.value].curve] += (trace.end[task.value] - trace.start[task.value]).seconds();
  }
  double variance = 0;
  for (std::size_t c = 0; c < busy.size(); ++c) {
    const double sigma = busy[c] / trace.makespan.seconds() * t.spread[c] / kNormal90;
    variance += sigma * sigma;
  }
  return kNormal90 * std::sqrt(variance);
}

// What the GPU's kernels take longer than on even expert load. Where one GPU stands for all, it is the busiest of each layer and
// micro-batch; where every GPU has tokens of its own, this is the slowest one's, who waits least for the others.
Seconds beyond_even_load(const LoweredStep& step, std::int32_t gpu) {
  const auto of_kind = [&](KindId kind) {
    const auto category = static_cast<Category>(step.graph.kind(kind).tag);
    if (is_communication(category) || category == Category::host_launch) return Seconds{};
    return step.graph.kind(kind).duration.seconds() - step.evidence[kind.value].balanced.seconds();
  };
  Seconds sum;
  for (const TaskId task : step.graph.tasks_of(step.streams[static_cast<std::size_t>(gpu)][static_cast<std::size_t>(Lane::compute)])) {
    const KindId kind = step.graph.kind_id_of(task);
    if (step.parts[kind.value].empty()) sum += of_kind(kind);
    for (const KindId part : step.parts[kind.value]) sum += of_kind(part);
  }
  return sum;
}

RoutingResult routing_of(const Scenario& s, const ExpertLoad& load) {
  RoutingResult r;
  r.balance = load.balance;
  if (!s.model.moe) return r;
  r.tokens_per_expert_max_over_mean = load.mean.tokens_per_expert_max_over_mean;
  r.rank_load_max_over_mean = load.mean.rank_load_max_over_mean;
  r.nodes_per_token_mean = load.mean.nodes_per_token;
  r.tokens_per_expert_variation = load.mean.tokens_per_expert_variation;
  r.scale_out_max_over_mean = load.mean.scale_out_max_over_mean;
  r.dropped_share = load.mean.dropped_share;
  r.served_rows = load.mean.served;
  r.limited = gate_shape(*s.model.moe).limited();
  r.free_nodes_per_token = load.free_nodes_per_token;
  r.dispatch_copy =
      Bytes{dispatch_payload(s.model.hidden_size, s.model.moe->num_experts_per_tok, s.plan.precision == Precision::fp8).total()};
  r.combine_copy = Bytes{combine_payload(s.model.hidden_size).total()};
  const Bytes both_ways = r.dispatch_copy + r.combine_copy;
  r.bytes_per_token_scale_out = both_ways * load.mean.remote_nodes_per_token;
  r.bytes_per_token_scale_up = both_ways * load.mean.local_ranks_per_token;
  r.free_bytes_per_token_scale_out = both_ways * load.free_remote_nodes_per_token;
  r.layers = load.layers;
  return r;
}

// Share of a group's traffic between nodes that crosses links of this kind: rings talk to their neighbours, exchanges to all.
double share_over(LinkKind kind, const Fabric& fabric, const Group& group, bool ring) {
  double crossing = 0, pairs = 0;
  for (std::int64_t k = 1; k < group.size; ++k) {
    const Route route = fabric.route(ring ? (k - 1) * group.stride : 0, k * group.stride);
    if (route.network_switches == 0) continue;
    ++pairs;
    const auto links = route.links();
    if (std::any_of(links.begin(), links.end(), [&](std::uint32_t l) { return fabric.link(l).kind == kind; })) ++crossing;
  }
  return pairs > 0 ? crossing / pairs : 0;
}

const Group& group_of(Category category, const std::array<Group, 5>& groups) {
  switch (category) {
    case Category::expert_all_to_all: return groups[0];
    case Category::pipeline_p2p: return groups[1];
    case Category::tensor_parallel: return groups[2];
    case Category::context_parallel: return groups[3];
    default: return groups[4];
  }
}

// A leaf or spine link carries what passes it once up and once down; the figure is for one way, like the NIC's.
std::vector<LinkTraffic> traffic_of(const Scenario& s, const PreparedStep& p, const Totals& t, Seconds step_time) {
  const std::array<Group, 5> groups = {p.mesh.expert(), p.mesh.pipeline(), p.mesh.tensor(), p.mesh.context(), p.mesh.data()};
  const double gpus = s.extent == Extent::step ? static_cast<double>(s.cluster.gpus()) : 1.0;
  const Fabric fabric = Fabric::build(s.cluster);
  std::array<Bytes, kLinkKindNames.size()> bytes{};
  for (std::size_t c = 0; c < kCategoryCount; ++c) {
    const WireBytes wire{t.wire[c].nic * (gpus / t.gpus), t.wire[c].nvlink * (gpus / t.gpus)};
    if (wire.nic.value() == 0 && wire.nvlink.value() == 0) continue;
    const auto category = static_cast<Category>(c);
    const Group& group = group_of(category, groups);
    const bool ring = category != Category::expert_all_to_all;
    bytes[0] += wire.nvlink;
    bytes[1] += wire.nic;
    for (const LinkKind kind : {LinkKind::leaf, LinkKind::spine, LinkKind::local, LinkKind::global}) {
      if (wire.nic.value() > 0) bytes[static_cast<std::size_t>(kind)] += wire.nic * share_over(kind, fabric, group, ring);
    }
  }
  std::vector<LinkTraffic> out;
  constexpr std::array<const char*, kLinkKindNames.size()> kNames = {
      "NVLink, one way",        "NIC, one way", "leaf to spine, one way", "spine to core, one way", "router to router of a group, one way",
      "group to group, one way"};
  for (std::size_t kind = 0; kind < kNames.size(); ++kind) {
    const LinkClass links = fabric.links_of(static_cast<LinkKind>(kind));
    if (links.count == 0) continue;
    // The part of the links that the simulated GPUs own, where only some of the cluster's are looked at.
    const double share = gpus / static_cast<double>(s.cluster.gpus());
    const BytesPerSecond capacity = links.capacity * (static_cast<double>(links.count) / 2 * share);
    out.push_back({kNames[kind], std::string(kLinkKindNames[kind]), bytes[kind], bytes[kind] / step_time / capacity});
  }
  return out;
}

}  // namespace

StepResult summarize(const Scenario& s, const PreparedStep& p, const LoweredStep& step, const Trace& trace, const Timing& timing) {
  const Totals t = total(step, trace, timing.curves().size());

  std::int32_t slowest = 0;
  Seconds most_busy;
  for (std::size_t r = 0; r < step.streams.size(); ++r) {
    const Seconds busy = compute_busy(step, trace, static_cast<std::int32_t>(r));
    if (busy > most_busy) {
      most_busy = busy;
      slowest = static_cast<std::int32_t>(r);
    }
  }
  const RankTimeline timeline = rank_timeline(step, p.schedule, trace, slowest);

  StepResult r;
  r.time = trace.makespan.seconds();
  r.phases = timeline.phases;
  r.exposed = timeline.exposed;
  r.exposed.straggler += beyond_even_load(step, slowest);
  r.compute = compute_seconds(t);
  r.memory = p.memory;
  r.routing = routing_of(s, p.load);
  r.traffic = traffic_of(s, p, t, r.time);
  r.groups = group_placements(p.mesh, gradient_groups(p.mesh, copies_of_a_stage(p.schedule), s.plan), s.model);
  r.origins = origin_shares(t, timing);
  r.layers_per_stage = *p.plan.layers_per_stage;
  r.data_parallel = *p.plan.data_parallel;
  r.micro_batches = p.schedule.micro_batches;
  r.slowest_rank = slowest / step.replicas;
  const double spread = relative_spread(step, trace, slowest, t);
  r.time_low_ratio = 1 - spread;
  r.time_high_ratio = 1 + spread;
  r.events = trace.events;
  r.tasks = step.graph.task_count();
  r.kernels = t.kernels;
  r.clock_mhz = step.clock_mhz;
  r.host_issue = t.host / t.gpus;

  const double gpus = s.extent == Extent::step ? static_cast<double>(s.cluster.gpus()) : 1.0;
  const std::int64_t sequences = s.extent == Extent::step ? s.training.global_batch_size : s.plan.micro_batch_size;
  r.tokens = static_cast<double>(sequences) * static_cast<double>(s.training.sequence_length);
  const TokenFlops flops = flops_per_token(s.model, s.training.sequence_length);
  const double share = s.extent == Extent::step ? 1.0 : static_cast<double>(s.pair_layers) / static_cast<double>(s.model.num_hidden_layers);
  r.model_flops_causal = flops.causal * r.tokens * share;
  r.model_flops_noncausal = flops.noncausal * r.tokens * share;
  r.hardware_flops = t.work * (gpus / t.gpus);
  return r;
}

}  // namespace trillion
