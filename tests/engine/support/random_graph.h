// Random graphs that cannot get stuck: the members of a rendezvous are added one after the other, on different streams, and
// depend only on what was added before the first of them.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "sim/engine/task_graph.h"

namespace trillion::test {

struct DrawnTask {
  std::uint32_t stream = 0;
  TaskKind kind;
  std::vector<TaskId> dependencies;
  std::uint32_t rendezvous = RendezvousId::kNone;
};

// The recipe of a graph, so that a test can build variants of it.
struct Recipe {
  std::uint32_t streams = 1;
  std::uint32_t rendezvous = 0;
  std::vector<double> links;             // bytes per second
  std::vector<std::uint32_t> device_of;  // each stream; empty: no devices
  std::vector<DrawnTask> tasks;
};

struct Draw {
  TaskGraph graph;
  std::vector<std::vector<TaskId>> members;  // of each rendezvous
};

struct DrawLimits {
  std::uint32_t streams = 8, steps = 60;
  std::uint32_t links = 0;      // most links; 0: plain tasks only
  std::uint64_t duration = 20;  // most picoseconds of a task
  bool round_numbers = true;    // of bytes and capacities: many things happen at the same instant
  std::uint32_t devices = 0;    // most devices; half of the streams on them run kernels, the others transfers
};

inline Recipe random_recipe(std::mt19937_64& random, const DrawLimits& limits) {
  const auto below = [&](std::uint64_t n) { return static_cast<std::uint32_t>(random() % n); };
  const auto real = [&](double low, double high) { return std::uniform_real_distribution<double>(low, high)(random); };
  Recipe recipe;
  recipe.streams = 1 + below(limits.streams);
  if (limits.links > 0) recipe.links.resize(1 + below(limits.links));
  for (double& capacity : recipe.links) capacity = 1e12 * (limits.round_numbers ? 1.0 + below(4) : real(0.5, 5));
  for (std::uint32_t s = 0; limits.devices > 0 && s < recipe.streams; ++s) recipe.device_of.push_back(s % limits.devices);
  std::vector<std::uint32_t> order(recipe.streams);
  const std::uint32_t steps = below(limits.steps);
  for (std::uint32_t i = 0; i < steps; ++i) {
    const auto added = static_cast<std::uint32_t>(recipe.tasks.size());
    for (std::uint32_t s = 0; s < recipe.streams; ++s) order[s] = s;
    std::shuffle(order.begin(), order.end(), random);
    const std::uint32_t group = below(4) == 0 ? 1 + below(recipe.streams) : 0;
    for (std::uint32_t m = 0; m < std::max(group, 1u); ++m) {
      DrawnTask task{order[m], {"k", 0, SimTime{static_cast<std::int64_t>(random() % limits.duration)}, {}}, {}, RendezvousId::kNone};
      if (group > 0) task.rendezvous = recipe.rendezvous;
      for (std::uint32_t d = added > 0 ? below(4) : 0; d > 0; --d) task.dependencies.push_back(TaskId{below(added)});
      for (std::uint32_t u = recipe.links.empty() ? 0 : below(4); u > 0; --u) {
        const double bytes = static_cast<double>(limits.duration) * (limits.round_numbers ? 0.25 * below(8) : real(0, 2));
        task.kind.links.push_back({LinkId{below(recipe.links.size())}, Bytes{bytes}});
      }
      // Members of a rendezvous are all of one side.
      if (limits.devices > 0) {
        task.kind.side = group > 0 || task.stream % 2 == 1 ? Side::transfer : Side::kernel;
        task.kind.beside = limits.round_numbers ? 0.5 : real(0.4, 1);
      }
      recipe.tasks.push_back(task);
    }
    if (group > 0) ++recipe.rendezvous;
  }
  return recipe;
}

inline Draw build(const Recipe& recipe) {
  Draw draw;
  for (std::uint32_t s = 0; s < recipe.streams; ++s) {
    DeviceId device;
    if (!recipe.device_of.empty()) device = DeviceId{recipe.device_of[s]};
    while (device.valid() && draw.graph.device_count() <= device.value) draw.graph.add_device();
    draw.graph.add_stream("s" + std::to_string(s), device);
  }
  for (const double capacity : recipe.links) draw.graph.add_link("l", BytesPerSecond{capacity});
  for (std::uint32_t r = 0; r < recipe.rendezvous; ++r) draw.graph.add_rendezvous();
  draw.members.resize(recipe.rendezvous);
  for (const DrawnTask& task : recipe.tasks) {
    const TaskId id =
        draw.graph.add(StreamId{task.stream}, draw.graph.add_kind(task.kind), task.dependencies, RendezvousId{task.rendezvous});
    if (task.rendezvous != RendezvousId::kNone) draw.members[task.rendezvous].push_back(id);
  }
  return draw;
}

inline Draw random_graph(std::mt19937_64& random) { return build(random_recipe(random, {})); }

}  // namespace trillion::test
