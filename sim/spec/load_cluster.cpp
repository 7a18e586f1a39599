#include "sim/spec/cluster_document.h"
#include "sim/spec/load.h"

namespace trillion {

namespace {

constexpr std::array<std::string_view, 4> kFabricKindNames = {"fat-tree", "rail-only", "multi-plane", "dragonfly"};
constexpr std::array<std::string_view, 2> kPathChoiceNames = {"adaptive", "ecmp"};

Gpu read_gpu(YamlReader r) {
  Gpu gpu;
  gpu.name = r.text("name");
  gpu.sms = r.integer("sms");
  gpu.peak_bf16 = r.quantity<FlopsPerSecond>("peak_bf16");
  gpu.peak_fp8 = r.quantity<FlopsPerSecond>("peak_fp8", FlopsPerSecond{0});  // left out: the chip has none
  gpu.peak_fp32 = r.quantity<FlopsPerSecond>("peak_fp32");
  gpu.memory = r.quantity<Bytes>("memory");
  gpu.usable_memory = r.quantity<Bytes>("usable_memory");
  gpu.memory_bandwidth = r.quantity<BytesPerSecond>("memory_bandwidth");
  gpu.l2_cache = r.quantity<Bytes>("l2_cache");
  gpu.power_limit = r.quantity<Watts>("power_limit");
  gpu.host_bandwidth = r.quantity<BytesPerSecond>("host_bandwidth");
  gpu.provenance = r.provenance();
  return gpu;
}

ScaleUp read_scale_up(YamlReader r) {
  ScaleUp up;
  up.domain_gpus = r.integer("domain_gpus");
  up.bandwidth = r.quantity<BytesPerSecond>("bandwidth");
  up.latency = r.quantity<Seconds>("latency");
  up.provenance = r.provenance();
  return up;
}

std::vector<Failure> read_failures(YamlReader& r) {
  std::vector<Failure> failures;
  const std::vector<std::string> texts = r.texts("failures").value_or(std::vector<std::string>{});
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i];
    if (const auto failure = parse_failure(text)) {
      const YamlPosition& at = r.node("failures")->items[i].position;
      failures.push_back({failure->part, failure->other, r.document().location(at), r.document().source_line(at)});
    } else {
      r.problem("failures", "'" + text + "' names no part of a network",
                "a part is nic, leaf, spine, core or router and its number, as in 'spine 7'; cables lie between two: 'leaf 3 - spine 7'");
    }
  }
  return failures;
}

ScaleOut read_scale_out(YamlReader r) {
  ScaleOut out;
  out.nics_per_node = r.integer("nics_per_node");
  out.nic_bandwidth = r.quantity<BytesPerSecond>("nic_bandwidth");
  out.kind = r.choice<FabricKind>("kind", kFabricKindNames);
  out.rails = r.boolean("rails");
  out.planes = r.integer("planes", out.planes);
  const bool layered = out.kind != FabricKind::dragonfly;
  out.layers = layered ? r.integer("layers") : r.integer("layers", 1);
  out.switch_ports = r.integer("switch_ports");
  out.oversubscription = r.number("oversubscription", out.oversubscription);
  out.core_oversubscription = r.number("core_oversubscription", out.core_oversubscription);
  out.routing = r.choice<PathChoice>("routing", kPathChoiceNames, out.routing);
  out.routing_seed = static_cast<std::uint64_t>(r.integer("routing_seed", 1));
  out.nic_latency = r.quantity<Seconds>("nic_latency");
  out.hop_latency = r.quantity<Seconds>("hop_latency");
  out.provenance = r.provenance();
  return out;
}

Power read_facility_power(YamlReader& r) {
  Power power;
  power.node_other = r.quantity<Watts>("node_other");
  power.pue = r.number("pue");
  power.energy_price = r.quantity<UsdPerJoule>("energy_price");
  power.provenance = r.provenance();
  return power;
}

}  // namespace

Cluster read_cluster(YamlReader& r) {
  Cluster c;
  c.name = r.text("name");
  c.nodes = r.integer("nodes");
  c.gpus_per_node = r.integer("gpus_per_node");
  c.gpu = read_gpu(r.mapping("gpu"));
  c.scale_up = read_scale_up(r.mapping("scale_up"));
  const bool network = c.nodes != 1 || r.has("scale_out");  // one node needs none
  if (network) c.scale_out = read_scale_out(r.mapping("scale_out"));
  c.scale_out.failures = read_failures(r);
  if (auto price = r.optional_mapping("price")) {
    const UsdPerSecond per_gpu = price->quantity<UsdPerSecond>("per_gpu");
    c.price = Price{per_gpu, price->provenance()};
  }
  if (auto power = r.optional_mapping("power")) c.power = read_facility_power(*power);
  r.ignore({"scale_out"});
  r.report(c.validate());
  return c;
}

Cluster load_cluster(const std::string& path, const Overrides& overrides) {
  YamlDocument document = cluster_document(path);
  for (const std::string& o : overrides) document.apply_override(o, "--set " + o);
  document = with_node_facts(document, nullptr, {});
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(std::move(document), diagnostics);
  Cluster cluster = read_cluster(reader);
  reader.finish();
  diagnostics.throw_if_any();
  return cluster;
}

void throw_cluster_misfits(const std::string& path, const std::vector<std::string>& misfits) {
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(cluster_document(path), diagnostics);
  YamlReader network = reader.mapping("scale_out");
  for (const std::string& misfit : misfits) {
    constexpr std::string_view kNetwork = "scale_out.";
    const std::size_t colon = misfit.find(": ");
    if (misfit.starts_with("failures")) {
      reader.problem("failures", misfit);
    } else if (misfit.starts_with(kNetwork) && colon != std::string::npos) {
      network.problem(misfit.substr(kNetwork.size(), colon - kNetwork.size()), misfit.substr(colon + 2));
    } else {
      network.problem("kind", misfit);
    }
  }
  diagnostics.throw_if_any();
}

}  // namespace trillion
