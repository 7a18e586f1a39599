#include "sim/workload/launches.h"

#include <utility>
#include <variant>

namespace trillion {

namespace {

struct Modules {
  int forward, input_gradient;
};
constexpr Modules kMegatron{6, 3}, kTransformerEngine{13, 6};
constexpr int kFp8 = 2;
constexpr int kFusedAttention = 8, kAttentionProduct = 3, kSoftmax = 1, kDropout = 4, kSelection = 10, kCollective = 2, kCheckpoint = 10;

// Attention's products have rows of score matrices; linear layers are named after what they make.
bool is_attention_product(const Operation& op) {
  return op.category == Category::attention && (op.label.starts_with("attention ") || op.label.starts_with("gradient of "));
}

struct Calls {
  const Operation& op;
  const Modules& modules;
  int operator()(const Gemm& g) const {
    if (is_attention_product(op)) return kAttentionProduct;
    return (g.dtype == DType::bf16 ? 1 : kFp8) * (g.layout == GemmLayout::forward          ? modules.forward
                                                  : g.layout == GemmLayout::input_gradient ? modules.input_gradient
                                                                                           : 0);
  }
  int operator()(const GroupedGemm& g) const { return (g.dtype == DType::bf16 ? 1 : kFp8) * static_cast<int>(g.m.size()); }
  int operator()(const Attention&) const { return kFusedAttention; }
  int operator()(const MemoryBound& m) const {
    switch (m.kernel) {
      case MemoryKernel::softmax: return kSoftmax;
      case MemoryKernel::dropout:
      case MemoryKernel::dropout_backward: return kDropout;
      case MemoryKernel::gate_topk:
      case MemoryKernel::gate_topk_backward: return kSelection;
      default: return 0;
    }
  }
  int operator()(const Collective&) const { return kCollective; }
};

void add_calls(Operations& ops, const Modules& modules, int waiting) {
  for (Operation& op : ops) {
    waiting += std::visit(Calls{op, modules}, op.what);
    if (op.lane == Lane::compute) op.host_calls = std::exchange(waiting, 0);
  }
}

}  // namespace

void add_host_calls(Block& b, const BlockContext& c) {
  const Modules& modules = c.runs_apart(UnfusedPart::attention) ? kMegatron : kTransformerEngine;
  for (Operations* ops :
       {&b.before_exchange, &b.experts, &b.experts_backward, &b.before_exchange_backward, &b.experts_weight, &b.before_exchange_weight}) {
    add_calls(*ops, modules, 0);
  }
  add_calls(b.recompute, modules, kCheckpoint);
}

}  // namespace trillion
