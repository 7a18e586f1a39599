#include "sim/workload/chunk_set.h"

#include <algorithm>
#include <utility>

namespace trillion {

ChunkSet::SurroundingsKey ChunkSet::surroundings_key(const Use& use) {
  const Plan& p = use.plan;
  std::int64_t copies = 0;
  for (const auto& held : use.program.stages_of_rank()) copies += std::count(held.begin(), held.end(), 0);
  return {p.pipeline_parallel,        copies,          p.sharding, p.sharding_group, p.bucket_parameters, p.overlap_gradient_reduce,
          p.overlap_parameter_gather, aligns_chunks(p)};
}

std::vector<ChunkSet::Chunk> ChunkSet::chunks_of(const Use& use) const {
  const bool replicas = use.mesh.gpus() > use.plan.pipeline_parallel;
  const std::size_t around = number_.at(surroundings_key(use));
  const auto stage = [&](const Pass& p) { return use.cut.stages[static_cast<std::size_t>(p.stage)]; };
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < use.program.distinct().size(); ++i) {
    const Action& a = use.program.distinct()[i];
    const BesideAction& could = use.program.beside()[i];
    // What was gathered ahead holds up nothing: that is all but a rank's first chunk.
    const bool ahead = aligns_chunks(use.plan) && a.first.stage >= use.plan.pipeline_parallel;
    const BesideAction beside{could.gathers && replicas && use.plan.overlap_parameter_gather && !ahead,
                              could.reduces && replicas && use.plan.overlap_gradient_reduce};
    chunks.emplace_back(a.first.kind, stage(a.first), a.second ? std::optional(a.second->kind) : std::nullopt,
                        a.second ? stage(*a.second) : Stage{}, beside, beside == BesideAction{} ? 0 : around);
  }
  return chunks;
}

void ChunkSet::want(const Use& use) {
  const SurroundingsKey key = surroundings_key(use);
  const auto [entry, fresh] = number_.try_emplace(key, surroundings_.size());
  if (fresh) surroundings_.push_back({use.plan, use.mesh, std::get<1>(key)});
  for (Chunk& chunk : chunks_of(use)) profiles_.try_emplace(std::move(chunk));
}

void ChunkSet::profile(const Common& common) {
  Scenario s = common.scenario;
  for (std::size_t around = 0; around < surroundings_.size(); ++around) {
    std::vector<ChunkProfile*> wanted;
    std::vector<Action> actions;
    std::vector<BesideAction> beside;
    StageCut cut;
    for (auto& [chunk, profile] : profiles_) {
      const auto& [kind, stage, second, second_stage, with, number] = chunk;
      if (number != around) continue;
      const auto at = static_cast<std::int32_t>(cut.stages.size());
      actions.push_back({{kind, at, 0}, second ? std::optional(Pass{*second, at + 1, 0}) : std::nullopt});
      cut.stages.push_back(stage);
      cut.stages.push_back(second_stage);
      beside.push_back(with);
      wanted.push_back(&profile);
    }
    if (wanted.empty()) continue;
    cut.first_layer.resize(cut.stages.size());
    s.plan = surroundings_[around].plan;
    const PipelineSchedule none;
    const std::vector<ChunkProfile> made = chunk_profiles({s,
                                                           surroundings_[around].mesh,
                                                           none,
                                                           cut,
                                                           common.load,
                                                           common.timing,
                                                           common.clock_mhz,
                                                           {},
                                                           beside,
                                                           surroundings_[around].copies,
                                                           &common.blocks},
                                                          actions);
    for (std::size_t i = 0; i < made.size(); ++i) *wanted[i] = made[i];
  }
}

std::vector<const ChunkProfile*> ChunkSet::of(const Use& use) const {
  std::vector<const ChunkProfile*> out;
  for (const Chunk& chunk : chunks_of(use)) out.push_back(&profiles_.at(chunk));
  return out;
}

}  // namespace trillion
