#include "sim/net/fluid.h"

#include "sim/base/error.h"
#include "sim/net/fluid_run.h"

namespace trillion {

std::uint32_t FluidProblem::add_path(std::span<const Use> path_uses) {
  CHECK(!path_uses.empty(), "a path uses a link");
  uses.insert(uses.end(), path_uses.begin(), path_uses.end());
  uses_begin.push_back(static_cast<std::uint32_t>(uses.size()));
  return static_cast<std::uint32_t>(path_count() - 1);
}

std::vector<double> flow_ends(const FluidProblem& problem) {
  std::vector<double> ends(problem.flows.size());
  FluidRun(problem, ends).run();
  return ends;
}

std::vector<Seconds> transfer_ends(const Fabric& fabric, std::span<const Transfer> transfers) {
  FluidProblem problem;
  std::vector<std::uint32_t> number(fabric.link_count(), 0);  // in the problem + 1, by first link of a run
  // A run of links that is filled evenly is one link of their joint capacity.
  const auto link = [&](const LinkShare& share) {
    std::uint32_t& known = number[share.first];
    if (known == 0) {
      problem.capacities.push_back(fabric.link(share.first).capacity.value() * share.count);
      known = static_cast<std::uint32_t>(problem.capacities.size());
    }
    return known - 1;
  };
  problem.flows.reserve(transfers.size());
  std::vector<std::size_t> of_flow;
  of_flow.reserve(transfers.size());
  std::vector<LinkShare> shares;
  std::vector<FluidProblem::Use> uses;
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    const Transfer& t = transfers[i];
    if (t.from == t.to || t.bytes.value() <= 0) continue;
    const bool as_before = !of_flow.empty() && transfers[of_flow.back()].from == t.from && transfers[of_flow.back()].to == t.to;
    if (!as_before) {
      uses.clear();
      fabric.shares(t.from, t.to, shares);
      for (const LinkShare& share : shares) {
        if (fabric.can_be_full(share)) uses.push_back({link(share), share.share});
      }
      problem.add_path(uses);
    }
    problem.flows.push_back({static_cast<std::uint32_t>(problem.path_count() - 1), t.bytes.value()});
    of_flow.push_back(i);
  }
  const std::vector<double> flows = flow_ends(problem);
  std::vector<Seconds> ends(transfers.size());
  for (std::size_t f = 0; f < flows.size(); ++f) ends[of_flow[f]] = Seconds{flows[f]};
  return ends;
}

}  // namespace trillion
