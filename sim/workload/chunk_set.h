// The chunks that the schedules of many layouts are made of, profiled together: stages with the same blocks share theirs, and nothing is
// simulated twice.
//
//   ChunkSet chunks;
//   for (const ChunkSet::Use& use : uses) chunks.want(use);
//   chunks.profile({scenario, load, timing, clock_mhz, blocks});
//   program.run(chunks.of(use), ...);
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "sim/workload/chunk_profile.h"
#include "sim/workload/chunk_run.h"

namespace trillion {

class ChunkSet {
 public:
  // A layout's schedule, plan, groups and stages.
  struct Use {
    const ChunkProgram& program;
    const Plan& plan;
    const DeviceMesh& mesh;
    const StageCut& cut;
  };
  // What all chunks have in common. The scenario's plan is the uses'.
  struct Common {
    const Scenario& scenario;
    const ExpertLoad& load;
    const Timing& timing;
    double clock_mhz;
    TimedBlocks& blocks;
  };

  // REQUIRES: plans that run the same kernels; no parameters are gathered in every pass (zero-3), nothing is offloaded.
  void want(const Use& use);
  // Everything wanted. Once.
  void profile(const Common& common);
  // One for each of program.distinct(). REQUIRES: wanted and profiled.
  std::vector<const ChunkProfile*> of(const Use& use) const;
  std::size_t size() const { return profiles_.size(); }

 private:
  // Groups and buckets of what moves beside a chunk.
  struct Surroundings {
    Plan plan;
    DeviceMesh mesh;
    std::int64_t copies;
  };
  using SurroundingsKey =
      std::tuple<std::int64_t, std::int64_t, Sharding, std::optional<std::int64_t>, std::optional<double>, bool, bool, bool>;
  // Passes, the blocks of their stages, what is beside them, in which of surroundings_: the first where nothing is.
  using Chunk = std::tuple<ActionKind, Stage, std::optional<ActionKind>, Stage, BesideAction, std::size_t>;

  static SurroundingsKey surroundings_key(const Use& use);
  std::vector<Chunk> chunks_of(const Use& use) const;

  std::map<SurroundingsKey, std::size_t> number_;
  std::vector<Surroundings> surroundings_;
  std::map<Chunk, ChunkProfile> profiles_;
};

}  // namespace trillion
