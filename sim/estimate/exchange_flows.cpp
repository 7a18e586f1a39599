#include "sim/estimate/exchange_flows.h"

#include <algorithm>

#include "sim/base/error.h"
#include "sim/estimate/prepare.h"
#include "sim/moe/drawn_traffic.h"
#include "sim/net/fluid.h"

namespace trillion {
namespace {

void check_drawable(const Scenario& s) {
  if (!s.model.moe) throw InputError("--traffic: " + s.model.name + " has no experts");
  if (s.plan.expert_parallel == 1) throw InputError("--traffic: all experts are on one GPU, nothing is exchanged");
  if (s.plan.expert_exchange != ExpertExchange::deduplicated) {
    throw InputError("--traffic: copies for one node are drawn as they cross to it once (plan.expert_exchange: deduplicated)");
  }
}

void add_transfers(std::vector<ExchangeTransfer>& transfers, const Table& bytes, bool dispatch, bool nic) {
  for (std::int64_t s = 0; s < bytes.rows; ++s)
    for (std::int64_t r = 0; r < bytes.columns; ++r) {
      if (bytes.at(s, r) <= 0) continue;
      transfers.push_back({dispatch, nic, dispatch ? s : r, dispatch ? r : s, Bytes{bytes.at(s, r)}, {}, {}});
    }
}

Seconds busiest_wire(const ExchangeFlows& flows, bool dispatch, BytesPerSecond nic, BytesPerSecond nvlink) {
  std::vector<double> sent(static_cast<std::size_t>(2 * flows.ranks)), received(sent.size());  // [wire][rank]
  for (const ExchangeTransfer& t : flows.transfers) {
    if (t.dispatch != dispatch) continue;
    sent[static_cast<std::size_t>((t.nic ? 0 : flows.ranks) + t.from)] += t.bytes.value();
    received[static_cast<std::size_t>((t.nic ? 0 : flows.ranks) + t.to)] += t.bytes.value();
  }
  Seconds busiest;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    const BytesPerSecond rate = i < static_cast<std::size_t>(flows.ranks) ? nic : nvlink;
    busiest = std::max(busiest, Bytes{std::max(sent[i], received[i])} / rate);
  }
  return busiest;
}

// Ends of one way's transfers in groups that begin at these GPUs: of the first, and the last of all.
struct Ends {
  std::vector<Seconds> of_first;
  Seconds last;
};
Ends ends_of(const ExchangeFlows& flows, bool dispatch, const Fabric& fabric, const Group& group, const std::vector<std::int64_t>& firsts) {
  std::vector<Transfer> all;
  for (const std::int64_t first : firsts) {
    for (const ExchangeTransfer& t : flows.transfers) {
      if (t.dispatch == dispatch) all.push_back({first + t.from * group.stride, first + t.to * group.stride, t.bytes});
    }
  }
  std::vector<Seconds> ends = transfer_ends(fabric, all);
  const Seconds last = *std::max_element(ends.begin(), ends.end());
  ends.resize(ends.size() / firsts.size());
  return {std::move(ends), last};
}

}  // namespace

ExchangeFlows exchange_flows(const Scenario& s) {
  check_drawable(s);
  DeviceMesh mesh(s.plan, s.cluster);
  mesh.share_network(s.cluster);
  const Fabric fabric = Fabric::build(s.cluster);
  const ExpertGroup ranks = expert_group(s, mesh);
  const Traffic traffic = drawn_traffic(s.model, s.plan, s.training, ranks, s.seed);
  const Payload there = dispatch_payload(s.model.hidden_size, s.model.moe->num_experts_per_tok, s.plan.precision == Precision::fp8);
  const Wires dispatched = wires(traffic, ranks, there.total()),
              combined = wires(traffic, ranks, combine_payload(s.model.hidden_size).total());
  ExchangeFlows flows;
  flows.ranks = ranks.ranks;
  add_transfers(flows.transfers, dispatched.scale_out, true, true);
  add_transfers(flows.transfers, dispatched.scale_up, true, false);
  add_transfers(flows.transfers, combined.scale_out, false, true);
  add_transfers(flows.transfers, combined.scale_up, false, false);

  const Group group = mesh.expert();
  std::vector<std::int64_t> firsts;
  for (std::int64_t gpu = 0; gpu < fabric.gpus(); ++gpu) {
    if (group.place(gpu) == 0) firsts.push_back(gpu);
  }
  flows.groups = static_cast<std::int64_t>(firsts.size());
  const BytesPerSecond nic = s.cluster.nodes > 1 ? fabric.own_nic_rate() * group.nic_share : s.cluster.scale_up.bandwidth;
  for (const bool dispatch : {true, false}) {
    ExchangeFlows::Way& way = dispatch ? flows.dispatch : flows.combine;
    const Ends alone = ends_of(flows, dispatch, fabric, group, {firsts.front()}),
               together = ends_of(flows, dispatch, fabric, group, firsts);
    way = {busiest_wire(flows, dispatch, nic, s.cluster.scale_up.bandwidth), alone.last, together.last};
    std::size_t next = 0;
    for (ExchangeTransfer& t : flows.transfers) {
      if (t.dispatch != dispatch) continue;
      t.alone = alone.of_first[next];
      t.together = together.of_first[next++];
    }
  }
  return flows;
}

}  // namespace trillion
