#include "sim/moe/exchange.h"

#include <algorithm>
#include <vector>

namespace trillion {
namespace {

void send_every_copy(LayerRouting& routing, const ExpertGroup& group, double copies) {
  const auto ranks = static_cast<std::size_t>(group.ranks),
             per_node = static_cast<std::size_t>(std::max<std::int64_t>(group.ranks_per_node, 1));
  const auto share = [&](std::size_t rank) {
    return (routing.rank_load.empty() ? 1.0 : routing.rank_load[rank]) / static_cast<double>(ranks);
  };
  std::vector<double> node(ranks / per_node + 1, 0.0);  // share of the copies that are for it
  for (std::size_t r = 0; r < ranks; ++r) node[r / per_node] += share(r);
  double all = 0;
  for (const double n : node) all += n;
  double local = 0, remote = 0;
  std::vector<double> nic(ranks, 0.0);  // copies of one sender's token: the more of what a rank sends and what it gets
  for (std::size_t r = 0; r < ranks; ++r) {
    const std::size_t first = r / per_node * per_node, in_node = std::min(per_node, ranks - first);
    const double sent = copies * (all - node[r / per_node]);
    const double received = copies * share(r) * static_cast<double>(ranks - in_node);
    local += copies * (node[r / per_node] - share(r));
    remote += sent;
    nic[r] = std::max(sent, received);
  }
  routing.local_ranks_per_token = local / static_cast<double>(ranks);
  routing.kept_per_token = 0;
  routing.remote_nodes_per_token = remote / static_cast<double>(ranks);
  routing.scale_out.clear();
  routing.scale_out_max_over_mean = 1;
  if (remote <= 0) return;
  for (double& n : nic) n /= routing.remote_nodes_per_token;
  routing.scale_out_max_over_mean = *std::max_element(nic.begin(), nic.end());
  routing.scale_out = std::move(nic);
}

}  // namespace

ExpertLoad every_copy_sent(ExpertLoad load, const ExpertGroup& group, std::int64_t top_k) {
  const auto copies = static_cast<double>(top_k);
  for (LayerRouting& routing : load.samples) send_every_copy(routing, group, copies * routing.served);
  send_every_copy(load.mean, group, copies * load.mean.served);
  load.free_remote_nodes_per_token = load.mean.remote_nodes_per_token;
  return load;
}

}  // namespace trillion
