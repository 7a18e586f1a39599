// Ends of fluid transfers against SimGrid 3.32, the field's reference for max-min fluids (Casanova et al., "Versatile, scalable, and
// accurate simulation of distributed applications and platforms", JPDC 2014), flow by flow.
//
// Its model CM02 is the plain one: no correction of bandwidths or latencies, no traffic of acknowledgements (crosstraffic 0), no bound
// by TCP windows (TCP-gamma 0), no latency. One SimGrid engine runs in a process, so all cases are simulated side by side in it: their
// links are their own.
#include "sim/net/fluid.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#if TRILLION_HAS_SIMGRID
#include <simgrid/s4u.hpp>
#endif

namespace trillion::fluid_test {
namespace {

struct Case {
  std::string name;
  FluidProblem problem;
};

// Everyone to everyone, each with bytes of its own, over one link out of and one into each place.
FluidProblem all_to_all(std::uint32_t places, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  FluidProblem p;
  for (std::uint32_t l = 0; l < 2 * places; ++l) p.capacities.push_back(l % 3 == 0 ? 50e9 : 45e9);
  for (std::uint32_t a = 0; a < places; ++a) {
    for (std::uint32_t b = 0; b < places; ++b) {
      if (a == b) continue;
      const std::vector<FluidProblem::Use> uses = {{a, 1}, {places + b, 1}};
      p.flows.push_back({p.add_path(uses), 1e9 + static_cast<double>(random() % 4000) * 1e6});
    }
  }
  return p;
}

// Flows over one to four of the links, several with the same path.
FluidProblem tangle(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  FluidProblem p;
  for (int l = 0; l < 10; ++l) p.capacities.push_back(1e9 * static_cast<double>(1 + random() % 90));
  for (int path = 0; path < 30; ++path) {
    std::vector<FluidProblem::Use> uses;
    const std::size_t links = 1 + random() % 4;
    for (std::uint32_t l = 0; l < p.capacities.size() && uses.size() < links; ++l) {
      if (random() % 3 == 0) uses.push_back({l, 1});
    }
    if (uses.empty()) uses.push_back({static_cast<std::uint32_t>(random() % p.capacities.size()), 1});
    const std::uint32_t id = p.add_path(uses);
    for (std::size_t k = 0; k <= random() % 3; ++k) p.flows.push_back({id, 1e9 + static_cast<double>(random() % 1000) * 7e6});
  }
  return p;
}

std::vector<Case> cases() {
  std::vector<Case> all = {{"all to all of 8", all_to_all(8, 1)}, {"all to all of 12", all_to_all(12, 2)}};
  for (std::uint64_t seed = 1; seed <= 12; ++seed) all.push_back({"tangle, seed " + std::to_string(seed), tangle(seed)});
  return all;
}

#if TRILLION_HAS_SIMGRID

namespace sg4 = simgrid::s4u;

// Ends by case and flow.
std::vector<std::vector<double>> simgrid_ends(const std::vector<Case>& all) {
  std::vector<std::string> arguments = {"fluid_test",
                                        "--cfg=network/model:CM02",
                                        "--cfg=network/crosstraffic:0",
                                        "--cfg=network/TCP-gamma:0",
                                        "--cfg=surf/precision:1e-12",
                                        "--cfg=maxmin/precision:1e-12",
                                        "--log=root.thres:critical"};
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  int argc = static_cast<int>(argv.size());
  sg4::Engine engine(&argc, argv.data());
  std::vector<std::vector<double>> ends;
  for (const Case& c : all) ends.emplace_back(c.problem.flows.size());

  sg4::NetZone* root = sg4::create_full_zone("root");
  for (std::size_t k = 0; k < all.size(); ++k) {
    const FluidProblem& p = all[k].problem;
    sg4::NetZone* zone = sg4::create_full_zone("case" + std::to_string(k))->set_parent(root);
    std::vector<sg4::Link*> links;
    for (std::size_t l = 0; l < p.capacities.size(); ++l) {
      links.push_back(zone->create_link("link" + std::to_string(k) + "." + std::to_string(l), p.capacities[l])->set_latency(0)->seal());
    }
    for (std::size_t f = 0; f < p.flows.size(); ++f) {
      const std::string name = std::to_string(k) + "." + std::to_string(f);
      sg4::Host* from = zone->create_host("from" + name, 1e9)->seal();
      sg4::Host* to = zone->create_host("to" + name, 1e9)->seal();
      std::vector<sg4::LinkInRoute> route;
      for (std::uint32_t u = p.uses_begin[p.flows[f].path]; u < p.uses_begin[p.flows[f].path + 1]; ++u)
        route.emplace_back(links[p.uses[u].link]);
      zone->add_route(from->get_netpoint(), to->get_netpoint(), nullptr, nullptr, route, false);
      sg4::Actor::create("flow" + name, from, [from, to, bytes = p.flows[f].bytes, &end = ends[k][f]] {
        sg4::Comm::sendto(from, to, static_cast<std::uint64_t>(bytes));
        end = sg4::Engine::get_clock();
      });
    }
    zone->seal();
  }
  root->seal();
  engine.run();
  return ends;
}

TEST(FluidAndSimGrid, EndAtTheSameTimesFlowByFlow) {
  const std::vector<Case> all = cases();
  const std::vector<std::vector<double>> theirs = simgrid_ends(all);
  std::size_t flows = 0;
  for (std::size_t k = 0; k < all.size(); ++k) {
    const std::vector<double> ours = flow_ends(all[k].problem);
    for (std::size_t f = 0; f < ours.size(); ++f, ++flows) {
      EXPECT_NEAR(ours[f] / theirs[k][f], 1, 1e-9) << all[k].name << ", flow " << f << ": " << ours[f] << " s and " << theirs[k][f] << " s";
    }
  }
  EXPECT_GT(flows, 700u);
}

#else

TEST(FluidAndSimGrid, EndAtTheSameTimesFlowByFlow) {
  GTEST_SKIP() << "without SimGrid (apt-get install libsimgrid-dev; not under sanitizers) " << cases().size() << " cases are not compared";
}

#endif

}  // namespace
}  // namespace trillion::fluid_test
