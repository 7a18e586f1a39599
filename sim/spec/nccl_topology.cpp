#include "sim/spec/nccl_topology.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <pugixml.hpp>
#include <set>
#include <string_view>

#include "sim/base/error.h"
#include "sim/spec/unit_text.h"

namespace trillion {

namespace {

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

class NcclTopology {
 public:
  NcclTopology(const std::string& text, const std::string& path) : text_(text), path_(path) {
    const pugi::xml_parse_result parsed = document_.load_buffer(text.data(), text.size());
    if (!parsed) fail(parsed.offset, std::string("not XML: ") + parsed.description(), {});
  }

  NodeFacts facts() {
    const pugi::xml_node system = document_.child("system");
    if (!system) fail(document_.first_child(), "expected <system>, as NCCL_TOPO_DUMP_FILE writes it", {});
    collect(system, {});
    if (gpus_.empty()) {
      fail(system, "there is no <gpu> in it",
           "a file for NCCL_TOPO_FILE has none; NCCL_TOPO_DUMP_FILE=node.xml makes a running NCCL program write one that has");
    }
    NodeFacts facts;
    count_gpus(facts);
    read_nvlinks(facts);
    read_host_links(facts);
    read_nics(facts);
    return facts;
  }

 private:
  struct Gpu {
    pugi::xml_node node;
    std::string host;   // host_hash of its processor
    std::string busid;  // of the bridge that holds it
  };
  struct Net {
    pugi::xml_node node;
    std::string host;
  };

  [[noreturn]] void fail(std::ptrdiff_t offset, const std::string& message, const std::string& hint) const {
    const std::size_t at = std::min(text_.size(), static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, offset)));
    const std::size_t before = at == 0 ? std::string::npos : text_.rfind('\n', at - 1);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    const int line = 1 + static_cast<int>(std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
    const std::string source_line = text_.substr(begin, text_.find('\n', begin) - begin);
    throw InputError(Diagnostic{{path_, line, static_cast<int>(at - begin) + 1}, message, source_line, hint});
  }
  [[noreturn]] void fail(const pugi::xml_node& node, const std::string& message, const std::string& hint) const {
    fail(node ? node.offset_debug() : 0, message, hint);
  }

  double required(const pugi::xml_node& node, const char* attribute) const {
    const auto value = number(node.attribute(attribute).value());
    if (!value || *value < 0) {
      fail(node,
           "<" + std::string(node.name()) + "> needs a number in '" + attribute + "', found '" + node.attribute(attribute).value() + "'",
           {});
    }
    return *value;
  }

  void collect(const pugi::xml_node& node, const std::string& host) {
    for (const pugi::xml_node& child : node.children()) {
      const std::string_view name = child.name();
      const std::string own_host = name == "cpu" ? child.attribute("host_hash").value() : host;
      if (name == "gpu") gpus_.push_back({child, host, node.attribute("busid").value()});
      if (name == "net") nets_.push_back({child, host});
      collect(child, own_host);
    }
  }

  void count_gpus(NodeFacts& facts) const {
    std::map<std::string, std::int64_t> per_host;
    for (const Gpu& gpu : gpus_) ++per_host[gpu.host];
    facts.gpus_per_node = per_host.begin()->second;
    for (const auto& [host, count] : per_host) {
      if (count != facts.gpus_per_node) {
        fail(gpus_.front().node,
             "hosts with different numbers of GPUs, " + std::to_string(facts.gpus_per_node) + " and " + std::to_string(count), {});
      }
    }
    facts.compute_capability = gpus_.front().node.attribute("sm") ? static_cast<std::int64_t>(required(gpus_.front().node, "sm")) : 0;
  }

  void read_nvlinks(NodeFacts& facts) const {
    std::map<std::string, std::set<std::string>> joined;  // GPUs by what their NVLinks end at; a switch is one place
    for (const Gpu& gpu : gpus_) {
      std::int64_t links = 0;
      for (const pugi::xml_node& link : gpu.node.children("nvlink")) {
        links += static_cast<std::int64_t>(required(link, "count"));
        const bool to_switch = std::string_view(link.attribute("tclass").value()).substr(0, 6) == "0x0680";
        const std::string target = to_switch ? "switches" : link.attribute("target").value();
        joined[gpu.busid].insert(target);
        joined[target].insert(gpu.busid);
      }
      if (&gpu == &gpus_.front()) facts.nvlinks = links;
      if (links != facts.nvlinks) {
        fail(gpu.node, "GPUs with different numbers of NVLinks, " + std::to_string(facts.nvlinks) + " and " + std::to_string(links),
             "a link may be down; trillion's nodes are all alike");
      }
    }
    std::set<std::string> reached{gpus_.front().busid};
    for (std::vector<std::string> open(reached.begin(), reached.end()); !open.empty();) {
      const std::string at = open.back();
      open.pop_back();
      for (const std::string& next : joined[at]) {
        if (reached.insert(next).second) open.push_back(next);
      }
    }
    facts.domain_gpus = std::count_if(gpus_.begin(), gpus_.end(), [&](const Gpu& gpu) { return reached.count(gpu.busid) > 0; });
    // The busids of another host's GPUs may be the same.
    facts.domain_gpus = std::max<std::int64_t>(1, facts.domain_gpus);
  }

  // Of the first GPU; bytes per second.
  void read_host_links(NodeFacts& facts) const {
    const pugi::xml_node& gpu = gpus_.front().node;
    if (const pugi::xml_node c2c = gpu.child("c2c")) {
      facts.host_bandwidth = BytesPerSecond{required(c2c, "bw") * required(c2c, "count") * 1e6};
      return;
    }
    for (pugi::xml_node at = gpu.parent(); std::string_view(at.name()) == "pci"; at = at.parent()) {
      const auto transfers = number(at.attribute("link_speed").value());  // "32.0 GT/s PCIe"; empty on virtual machines
      const auto lanes = number(at.attribute("link_width").value());
      if (!transfers || !lanes || *transfers <= 0 || *lanes <= 0) continue;
      const BytesPerSecond rate{*transfers * *lanes / 8 * 1e9};
      if (facts.host_bandwidth.value() == 0 || rate < facts.host_bandwidth) facts.host_bandwidth = rate;
    }
  }

  void read_nics(NodeFacts& facts) const {
    double fastest = 0;
    for (const Net& net : nets_) fastest = std::max(fastest, required(net.node, "speed"));
    const std::string host = gpus_.front().host;
    for (const Net& net : nets_) {
      if (net.host != host) continue;
      const double speed = required(net.node, "speed");
      if (speed == fastest) {
        ++facts.nics_per_node;
      } else {
        facts.left_out.push_back(std::string(net.node.attribute("name").value()) + ", " + exact_number_text(speed / 1e3) +
                                 " Gbps where others have " + exact_number_text(fastest / 1e3));
      }
    }
    facts.nic_bandwidth = BytesPerSecond{fastest * 1e6 / 8};
  }

  const std::string& text_;
  const std::string& path_;
  pugi::xml_document document_;
  std::vector<Gpu> gpus_;
  std::vector<Net> nets_;
};

}  // namespace

NodeFacts read_nccl_topology(const std::string& text, const std::string& path) { return NcclTopology(text, path).facts(); }

}  // namespace trillion
