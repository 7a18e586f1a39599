#include "sim/workload/torch_pipelining.h"

namespace trillion {

namespace {

bool is_product(const Operation& op) { return std::holds_alternative<Gemm>(op.what) || std::holds_alternative<GroupedGemm>(op.what); }

bool is_norm(const Operation& op) {
  const auto* kernel = std::get_if<MemoryBound>(&op.what);
  return kernel != nullptr && (kernel->kernel == MemoryKernel::torch_rms_norm || kernel->kernel == MemoryKernel::rms_norm ||
                               kernel->kernel == MemoryKernel::layer_norm);
}

// Where a parameter's gradient branches off: of all outputs there.
Bytes split_gradients(const Block& block) {
  Bytes all;
  for (const Operations* ops : {&block.before_exchange, &block.experts}) {
    for (const Operation& op : *ops) {
      if (is_product(op) || is_norm(op)) all += left_in_memory(op);
    }
  }
  return all;
}

// The logits that the last stage hands to its loss, where that keeps a copy of its own.
Bytes logits_beside(const Block& head) {
  for (const SavedTensor& t : head.saved) {
    if (t.name == "log-probabilities") return 0.5 * t.bytes;
  }
  return {};
}

}  // namespace

Bytes pipelining_buffers(const PipelinedStage& stage, Bytes message, std::int64_t micro_batches) {
  return static_cast<double>(micro_batches) * ((stage.first ? Bytes{} : message) + (stage.last ? Bytes{} : message));
}

StageHold kept_by_pipelining(const PipelinedStage& stage, Bytes message, Framework framework) {
  StageHold hold;
  if (!stage.first) hold.beside -= message;
  if (stage.last) {
    hold.beside += logits_beside(*stage.blocks.back());
  } else if (!stage.next_is_here) {
    hold.beside += message;
  }
  if (stage.first) return hold;
  for (const Block* block : stage.blocks) hold.split += framework == Framework::torch_compiled ? message : split_gradients(*block);
  return hold;
}

}  // namespace trillion
