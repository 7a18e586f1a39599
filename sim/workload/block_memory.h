// A block of the model as memory sees it: what a micro-batch leaves behind in it, and what its backward pass takes for a while.
#pragma once

#include <array>
#include <optional>

#include "sim/spec/scenario.h"
#include "sim/workload/block.h"

namespace trillion {

// Every kind of block as memory sees it, made when asked for. Layouts that differ in their schedule, cut or sharding share it.
class BlockMemory {
 public:
  using ModuleBytes = std::array<Bytes, kModuleCount>;
  struct Of {
    Block block;
    ModuleBytes saved;        // what one micro-batch leaves behind
    Bytes restored;           // what recomputation brings back at once
    Bytes largest_gradients;  // on their way back at once
  };
  // All three must outlive it.
  BlockMemory(const Scenario& scenario, const DeviceMesh& mesh, const LayerRouting& routing);
  const Of& of(BlockKind kind);
  const BlockContext& context() const { return context_; }

 private:
  BlockContext context_;
  Plan without_;  // recomputation
  std::array<std::optional<Of>, kBlockKindCount> made_;
};

}  // namespace trillion
