// Writing a profile. Curves are blocks of one key per line, because a person compares two profiles line by line.
#include <algorithm>
#include <span>

#include "sim/base/enum_name.h"
#include "sim/spec/json_line.h"
#include "sim/spec/load_calibration.h"
#include "sim/spec/node_facts.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

class Writer {
 public:
  void line(const std::string& text) { out_ += text + "\n"; }

  // Members of a list entry: the first one carries the dash.
  void begin_item() { dash_ = true; }
  void raw(const std::string& key, const std::string& value) {
    out_ += (dash_ ? "  - " : "    ") + key + (value.empty() ? ":" : ": ") + value + "\n";
    dash_ = false;
  }
  void number(const std::string& key, double value) { raw(key, exact_number_text(value)); }
  void integer(const std::string& key, std::int64_t value) { raw(key, std::to_string(value)); }
  template <class Q>
  void quantity(const std::string& key, Q value) {
    raw(key, quantity_text(value));
  }
  // One function for all tables of names.
  template <class Enum>
  void choice(const std::string& key, std::span<const std::string_view> names, Enum value) {
    raw(key, std::string(names[static_cast<std::size_t>(value)]));
  }
  void range(const std::string& key, const Range& range) {
    if (range.low <= range.high) raw(key, "[" + exact_number_text(range.low) + ", " + exact_number_text(range.high) + "]");
  }
  void info(const CurveInfo& info) {
    raw("residuals", "{median: " + exact_number_text(info.residuals.median) + ", p90: " + exact_number_text(info.residuals.p90) +
                         ", points: " + std::to_string(info.residuals.points) + "}");
    raw("origin", to_text(info.provenance.origin));
    raw("source", json_quoted(info.provenance.source));
    if (info.scale != 1) number("scale", info.scale);
  }

  std::string take() { return std::move(out_); }

 private:
  std::string out_;
  bool dash_ = false;
};

// Up to `per_line` numbers on a line.
std::string list_text(const std::vector<double>& values, std::size_t per_line) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += i % per_line == 0 ? ",\n        " : ", ";
    text += exact_number_text(values[i]);
  }
  return text + "]";
}

// Many tiles of one efficiency are two lists.
void write_tiles(Writer& w, const std::vector<GemmTile>& tiles) {
  if (std::all_of(tiles.begin(), tiles.end(), [](const GemmTile& t) { return t.efficiency == 1; }) && tiles.size() > 1) {
    std::vector<double> m, n;
    for (const auto& tile : tiles) m.push_back(static_cast<double>(tile.m)), n.push_back(static_cast<double>(tile.n));
    w.line("    tiles_m: " + list_text(m, m.size()));
    w.line("    tiles_n: " + list_text(n, n.size()));
    return;
  }
  w.raw("tiles", "");
  for (const auto& tile : tiles) {
    w.line("      - {m: " + std::to_string(tile.m) + ", n: " + std::to_string(tile.n) +
           ", efficiency: " + exact_number_text(tile.efficiency) + "}");
  }
}

void write(Writer& w, const GemmCurve& c) {
  if (c.grouped) w.raw("grouped", "true");
  w.choice("dtype", kDTypeNames, c.dtype);
  w.choice("layout", kGemmLayoutNames, c.layout);
  if (c.accumulate_fp32) w.raw("accumulate", "true");
  w.choice("load", kLoadNames, c.load);
  w.quantity("sm_rate", c.sm_rate);
  write_tiles(w, c.tiles);
  if (c.sm_load.value() > 0) w.quantity("sm_load", c.sm_load);
  if (c.chip_load.value() > 0) w.quantity("chip_load", c.chip_load);
  if (c.sm_store.value() > 0) w.quantity("sm_store", c.sm_store);
  if (c.misaligned > 0) w.number("misaligned", c.misaligned);
  if (c.off_sector > 0) w.number("off_sector", c.off_sector);
  w.quantity("tile_overhead", c.tile_overhead);
  w.integer("max_split", c.max_split);
  if (c.max_split > 1) w.quantity("split_cost", c.split_cost);
  if (c.one_by_one) w.raw("one_by_one", "true");
  w.number("wave_smoothing", c.wave_smoothing);
  w.quantity("launch", c.launch);
  w.quantity("memory_rate", c.memory_rate);
  if (!c.correction.ln_factor.empty()) {
    w.raw("correction", "");
    w.line("      ln_fill: " + list_text(c.correction.ln_fill, 16));
    w.line("      ln_k: " + list_text(c.correction.ln_k, 16));
    w.line("      ln_factor: " + list_text(c.correction.ln_factor, c.correction.ln_k.size()));
  }
  w.range("measured_m", c.m);
  w.range("measured_n", c.n);
  w.range("measured_k", c.k);
}

void write(Writer& w, const AttentionCurve& c) {
  w.choice("dtype", kDTypeNames, c.dtype);
  w.choice("direction", kDirectionNames, c.direction);
  w.integer("qk_dim", c.qk_dim);
  w.integer("v_dim", c.v_dim);
  if (c.library != AttentionLibrary::fastest) w.choice("library", kAttentionLibraryNames, c.library);
  w.choice("load", kLoadNames, c.load);
  w.quantity("sm_rate", c.sm_rate);
  w.integer("tile_queries", c.tile_queries);
  w.integer("tile_keys", c.tile_keys);
  w.quantity("tile_overhead", c.tile_overhead);
  w.number("tail", c.tail);
  w.number("wave_smoothing", c.wave_smoothing);
  w.quantity("launch", c.launch);
  w.quantity("memory_rate", c.memory_rate);
  if (c.unmasked != 1) w.number("unmasked", c.unmasked);
  if (c.throttle > 0) w.number("throttle", c.throttle);
  w.range("measured_queries", c.queries);
  w.range("measured_keys", c.keys);
}

void write(Writer& w, const MemoryCurve& c) {
  w.choice("kernel", kMemoryKernelNames, c.kernel);
  w.choice("load", kLoadNames, c.load);
  w.quantity("launch", c.launch);
  if (c.row_root.value() > 0) w.quantity("row_root", c.row_root);
  w.quantity("rate", c.rate);
  if (c.sm_rate.value() > 0) w.quantity("sm_rate", c.sm_rate);
  if (c.sm_exponent > 0) w.number("sm_exponent", c.sm_exponent);
  if (c.chip_sms > 0) w.integer("chip_sms", c.chip_sms);
  if (!c.bytes.empty()) {
    w.raw("knot_bytes", list_text(c.bytes, 12));
    w.raw("knot_seconds", list_text(c.seconds, 12));
  }
  w.range("measured_bytes", c.measured);
}

void write_knots(Writer& w, const char* key, const std::vector<CollectiveKnots>& groups) {
  if (!groups.empty()) w.raw(key, "");
  for (const auto& knots : groups) {
    w.line("      - ranks: " + std::to_string(knots.ranks));
    w.line("        bytes: " + list_text(knots.bytes, 12));
    w.line("        seconds: " + list_text(knots.seconds, 12));
  }
}

void write(Writer& w, const CollectiveCurve& c) {
  w.choice("kind", kCollectiveKindNames, c.kind);
  w.quantity("base", c.base);
  w.quantity("nvlink_step", c.nvlink_step);
  w.quantity("nic_step", c.nic_step);
  w.quantity("pipeline", c.pipeline);
  w.quantity("nvlink", c.nvlink);
  w.quantity("nic", c.nic);
  if (c.local.value() > 0) w.quantity("local", c.local);
  if (c.sms > 0) w.integer("sms", c.sms);
  write_knots(w, "knots", c.knots);
  write_knots(w, "switch_knots", c.switch_knots);
  w.range("measured_bytes", c.bytes);
  w.range("measured_ranks", c.ranks);
  w.range("measured_nodes", c.nodes);
}

void write(Writer& w, const ExpertCurve& c) {
  w.choice("kind", kCollectiveKindNames, c.kind);
  w.choice("load", kLoadNames, c.load);
  w.quantity("latency", c.latency);
  w.quantity("nic", c.nic);
  w.quantity("nvlink", c.nvlink);
  w.integer("sms", c.sms);
  w.range("measured_bytes", c.bytes);
  w.range("measured_ranks", c.ranks);
}

template <class Curve>
void write_all(Writer& w, const std::string& heading, const std::vector<Curve>& curves) {
  if (curves.empty()) return;
  w.line("\n" + heading + ":");
  for (const auto& curve : curves) {
    w.begin_item();
    write(w, curve);
    w.info(curve.info);
  }
}

std::string value_text(double value) { return exact_number_text(value); }
std::string value_text(std::int64_t value) { return std::to_string(value); }
std::string value_text(Nvls value) { return std::string(kNvlsNames[static_cast<std::size_t>(value)]); }
std::string value_text(Framework value) { return std::string(kFrameworkNames[static_cast<std::size_t>(value)]); }
std::string value_text(AttentionLibrary value) { return std::string(kAttentionLibraryNames[static_cast<std::size_t>(value)]); }
std::string value_text(DType value) { return std::string(kDTypeNames[static_cast<std::size_t>(value)]); }
std::string value_text(const std::vector<std::string>& values) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i) text += (i > 0 ? ", " : "") + json_quoted(values[i]);
  return text + "]";
}
std::string value_text(const std::vector<TorchMemorySetting>& values) { return value_text(names_of(kTorchMemorySettingNames, values)); }
std::string value_text(const std::vector<UnfusedPart>& values) { return value_text(names_of(kUnfusedPartNames, values)); }
template <int kT, int kD, int kW, int kM, int kE>
std::string value_text(Quantity<kT, kD, kW, kM, kE> value) {
  return quantity_text(value);
}

std::string provenance_text(const Provenance& provenance) {
  return std::string("origin: ") + to_text(provenance.origin) + ", source: " + json_quoted(provenance.source);
}

void write_chip(Writer& w, const Chip& chip) {
  w.line("chip:");
  w.line("  sms: " + std::to_string(chip.sms));
  w.line("  peak_bf16: " + quantity_text(chip.peak_bf16));
  w.line("  peak_fp8: " + quantity_text(chip.peak_fp8));
  w.line("  memory_bandwidth: " + quantity_text(chip.memory_bandwidth));
  w.line("  nvlink: " + quantity_text(chip.nvlink));
  w.line("  nic: " + quantity_text(chip.nic));
  w.line(std::string("  origin: ") + to_text(chip.provenance.origin));
  w.line("  source: " + json_quoted(chip.provenance.source));
}

void write_power(Writer& w, const ChipPower& power) {
  if (!power.known()) return;
  w.line("\npower:");
  w.line("  limit: " + quantity_text(power.limit));
  w.line("  idle: " + quantity_text(power.idle));
  w.line("  clock_max_mhz: " + exact_number_text(power.clock_max_mhz));
  w.line("  products: " + quantity_text(power.products));
  w.line("  memory_kernels: " + quantity_text(power.memory_kernels));
  w.line("  bf16: " + quantity_text(power.bf16) + "  # of 1e12 FLOP, as the next two");
  w.line("  fp8: " + quantity_text(power.fp8));
  w.line("  attention: " + quantity_text(power.attention));
  w.line("  memory: " + quantity_text(power.memory) + "  # of 1e12 bytes");
  w.line("  exponent: " + exact_number_text(power.exponent) + "  # of draw over clock");
  w.line("  memory_clock: " + exact_number_text(power.memory_clock) + "  # of memory-bound kernels in a step, over the products'");
  w.line("  residuals: {median: " + exact_number_text(power.residuals.median) + ", p90: " + exact_number_text(power.residuals.p90) +
         ", points: " + std::to_string(power.residuals.points) + "}");
  w.line(std::string("  origin: ") + to_text(power.provenance.origin));
  w.line("  source: " + json_quoted(power.provenance.source));
}

}  // namespace

std::string calibration_text(const Calibration& calibration) {
  Writer w;
  w.line("# Written by `trillion calibrate`; change the measurements and fit again rather than this file.");
  w.line("gpu: " + json_quoted(calibration.gpu));
  w.line("software: " + json_quoted(calibration.software));
  write_chip(w, calibration.chip);
  write_power(w, calibration.power);
  w.line("\nstack:");
  for_each_figure(calibration.stack, [&](const char* name, const auto& figure) {
    if constexpr (std::is_same_v<std::decay_t<decltype(figure)>, Figure<std::vector<TorchMemorySetting>>>) {
      if (figure.value.empty()) return;
    }
    if constexpr (std::is_same_v<std::decay_t<decltype(figure)>, Figure<Nvls>>) {
      if (compute_capability_of(calibration.gpu) < 90) return;  // no switch that adds
    }
    w.line("  " + std::string(name) + ": {value: " + value_text(figure.value) + ", " + provenance_text(figure.provenance) + "}");
  });
  write_all(w, "gemms", calibration.gemms);
  write_all(w, "attentions", calibration.attentions);
  write_all(w, "memory_kernels", calibration.memory_kernels);
  write_all(w, "collectives", calibration.collectives);
  write_all(w, "experts", calibration.experts);
  return w.take();
}

}  // namespace trillion
