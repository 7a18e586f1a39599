#include <array>
#include <istream>
#include <optional>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/number_text.h"
#include "sim/cli/command_line.h"
#include "sim/cli/output_file.h"
#include "sim/cli/shape_lines.h"
#include "sim/cli/verbs.h"
#include "sim/net/flows_on_cluster.h"
#include "sim/report/table.h"
#include "sim/spec/load_calibration.h"
#include "sim/spec/unit_text.h"
#include "sim/timing/timing.h"

namespace trillion {
namespace {

struct TimedShape {
  ShapeLine shape;
  KernelTime answer;
  CurveInfo curve;
  std::int64_t sms = 0;                        // that the kernel had, or that the collective held
  std::string algorithm;                       // of a collective, as NCCL chooses; empty elsewhere
  std::variant<FlowTimes, std::string> flows;  // of a collective on a cluster that was given, or why none; an empty text elsewhere
};

// The calibrated machine as a cluster: curves then speak unscaled.
Cluster calibrated_machine(const Calibration& calibration) {
  Cluster cluster;
  cluster.name = calibration.gpu;
  cluster.nodes = 1;
  cluster.gpus_per_node = 8;
  cluster.gpu.name = calibration.gpu;
  cluster.gpu.sms = calibration.chip.sms;
  cluster.gpu.peak_bf16 = calibration.chip.peak_bf16;
  cluster.gpu.peak_fp8 = calibration.chip.peak_fp8;
  cluster.gpu.memory_bandwidth = calibration.chip.memory_bandwidth;
  cluster.scale_up.domain_gpus = cluster.gpus_per_node;
  cluster.scale_up.bandwidth = calibration.chip.nvlink;
  cluster.scale_out.nics_per_node = cluster.gpus_per_node;
  cluster.scale_out.nic_bandwidth = calibration.chip.nic;
  return cluster;
}

TimedShape timed(const ShapeLine& shape, const Timing& timing, std::int64_t all_sms) {
  TimedShape result;
  result.shape = shape;
  const ShapeQuery& query = shape.query;
  if (const auto* collective = std::get_if<Collective>(&query.shape)) {
    result.answer = timing.time(*collective, query.load);
    result.algorithm = timing.algorithm(*collective);
    result.sms = timing.sms_held(collective->kind);
  } else {
    Kernel kernel;
    if (const auto* gemm = std::get_if<Gemm>(&query.shape)) kernel = *gemm;
    if (const auto* gemm = std::get_if<GroupedGemm>(&query.shape)) kernel = *gemm;
    if (const auto* attention = std::get_if<Attention>(&query.shape)) kernel = *attention;
    if (const auto* memory = std::get_if<MemoryBound>(&query.shape)) kernel = *memory;
    result.answer = timing.time(kernel, {query.sms, query.load});
    result.sms = query.sms > 0 ? query.sms : all_sms;
  }
  result.curve = timing.curve(result.answer.curve);
  return result;
}

// The algorithm of net/collective_flows.h nearest to what the library does: the switch's sums keep what leaves a node to one part a GPU.
CollectiveAlgorithm flows_like(CollectiveKind kind, const std::string& algorithm) {
  if (kind == CollectiveKind::all_to_all) return CollectiveAlgorithm::pairwise;
  if (algorithm == "NVLS tree") return CollectiveAlgorithm::hierarchical;
  return algorithm.starts_with("tree") ? CollectiveAlgorithm::tree : CollectiveAlgorithm::ring;
}

void add_flows(std::vector<TimedShape>& all, const Cluster& cluster) {
  std::optional<Fabric> fabric;
  for (TimedShape& timed : all) {
    const auto* c = std::get_if<Collective>(&timed.shape.query.shape);
    if (c == nullptr) continue;
    if (!fabric) fabric = Fabric::build(cluster);
    timed.flows = flow_times(*c, flows_like(c->kind, timed.algorithm), cluster, *fabric);
  }
}

std::vector<TimedShape> timed_all(const std::vector<ShapeLine>& shapes, const Timing& timing, std::int64_t all_sms) {
  std::vector<TimedShape> all;
  std::vector<Diagnostic> wrong;
  for (const ShapeLine& shape : shapes) {
    try {
      all.push_back(timed(shape, timing, all_sms));
    } catch (const InputError& error) {  // nothing related in the profile: said with the line
      for (const Diagnostic& d : error.diagnostics()) wrong.push_back(shape.line.diagnostic(1, d.message, d.hint));
    }
  }
  if (!wrong.empty()) throw InputError(std::move(wrong));
  return all;
}

// The line as it was asked, then the answer's members; those of an earlier answer are replaced.
std::string json_line(const TimedShape& timed) {
  std::vector<std::pair<std::string, std::string>> answer = {{"time_s", exact_number_text(timed.answer.time.value())},
                                                             {"low_s", exact_number_text(timed.answer.low.value())},
                                                             {"high_s", exact_number_text(timed.answer.high.value())},
                                                             {"origin", json_quoted(to_text(timed.curve.provenance.origin))},
                                                             {"sms", std::to_string(timed.sms)},
                                                             {"curve", json_quoted(timed.curve.name)},
                                                             {"source", json_quoted(timed.curve.provenance.source)},
                                                             {"extrapolated", timed.answer.extrapolated ? "true" : "false"}};
  if (!timed.algorithm.empty()) answer.emplace_back("algorithm", json_quoted(timed.algorithm));
  if (const auto* flows = std::get_if<FlowTimes>(&timed.flows)) {
    answer.emplace_back("flows_s", exact_number_text(flows->alone.value()));
    answer.emplace_back("flows_beside_others_s", exact_number_text(flows->beside_others.value()));
    answer.emplace_back("groups", std::to_string(flows->groups));
  } else if (const auto& why = std::get<std::string>(timed.flows); !why.empty()) {
    answer.emplace_back("no_flows", json_quoted(why));
  }
  std::string text;
  const auto add = [&](const std::string& key, const std::string& value) {
    text += (text.empty() ? "{" : ",") + json_quoted(key) + ":" + value;
  };
  for (const JsonMember& member : timed.shape.line.members) {
    bool replaced = false;
    for (const auto& [key, value] : answer) replaced = replaced || key == member.key;
    if (!replaced) add(member.key, member.value.kind == JsonKind::string ? json_quoted(member.value.text) : member.value.text);
  }
  for (const auto& [key, value] : answer) add(key, value);
  return text + "}\n";
}

std::string rate_of(const TimedShape& timed) {
  const Seconds time = timed.answer.time;
  const Shape& shape = timed.shape.query.shape;
  if (const auto* gemm = std::get_if<Gemm>(&shape)) return flops_rate_text(flops(*gemm) / time);
  if (const auto* gemm = std::get_if<GroupedGemm>(&shape)) return flops_rate_text(flops(*gemm) / time);
  if (const auto* attention = std::get_if<Attention>(&shape)) return flops_rate_text(flops(*attention) / time);
  if (const auto* memory = std::get_if<MemoryBound>(&shape)) return rate_text((memory->read + memory->written) / time);
  return rate_text(std::get<Collective>(shape).bytes / time);
}

std::string flows_text(const TimedShape& timed) {
  const auto* flows = std::get_if<FlowTimes>(&timed.flows);
  if (flows == nullptr) return std::get<std::string>(timed.flows);
  return duration_text(flows->alone) + ", " + duration_text(flows->beside_others) + " of " + std::to_string(flows->groups) + " groups";
}

std::string table_text(const std::vector<TimedShape>& all, const TextStyle& style) {
  Table table({{"shape", Align::left, Fit::shrink},
               {"SMs"},
               {"time"},
               {"90 % interval", Align::left, Fit::drop},
               {"rate"},
               {"as flows: alone, beside others", Align::left, Fit::drop},
               {"origin", Align::left},
               {"source", Align::left, Fit::shrink}});
  bool extrapolated = false;
  for (const TimedShape& timed : all) {
    const KernelTime& t = timed.answer;
    extrapolated = extrapolated || t.extrapolated;
    table.add_row({shape_text(timed.shape.query), std::to_string(timed.sms), duration_text(t.time) + (t.extrapolated ? " *" : ""),
                   duration_text(t.low) + " to " + duration_text(t.high), rate_of(timed), flows_text(timed),
                   to_text(timed.curve.provenance.origin), timed.curve.provenance.source});
  }
  return table.to_text(0, style) + (extrapolated ? "* the shape lies outside the range that the curve was measured in\n" : "");
}

std::vector<ShapeLine> read_shapes(const std::string& path, std::istream& standard_input) {
  if (path == "-") return read_shape_lines(standard_input, "standard input");
  std::istringstream stream(read_whole_file(path));
  return read_shape_lines(stream, path);
}

}  // namespace

int run_time(const TimeOptions& options, const Streams& streams) {
  const Calibration calibration = load_calibration(options.calibration);
  const Cluster cluster = options.cluster.empty() ? calibrated_machine(calibration) : load_cluster(options.cluster);
  const Timing timing(calibration, cluster);
  std::vector<TimedShape> all = timed_all(read_shapes(options.shapes, streams.in), timing, cluster.gpu.sms);
  if (!options.cluster.empty()) add_flows(all, cluster);
  std::string json;
  for (const TimedShape& one : all) json += json_line(one);
  const bool to_file = !options.json.empty() && options.json != "-";
  if (to_file) write_whole_file(options.json, json);
  const bool table = to_file || (options.json.empty() && streams.out_is_terminal);
  streams.out << (table ? table_text(all, streams.out_style) : json);
  return kExitDone;
}

}  // namespace trillion
