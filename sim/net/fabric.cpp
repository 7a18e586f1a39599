#include "sim/net/fabric.h"

#include <algorithm>
#include <limits>

#include "sim/base/error.h"
#include "sim/net/switch_graph.h"

namespace trillion {

namespace {

Point point_of(const NetworkPart& part) {
  constexpr std::array kKinds = {PointKind::nic, PointKind::leaf, PointKind::spine, PointKind::core, PointKind::router};
  CHECK(part.index >= 0 && part.index < std::numeric_limits<std::uint32_t>::max(), "a part's number is read from 0 up");
  return {kKinds[static_cast<std::size_t>(part.kind)], static_cast<std::uint32_t>(part.index)};
}

// Both sizings of one cluster; the one that its kind does not have stays empty.
struct Sizings {
  Clos clos;
  Dragonfly dragonfly;
  std::vector<std::string> misfits;
};

Sizings size(const Cluster& cluster) {
  if (cluster.scale_out.kind == FabricKind::dragonfly) {
    DragonflySizing sizing = size_dragonfly(cluster);
    return {{}, sizing.dragonfly, std::move(sizing.misfits)};
  }
  ClosSizing sizing = size_clos(cluster);
  return {sizing.clos, {}, std::move(sizing.misfits)};
}

InputError error_of(const Cluster& cluster, const std::vector<std::string>& misfits) {
  std::vector<Diagnostic> diagnostics;
  for (const std::string& misfit : misfits) diagnostics.push_back({{}, "cluster '" + cluster.name + "': " + misfit, {}, {}});
  return InputError(std::move(diagnostics));
}

}  // namespace

std::vector<std::string> Fabric::misfits(const Cluster& cluster) {
  const Sizings sizings = size(cluster);
  if (!sizings.misfits.empty() || cluster.scale_out.failures.empty()) return sizings.misfits;
  const std::string cut = Fabric(cluster, sizings.clos, sizings.dragonfly).cut_off();
  return cut.empty() ? std::vector<std::string>{} : std::vector{cut};
}

Fabric Fabric::build(const Cluster& cluster) {
  const Sizings sizings = size(cluster);
  if (!sizings.misfits.empty()) throw error_of(cluster, sizings.misfits);
  Fabric fabric(cluster, sizings.clos, sizings.dragonfly);
  if (const std::string cut = fabric.cut_off(); !cut.empty()) throw error_of(cluster, {cut});
  return fabric;
}

Fabric::Fabric(const Cluster& cluster, const Clos& clos, const Dragonfly& dragonfly)
    : gpus_(cluster.gpus()),
      gpus_per_node_(cluster.gpus_per_node),
      domain_gpus_(std::max<std::int64_t>(1, cluster.scale_up.domain_gpus)),
      rails_(std::min(cluster.scale_out.nics_per_node, cluster.gpus_per_node)),
      nics_(cluster.nodes * rails_),
      clos_(clos),
      dragonfly_(dragonfly),
      routing_(cluster.scale_out.routing),
      seed_(cluster.scale_out.routing_seed),
      nvlink_latency_(cluster.scale_up.latency),
      nic_latency_(cluster.scale_out.nic_latency),
      hop_latency_(cluster.scale_out.hop_latency) {
  number_links(cluster);
  for (std::int64_t nic = 0; nic < nics_; ++nic) leaf_of_nic_.push_back(narrow(find_leaf_of_nic(nic)));
  for (std::size_t direct = 0; direct < kMeets; ++direct) {
    for (std::size_t relayed = 0; relayed < kMeets; ++relayed) {
      classes_[direct * kMeets + relayed] = shortest_path(static_cast<Meet>(direct), static_cast<Meet>(relayed));
    }
  }
  if (!cluster.scale_out.failures.empty()) break_links(cluster.scale_out.failures);
}

void Fabric::break_links(const std::vector<Failure>& failures) {
  broken_.assign(link_count(), false);
  std::vector<Diagnostic> unknown;
  for (const Failure& failure : failures) {
    if (const std::string why = break_links_of(failure); !why.empty()) {
      unknown.push_back({failure.where, "'failures': " + why, failure.source_line, {}});
    }
  }
  if (!unknown.empty()) throw InputError(std::move(unknown));
  graph_ = std::make_shared<SwitchGraph>(*this);
}

// Why it names no part of this network; empty: it does.
std::string Fabric::break_links_of(const Failure& failure) {
  const Point point = point_of(failure.part), other = failure.other ? point_of(*failure.other) : Point{};
  bool found = false;
  std::int64_t highest = -1;  // number of that kind of part
  for (std::uint32_t id = blocks_[nic_up].begin; id < link_count(); ++id) {
    const FabricLink l = link(id);
    for (const Point& end : {l.from, l.to}) {
      if (end.kind == point.kind) highest = std::max<std::int64_t>(highest, end.index);
    }
    const bool touches =
        failure.other ? (l.from == point && l.to == other) || (l.from == other && l.to == point) : l.from == point || l.to == point;
    if (touches) broken_[id] = found = true;
  }
  if (found) return {};
  const std::string kind(kPointKindNames[static_cast<std::size_t>(point.kind)]);
  if (highest < 0) return "this network has no " + kind + ", so none is broken by '" + to_text(failure) + "'";
  if (point.index <= highest) return "'" + to_text(failure) + "': no cable lies between the two";
  return "there is no " + kind + " " + std::to_string(point.index) + "; they are numbered 0 to " + std::to_string(highest);
}

std::string Fabric::cut_off() const { return graph_ ? graph_->cut_off(*this, gpus_per_node_) : std::string(); }

}  // namespace trillion
