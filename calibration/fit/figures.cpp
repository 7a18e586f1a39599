#include "calibration/fit/figures.h"

#include <algorithm>
#include <map>

#include "calibration/fit/median.h"
#include "sim/base/number_text.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

template <class T>
Figure<T> assumed(T value, const char* why) {
  return {value, {Origin::assumed, why}};
}

// Samples of one figure and where they come from.
struct Samples {
  std::vector<double> values;
  std::string source;
  void add(double value, const RawFile& file) {
    if (value <= 0) return;
    values.push_back(value);
    source = file.provenance.source;
  }
  template <class T>
  void into(Figure<T>& figure) const {
    if (!values.empty()) figure = {static_cast<T>(median(values)), {Origin::measured, source}};
  }
};

// What kernels and communication cost each other.
struct Beside {
  Samples gemm, attention, memory, communication;

  void add(const std::string& op, double slower, double fewer, const RawFile& file) {
    if (op == "gemm") gemm.add(slower / fewer, file);
    if (op == "attention") attention.add(slower / fewer, file);
    if (op == "memory_bound") memory.add(slower, file);
  }
  void into(Stack& stack) const {
    gemm.into(stack.beside_communication_gemm);
    attention.into(stack.beside_communication_attention);
    memory.into(stack.beside_communication_memory);
    communication.into(stack.beside_compute_communication);
  }
};

// Calls of a dense layer's forward and backward pass as the simulator counts them (sim/workload/torch_layer.cpp; a test compares).
constexpr double kLayerProducts = 23, kLayerElementwise = 78;

// What the rows of host.cu, interference.cu, overlap.cu and collective.cu say.
struct Measured {
  Samples issue, gap, graph_gap, round_trip, product, elementwise, layer, host_to_device, device_to_host;
  Beside stand_in, real;  // beside a kernel that only holds SMs and copies; beside a collective
  Samples channels;       // blocks of large ring collectives

  void launch(const JsonLine& line, const RawFile& file) {
    const std::string kind = text_of(line, "kind");
    if (kind == "issue") issue.add(number_of(line, "time_s"), file);
    if (kind == "gap") gap.add(number_of(line, "time_s"), file);
    if (kind == "round_trip") round_trip.add(number_of(line, "time_s"), file);
    if (kind == "graph_gap") graph_gap.add(number_of(line, "time_s"), file);
    if (kind == "torch_linear_autograd") product.add(number_of(line, "time_s"), file);
    if (kind == "torch_add_autograd") elementwise.add(number_of(line, "time_s"), file);
    if (kind == "torch_layer") layer.add(number_of(line, "time_s"), file);
  }

  // What a call costs in a loop of its own, times what a layer's calls cost over what as many such loops would: among others a call finds
  // its code and data no longer in the caches.
  void host_calls_into(Stack& stack) const {
    product.into(stack.host_product);
    elementwise.into(stack.host_elementwise);
    if (layer.values.empty()) return;
    Figure<Seconds> whole;
    layer.into(whole);
    const double among_others =
        whole.value / (kLayerProducts * stack.host_product.value + kLayerElementwise * stack.host_elementwise.value);
    for (Figure<Seconds>* figure : {&stack.host_product, &stack.host_elementwise}) {
      figure->value *= among_others;
      figure->provenance.source += "; times " + percent_text(among_others) + ", as in a decoder's layer: " + whole.provenance.source;
    }
  }

  // Large copies only: small ones measure latency.
  void host_copy(const JsonLine& line, const RawFile& file) {
    const double bytes = number_of(line, "bytes"), time = number_of(line, "time_s");
    if (bytes < 64.0 * 1024 * 1024 || time <= 0) return;
    (text_of(line, "direction") == "host_to_device" ? host_to_device : device_to_host).add(bytes / time, file);
  }

  // The victim's time beside a holder that also moves bytes, over its time alone scaled to the SMs that it kept.
  void interference(const JsonLine& line, const RawFile& file, double sms) {
    const JsonValue* victim = line.find("victim");
    const double time = number_of(line, "time_s"), alone = number_of(line, "alone_s"), held = number_of(line, "beside_sms");
    if (victim == nullptr || text_of(line, "beside_traffic") != "memory" || time <= 0 || alone <= 0 || held <= 0 || held >= sms) return;
    const std::string op = text_of(parse_json_line(victim->text, line.where), "op");
    const double fewer = sms / (sms - held);
    stand_in.add(op, time / alone, fewer, file);
  }

  // The same beside a real collective of the library's own choice of channels, and the collective's time beside the kernel. Long
  // calls only: a short one mostly waits for the kernel that holds the SMs when it comes, which is no slowdown. For the same
  // reason the collective's own figure is taken beside kernels that are short against it; kernels that live on the memory are left
  // out of it, for they are few in a step.
  void overlap(const JsonLine& line, const RawFile& file, double sms) {
    const JsonLine victim = parse_json_line(line.find("victim")->text, line.where),
                   beside = parse_json_line(line.find("beside")->text, line.where);
    const double held = number_of(line, "channels"), alone = number_of(line, "alone_s"), beside_alone = number_of(line, "beside_alone_s");
    if (number_of(beside, "bytes") < 256.0 * 1024 * 1024 || number_of(beside, "sms") > 0 || held <= 0 || held >= sms || alone <= 0) return;
    const std::string op = text_of(victim, "op");
    real.add(op, number_of(line, "time_s") / alone, sms / (sms - held), file);
    if (op != "memory_bound" && alone < 0.1 * beside_alone) real.communication.add(number_of(line, "beside_time_s") / beside_alone, file);
  }

  void collective(const RawRow& row, const RawFile& file) {
    const auto* c = std::get_if<Collective>(&row.query.shape);
    const bool ring = c != nullptr && (c->kind == CollectiveKind::all_reduce || c->kind == CollectiveKind::all_gather ||
                                       c->kind == CollectiveKind::reduce_scatter);
    if (ring && c->bytes >= 16 * kMiB) channels.add(static_cast<double>(row.channels), file);
  }
};

// Sustained over burst time of the same shape, for kernels long enough to feel the clock.
struct LoadPairs {
  struct Pair {
    double burst = 0, sustained = 0;
    const RawFile* file = nullptr;
  };
  std::map<std::string, Pair> gemm, attention, memory;

  void add(const RawRow& row, const RawFile& file) {
    if (row.provenance.origin != Origin::measured || row.time.value() < 1e-4) return;
    ShapeQuery shape = row.query;
    shape.load = Load::burst;
    const bool is_gemm = std::holds_alternative<Gemm>(shape.shape), is_attention = std::holds_alternative<Attention>(shape.shape);
    if (!is_gemm && !is_attention && !std::holds_alternative<MemoryBound>(shape.shape)) return;
    Pair& pair = (is_gemm ? gemm : is_attention ? attention : memory)[file.gpu + row.path + shape_text(shape)];
    (row.query.load == Load::burst ? pair.burst : pair.sustained) = row.time.value();
    pair.file = &file;
  }

  static void into(const std::map<std::string, Pair>& pairs, Figure<double>& figure) {
    Samples ratios;
    for (const auto& [shape, pair] : pairs) {
      if (pair.burst > 0 && pair.sustained > 0) ratios.add(pair.sustained / pair.burst, *pair.file);
    }
    ratios.into(figure);
  }
};

}  // namespace

Stack assumed_stack() {
  Stack s;
  s.framework = assumed(Framework::fused, "a training library with joined projections and fused elementwise kernels");
  s.attention = assumed(AttentionLibrary::fastest, "the fastest library that was measured");
  s.kernel_gap = assumed(Seconds{1.5e-6}, "between kernels of a full queue on Hopper; DeepSeek's trace shows 2 us at 1 us resolution");
  s.host_launch = assumed(Seconds{5e-6}, "PyTorch eager issues an operator in 4 to 10 us");
  s.host_product = assumed(Seconds{20e-6}, "PyTorch eager: a linear layer with its autograd node");
  s.host_elementwise = assumed(Seconds{10e-6}, "PyTorch eager issues an operator in 4 to 10 us");
  s.host_wait = assumed(Seconds{10e-6}, "launch an empty kernel and wait for it, on hosts with an H100");
  s.sustained_gemm = assumed(1.12, "an H100 at its 700 W limit runs large GEMMs 10 to 15 % below its burst clock");
  s.sustained_attention = assumed(1.08, "attention draws less power than GEMM and throttles less");
  s.sustained_memory = assumed(1.0, "memory-bound kernels do not reach the power limit");
  s.chip_spread = assumed(0.015,
                          "between a cluster's V100s, arXiv:2208.11035 (8 % between the slowest and the fastest without outliers, products "
                          "under the power limit, taken for whiskers 5.4 standard deviations apart), and five H100s of five hosts here: "
                          "1.0 % in raw/h100's products, 95 % interval 0.6 to 2.8 %");
  const char* why = "beyond the SMs that communication holds; not measured here";
  s.beside_communication_gemm = assumed(1.0, why);
  s.beside_communication_attention = assumed(1.0, why);
  s.beside_communication_memory = assumed(1.05, why);
  s.beside_compute_communication = assumed(1.0, why);
  s.collective_sms = assumed(std::int64_t{16}, "NCCL on NVSwitch systems opens 16 to 24 channels of one block each");
  s.nvls = assumed(Nvls::enabled, "NCCL's default since 2.17 (NCCL_NVLS_ENABLE); a stack may turn it off");
  s.context = assumed(600 * kMiB, "CUDA context and loaded kernels of a PyTorch process");
  s.collective_buffers = assumed(1536 * kMiB, "NCCL: some communicators of 16 to 24 channels, 4 to 8 MiB each per peer");
  s.expert_buffers = assumed(1024 * kMiB, "DeepEP: NVLink and RDMA staging buffers");
  s.workspace = assumed(96 * kMiB, "cuBLASLt's 32 MiB per stream, attention's semaphores and statistics");
  s.fragmentation = assumed(0.03, "reserved and unused blocks of PyTorch's caching allocator in a steady step");
  s.host_to_device = assumed(BytesPerSecond{52e9}, "85 % of PCIe Gen5 x16");
  s.device_to_host = assumed(BytesPerSecond{52e9}, "85 % of PCIe Gen5 x16");
  s.fp8 = assumed(DType::fp8, "tensor-wide scales, Transformer Engine's default recipe");
  s.fused = assumed(std::vector<std::string>{}, "nothing is fused beyond what one named kernel does");
  s.unfused = assumed(std::vector<UnfusedPart>{}, "attention is FlashAttention or its kin in every stack since 2023");
  return s;
}

void apply_measured_figures(const std::vector<RawFile>& files, const Chip& chip, Stack& stack, std::vector<std::string>& notes) {
  Measured measured;
  LoadPairs pairs;
  for (const auto& file : files) {
    for (const auto& row : file.rows) pairs.add(row, file), measured.collective(row, file);
    const double sms = static_cast<double>(file.sms > 0 ? file.sms : chip.sms);
    for (const auto& line : file.others) {
      if (line.find("unsupported") != nullptr) continue;
      const std::string op = text_of(line, "op");
      if (op == "launch") measured.launch(line, file);
      if (op == "host_copy") measured.host_copy(line, file);
      if (op != "interference") continue;
      line.find("beside") != nullptr ? measured.overlap(line, file, sms) : measured.interference(line, file, sms);
    }
  }
  LoadPairs::into(pairs.gemm, stack.sustained_gemm);
  LoadPairs::into(pairs.attention, stack.sustained_attention);
  LoadPairs::into(pairs.memory, stack.sustained_memory);
  measured.issue.into(stack.host_launch);
  measured.gap.into(stack.kernel_gap);
  // The probes launch short kernels from a graph, back to back: their rows hold its gap already.
  if (!measured.gap.values.empty() && !measured.graph_gap.values.empty()) {
    Figure<Seconds> held;
    measured.graph_gap.into(held);
    stack.kernel_gap.value = std::max(Seconds{}, stack.kernel_gap.value - held.value);
    stack.kernel_gap.provenance.source += "; beyond the gap in a graph, which the kernels' own rows hold";
  }
  measured.host_calls_into(stack);
  measured.round_trip.into(stack.host_wait);
  measured.host_to_device.into(stack.host_to_device);
  measured.device_to_host.into(stack.device_to_host);
  measured.stand_in.into(stack);
  measured.real.into(stack);
  measured.channels.into(stack.collective_sms);
  for (auto* factor : {&stack.beside_communication_gemm, &stack.beside_communication_attention, &stack.beside_communication_memory}) {
    if (factor->value >= 1) continue;
    notes.push_back("interference below 1 (" + exact_number_text(factor->value) + ") is taken as none");
    factor->value = 1;
  }
}

void apply_facts(const Facts& facts, Stack& stack) {
  // Both stacks are walked in the same order; a given figure has a source.
  std::vector<const void*> given;
  for_each_figure(facts.stack,
                  [&](const char*, const auto& figure) { given.push_back(figure.provenance.source.empty() ? nullptr : &figure); });
  std::size_t i = 0;
  for_each_figure(stack, [&](const char*, auto& figure) {
    const void* from = given[i++];
    if (from != nullptr) figure = *static_cast<const std::remove_reference_t<decltype(figure)>*>(from);
  });
}

}  // namespace trillion
