#include "sim/spec/load_calibration.h"

#include <filesystem>
#include <system_error>

namespace trillion {
namespace {

Range read_range(YamlReader& reader, const char* key) {
  const auto ends = reader.numbers(key);
  if (!ends) return {};
  if (ends->size() != 2) {
    reader.problem(key, "a measured range is [low, high]");
    return {};
  }
  return {(*ends)[0], (*ends)[1]};
}

Residuals read_residuals(YamlReader& curve) {
  YamlReader reader = curve.mapping("residuals");
  Residuals residuals;
  residuals.median = reader.number("median");
  residuals.p90 = reader.number("p90");
  residuals.points = reader.integer("points");
  return residuals;
}

// What every curve has besides its key and parameters.
template <class Curve>
void finish_curve(YamlReader& reader, Curve& curve) {
  curve.info.residuals = read_residuals(reader);
  curve.info.provenance = reader.provenance();
  curve.info.scale = reader.number("scale", 1.0);
  curve.info.name = curve_name(curve);
}

GemmCorrection read_correction(YamlReader& curve) {
  GemmCorrection correction;
  auto reader = curve.optional_mapping("correction");
  if (!reader) return correction;
  correction.ln_fill = reader->numbers("ln_fill").value_or(std::vector<double>{});
  correction.ln_k = reader->numbers("ln_k").value_or(std::vector<double>{});
  correction.ln_factor = reader->numbers("ln_factor").value_or(std::vector<double>{});
  return correction;
}

// One by one with their efficiencies, or as two lists of sides at efficiency 1.
std::vector<GemmTile> read_tiles(YamlReader& reader) {
  std::vector<GemmTile> tiles;
  const auto m = reader.numbers("tiles_m"), n = reader.numbers("tiles_n");
  if (m && n) {
    for (std::size_t i = 0; i < m->size() && i < n->size(); ++i) {
      tiles.push_back({static_cast<std::int64_t>((*m)[i]), static_cast<std::int64_t>((*n)[i]), 1.0});
    }
    if (m->size() != n->size()) tiles.clear();  // judged as a curve without tiles
    return tiles;
  }
  for (YamlReader& tile : reader.mappings("tiles")) {
    tiles.push_back({tile.integer("m"), tile.integer("n"), tile.number("efficiency")});
  }
  return tiles;
}

GemmCurve read_gemm(YamlReader& reader) {
  GemmCurve curve;
  curve.grouped = reader.boolean("grouped", false);
  curve.dtype = reader.choice<DType>("dtype", kDTypeNames);
  curve.layout = reader.choice<GemmLayout>("layout", kGemmLayoutNames);
  curve.accumulate_fp32 = reader.boolean("accumulate", false);
  curve.load = reader.choice<Load>("load", kLoadNames);
  curve.sm_rate = reader.quantity<FlopsPerSecond>("sm_rate");
  curve.tiles = read_tiles(reader);
  curve.sm_load = reader.quantity<BytesPerSecond>("sm_load", BytesPerSecond{});
  curve.chip_load = reader.quantity<BytesPerSecond>("chip_load", BytesPerSecond{});
  curve.sm_store = reader.quantity<BytesPerSecond>("sm_store", BytesPerSecond{});
  curve.misaligned = reader.number("misaligned", 0.0);
  curve.off_sector = reader.number("off_sector", 0.0);
  curve.tile_overhead = reader.quantity<Seconds>("tile_overhead");
  curve.max_split = reader.integer("max_split", 1);
  curve.split_cost = reader.quantity<Seconds>("split_cost", Seconds{});
  curve.one_by_one = reader.boolean("one_by_one", false);
  curve.wave_smoothing = reader.number("wave_smoothing");
  curve.launch = reader.quantity<Seconds>("launch");
  curve.memory_rate = reader.quantity<BytesPerSecond>("memory_rate");
  curve.correction = read_correction(reader);
  curve.m = read_range(reader, "measured_m");
  curve.n = read_range(reader, "measured_n");
  curve.k = read_range(reader, "measured_k");
  finish_curve(reader, curve);
  return curve;
}

AttentionCurve read_attention(YamlReader& reader) {
  AttentionCurve curve;
  curve.dtype = reader.choice<DType>("dtype", kDTypeNames);
  curve.direction = reader.choice<Direction>("direction", kDirectionNames);
  curve.qk_dim = reader.integer("qk_dim");
  curve.v_dim = reader.integer("v_dim");
  curve.library = reader.choice<AttentionLibrary>("library", kAttentionLibraryNames, AttentionLibrary::fastest);
  curve.load = reader.choice<Load>("load", kLoadNames);
  curve.sm_rate = reader.quantity<FlopsPerSecond>("sm_rate");
  curve.tile_queries = reader.integer("tile_queries");
  curve.tile_keys = reader.integer("tile_keys");
  curve.tile_overhead = reader.quantity<Seconds>("tile_overhead");
  curve.tail = reader.number("tail");
  curve.wave_smoothing = reader.number("wave_smoothing");
  curve.launch = reader.quantity<Seconds>("launch");
  curve.memory_rate = reader.quantity<BytesPerSecond>("memory_rate");
  curve.unmasked = reader.number("unmasked", 1.0);
  curve.throttle = reader.number("throttle", 0.0);
  curve.queries = read_range(reader, "measured_queries");
  curve.keys = read_range(reader, "measured_keys");
  finish_curve(reader, curve);
  return curve;
}

MemoryCurve read_memory(YamlReader& reader) {
  MemoryCurve curve;
  curve.kernel = reader.choice<MemoryKernel>("kernel", kMemoryKernelNames);
  curve.load = reader.choice<Load>("load", kLoadNames);
  curve.launch = reader.quantity<Seconds>("launch");
  curve.rate = reader.quantity<BytesPerSecond>("rate");
  curve.sm_rate = reader.quantity<BytesPerSecond>("sm_rate", BytesPerSecond{});
  curve.sm_exponent = reader.number("sm_exponent", 0.0);
  curve.chip_sms = reader.integer("chip_sms", 0);
  curve.row_root = reader.quantity<Seconds>("row_root", Seconds{});
  curve.bytes = reader.numbers("knot_bytes").value_or(std::vector<double>{});
  curve.seconds = reader.numbers("knot_seconds").value_or(std::vector<double>{});
  curve.measured = read_range(reader, "measured_bytes");
  finish_curve(reader, curve);
  return curve;
}

std::vector<CollectiveKnots> read_collective_knots(YamlReader& reader, const char* key) {
  std::vector<CollectiveKnots> all;
  for (YamlReader& group : reader.mappings(key)) {
    CollectiveKnots knots;
    knots.ranks = group.integer("ranks");
    knots.bytes = group.numbers("bytes").value_or(std::vector<double>{});
    knots.seconds = group.numbers("seconds").value_or(std::vector<double>{});
    all.push_back(std::move(knots));
  }
  return all;
}

CollectiveCurve read_collective(YamlReader& reader) {
  CollectiveCurve curve;
  curve.kind = reader.choice<CollectiveKind>("kind", kCollectiveKindNames);
  curve.base = reader.quantity<Seconds>("base");
  curve.nvlink_step = reader.quantity<Seconds>("nvlink_step");
  curve.nic_step = reader.quantity<Seconds>("nic_step");
  curve.pipeline = reader.quantity<Seconds>("pipeline");
  curve.nvlink = reader.quantity<BytesPerSecond>("nvlink");
  curve.nic = reader.quantity<BytesPerSecond>("nic");
  curve.local = reader.quantity<BytesPerSecond>("local", BytesPerSecond{});
  curve.sms = reader.integer("sms", 0);
  curve.knots = read_collective_knots(reader, "knots");
  curve.switch_knots = read_collective_knots(reader, "switch_knots");
  curve.bytes = read_range(reader, "measured_bytes");
  curve.ranks = read_range(reader, "measured_ranks");
  curve.nodes = read_range(reader, "measured_nodes");
  finish_curve(reader, curve);
  return curve;
}

ExpertCurve read_expert(YamlReader& reader) {
  ExpertCurve curve;
  curve.kind = reader.choice<CollectiveKind>("kind", kCollectiveKindNames);
  curve.load = reader.choice<Load>("load", kLoadNames);
  curve.latency = reader.quantity<Seconds>("latency");
  curve.nic = reader.quantity<BytesPerSecond>("nic");
  curve.nvlink = reader.quantity<BytesPerSecond>("nvlink");
  curve.sms = reader.integer("sms");
  curve.bytes = read_range(reader, "measured_bytes");
  curve.ranks = read_range(reader, "measured_ranks");
  finish_curve(reader, curve);
  return curve;
}

Chip read_chip(YamlReader& parent) {
  YamlReader reader = parent.mapping("chip");
  Chip chip;
  chip.sms = reader.integer("sms");
  chip.peak_bf16 = reader.quantity<FlopsPerSecond>("peak_bf16");
  chip.peak_fp8 = reader.quantity<FlopsPerSecond>("peak_fp8");
  chip.memory_bandwidth = reader.quantity<BytesPerSecond>("memory_bandwidth");
  chip.nvlink = reader.quantity<BytesPerSecond>("nvlink");
  chip.nic = reader.quantity<BytesPerSecond>("nic");
  chip.provenance = reader.provenance();
  return chip;
}

// Left out by profiles of chips whose clock nobody watched.
ChipPower read_power(YamlReader& parent) {
  ChipPower power;
  auto reader = parent.optional_mapping("power");
  if (!reader) return power;
  power.limit = reader->quantity<Watts>("limit");
  power.idle = reader->quantity<Watts>("idle");
  power.clock_max_mhz = reader->number("clock_max_mhz");
  power.products = reader->quantity<Watts>("products");
  power.memory_kernels = reader->quantity<Watts>("memory_kernels");
  power.bf16 = reader->quantity<Joules>("bf16");
  power.fp8 = reader->quantity<Joules>("fp8");
  power.attention = reader->quantity<Joules>("attention");
  power.memory = reader->quantity<Joules>("memory");
  power.exponent = reader->number("exponent", 1.0);
  power.memory_clock = reader->number("memory_clock", 1.0);
  power.residuals = read_residuals(*reader);
  power.provenance = reader->provenance();
  return power;
}

struct FigureReader {
  YamlReader& stack;

  void operator()(const char* name, Figure<Framework>& figure) const {
    YamlReader reader = stack.mapping(name);
    figure.value = reader.choice<Framework>("value", kFrameworkNames);
    figure.provenance = reader.provenance();
  }
  void operator()(const char* name, Figure<AttentionLibrary>& figure) const {
    YamlReader reader = stack.mapping(name);
    figure.value = reader.choice<AttentionLibrary>("value", kAttentionLibraryNames);
    figure.provenance = reader.provenance();
  }
  void operator()(const char* name, Figure<Nvls>& figure) const {
    std::optional<YamlReader> reader = stack.optional_mapping(name);
    if (!reader) return;
    figure.value = reader->choice<Nvls>("value", kNvlsNames);
    figure.provenance = reader->provenance();
  }
  void operator()(const char* name, Figure<std::vector<std::string>>& figure) const {
    YamlReader reader = stack.mapping(name);
    figure.value = reader.texts("value").value_or(std::vector<std::string>{});
    figure.provenance = reader.provenance();
  }
  void operator()(const char* name, Figure<std::vector<TorchMemorySetting>>& figure) const {
    std::optional<YamlReader> reader = stack.optional_mapping(name);
    if (!reader) return;
    figure.value = reader->choices<TorchMemorySetting>("value", kTorchMemorySettingNames).value_or(std::vector<TorchMemorySetting>{});
    figure.provenance = reader->provenance();
  }
  void operator()(const char* name, Figure<std::vector<UnfusedPart>>& figure) const {
    YamlReader reader = stack.mapping(name);
    figure.value = reader.choices<UnfusedPart>("value", kUnfusedPartNames).value_or(std::vector<UnfusedPart>{});
    figure.provenance = reader.provenance();
  }
  void operator()(const char* name, Figure<DType>& figure) const {
    YamlReader reader = stack.mapping(name);
    figure.value = reader.choice<DType>("value", kDTypeNames);
    figure.provenance = reader.provenance();
  }
  void operator()(const char* name, Figure<double>& figure) const {
    YamlReader reader = stack.mapping(name);
    figure.value = reader.number("value");
    figure.provenance = reader.provenance();
  }
  void operator()(const char* name, Figure<std::int64_t>& figure) const {
    const bool may_be_left_out = !figure.provenance.source.empty();  // it then says what it is
    if (may_be_left_out && !stack.has(name)) return stack.ignore({name});
    YamlReader reader = stack.mapping(name);
    figure.value = reader.integer("value");
    figure.provenance = reader.provenance();
  }
  template <class Q>
  void operator()(const char* name, Figure<Q>& figure) const {
    YamlReader reader = stack.mapping(name);
    figure.value = reader.quantity<Q>("value");
    figure.provenance = reader.provenance();
  }
};

}  // namespace

Calibration read_calibration(YamlReader& reader) {
  Calibration calibration;
  calibration.gpu = reader.text("gpu");
  calibration.software = reader.text("software");
  calibration.chip = read_chip(reader);
  calibration.power = read_power(reader);
  YamlReader stack = reader.mapping("stack");
  for_each_figure(calibration.stack, FigureReader{stack});
  for (YamlReader& curve : reader.mappings("gemms")) calibration.gemms.push_back(read_gemm(curve));
  for (YamlReader& curve : reader.mappings("attentions")) calibration.attentions.push_back(read_attention(curve));
  for (YamlReader& curve : reader.mappings("memory_kernels")) calibration.memory_kernels.push_back(read_memory(curve));
  for (YamlReader& curve : reader.mappings("collectives")) calibration.collectives.push_back(read_collective(curve));
  for (YamlReader& curve : reader.mappings("experts")) calibration.experts.push_back(read_expert(curve));
  reader.report(calibration.validate());
  return calibration;
}

YamlDocument calibration_document(const std::string& path) {
  YamlDocument changes = YamlDocument::from_file(path);
  const YamlNode* base = changes.root().find("base");
  if (base == nullptr) return changes;
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(changes, diagnostics);  // for `base` alone: the other keys are the base file's
  const std::string written = reader.text("base");
  diagnostics.throw_if_any();
  const std::string file = (std::filesystem::path(path).parent_path() / written).lexically_normal().string();
  std::error_code error;
  if (!std::filesystem::exists(file, error)) reader.problem("base", "there is no file " + file);
  diagnostics.throw_if_any();
  YamlDocument document = YamlDocument::from_file(file);
  if (document.root().find("base") != nullptr) reader.problem("base", "names a profile that has a base of its own");
  diagnostics.throw_if_any();
  changes.remove("base");
  document.overlay(changes);
  return document;
}

Calibration load_calibration(const std::string& path, const std::vector<std::string>& overrides) {
  YamlDocument document = calibration_document(path);
  for (const auto& assignment : overrides) document.apply_override(assignment, "--set " + assignment);
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(std::move(document), diagnostics);
  Calibration calibration = read_calibration(reader);
  reader.finish();
  diagnostics.throw_if_any();
  return calibration;
}

}  // namespace trillion
