#include "sim/spec/node_facts.h"

#include <array>
#include <fstream>
#include <sstream>
#include <utility>

#include "sim/base/error.h"
#include "sim/spec/nccl_topology.h"
#include "sim/spec/smi_topology.h"
#include "sim/spec/unit_text.h"

namespace trillion {

namespace {

bool is_xml(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  return first != std::string::npos && text[first] == '<';
}

std::string gigabytes(BytesPerSecond rate) { return exact_number_text(rate.value() / 1e9) + " GB/s"; }
std::string gigabits(BytesPerSecond rate) { return exact_number_text(rate.value() * 8 / 1e9) + " Gbps"; }

}  // namespace

bool is_node_dump(const std::string& text) { return is_xml(text) || looks_like_smi_topology(text); }

NodeFacts node_facts_of(const std::string& text, const std::string& path) {
  if (is_xml(text)) return read_nccl_topology(text, path);
  if (looks_like_smi_topology(text)) return read_smi_topology(text, path);
  throw InputError(Diagnostic{{path, 1, 1},
                              "neither NCCL's topology XML nor the text of nvidia-smi topo -m",
                              text.substr(0, text.find('\n')),
                              "NCCL_TOPO_DUMP_FILE=node.xml makes any NCCL program write the former"});
}

NodeFacts read_node_facts(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  if (!stream || !(text << stream.rdbuf())) throw InputError("cannot read " + path);
  return node_facts_of(text.str(), path);
}

BytesPerSecond nvlink_rate(std::int64_t compute_capability) { return BytesPerSecond{compute_capability >= 100 ? 50e9 : 25e9}; }

std::int64_t compute_capability_of(const std::string& gpu_name) {
  constexpr std::array<std::pair<const char*, std::int64_t>, 11> kWords = {{{"B200", 100},
                                                                            {"B300", 100},
                                                                            {"B100", 100},
                                                                            {"H100", 90},
                                                                            {"H200", 90},
                                                                            {"H800", 90},
                                                                            {"H20", 90},
                                                                            {"A100", 80},
                                                                            {"A800", 80},
                                                                            {"A30", 80},
                                                                            {"V100", 70}}};
  for (const auto& [word, capability] : kWords) {
    if (gpu_name.find(word) != std::string::npos) return capability;
  }
  return 0;
}

std::string topology_text(const NodeFacts& facts, const std::string& path, const std::string& gpu_name) {
  const std::int64_t capability = facts.compute_capability > 0 ? facts.compute_capability : compute_capability_of(gpu_name);
  if (facts.nvlinks > 0 && capability == 0) {
    throw InputError(Diagnostic{{path, 0, 0},
                                "says how many NVLinks a GPU has, " + std::to_string(facts.nvlinks) + ", but not how fast they are",
                                {},
                                "gpu.name with the name of the chip in it (H100, B200, ...) would tell"});
  }
  const std::string origin = "  origin: measured\n  source: \"read from " + path + "\"\n";
  std::string text = "gpus_per_node: " + std::to_string(facts.gpus_per_node) + "\n";
  if (facts.host_bandwidth.value() > 0) text += "gpu:\n  host_bandwidth: " + gigabytes(facts.host_bandwidth) + "\n";
  text += "scale_up:\n  domain_gpus: " + std::to_string(facts.domain_gpus) + "\n";
  if (facts.nvlinks > 0) {
    text += "  bandwidth: " + gigabytes(static_cast<double>(facts.nvlinks) * nvlink_rate(capability)) +
            "  # one way: " + std::to_string(facts.nvlinks) + " NVLinks of " + gigabytes(nvlink_rate(capability)) + "\n";
  } else if (facts.host_bandwidth.value() > 0) {
    text += "  bandwidth: " + gigabytes(facts.host_bandwidth) + "  # no NVLink: PCIe\n";
  }
  text += origin;
  if (facts.nics_per_node > 0) {
    text += "scale_out:\n  nics_per_node: " + std::to_string(facts.nics_per_node) + "\n";
    if (facts.nic_bandwidth.value() > 0) text += "  nic_bandwidth: " + gigabits(facts.nic_bandwidth) + "\n";
    text += origin;
  }
  for (const std::string& left_out : facts.left_out) text += "# left out: " + left_out + "\n";
  return text;
}

}  // namespace trillion
