#include "sim/workload/expert_exchange.h"

#include "sim/moe/dispatch.h"

namespace trillion {

namespace {

// What torch.distributed and an autograd function around it cost the host beside one product, in elementwise calls (measured by
// calibration/steps/torch_kernels.py: torch_all_to_all_autograd).
constexpr int kTorchExchangeCalls = 4;

// Copies of a token that a GPU moves through its NVLink buffers. DeepEP's kernels put those for their own GPU there too, and the blocks
// that receive over NVLink are those that lay a token into the NIC's buffers (dispatch) or take it out of them (combine): one pass more
// where a group spans nodes (csrc/kernels/internode.cu). Kernels have as many blocks as keep up with the links (DeepSeek-V3 report, 3.2.2),
// so a pass costs what a copy over NVLink does.
double nvlink_passes(const BlockContext& c) {
  const double sent = c.routing.local_ranks_per_token;
  if (c.plan.expert_exchange != ExpertExchange::deduplicated) return sent;
  return sent + c.routing.kept_per_token + (c.routing.remote_nodes_per_token > 0 ? 1 : 0);
}

// torch.distributed.all_to_all_single within a node: NCCL's own, which also copies what stays on the GPU.
Operation nccl_exchange(const BlockContext& c, const std::string& label) {
  const double copies = static_cast<double>(Sizes(c).residual_tokens) * static_cast<double>(c.model.moe->num_experts_per_tok);
  Operation op{label, Category::expert_all_to_all, Lane::expert,
               Collective{.kind = CollectiveKind::all_to_all,
                          .bytes = Bytes{2 * copies * static_cast<double>(Sizes(c).hidden)},
                          .ranks = c.expert.size,
                          .ranks_per_node = c.expert.ranks_per_node,
                          .scale_up_bytes = {},
                          .nic_share = c.expert.nic_share},
               LoadScale::rank_load};
  op.host_calls = kTorchExchangeCalls;
  return op;
}

Operation exchange(const BlockContext& c, const std::string& label, CollectiveKind kind, const Payload& copy) {
  const bool by_torch = c.framework != Framework::fused && c.plan.expert_exchange == ExpertExchange::all_to_all;
  if (by_torch && c.expert.ranks_per_node >= c.expert.size) return nccl_exchange(c, label);
  const double token = static_cast<double>(Sizes(c).residual_tokens) * copy.values;
  return {label, Category::expert_all_to_all, Lane::expert,
          Collective{.kind = kind,
                     .bytes = Bytes{token * c.routing.remote_nodes_per_token},
                     .ranks = c.expert.size,
                     .ranks_per_node = c.expert.ranks_per_node,
                     .scale_up_bytes = Bytes{token * nvlink_passes(c)},
                     .nic_share = c.expert.nic_share},
          LoadScale::exchange};
}

}  // namespace

void add_copies(Operations& ops, const BlockContext& c, const char* label, bool spreads) {
  if (c.plan.expert_exchange != ExpertExchange::all_to_all || c.plan.expert_parallel == 1) return;
  const Bytes tokens = Sizes(c).residual(), copies = static_cast<double>(c.model.moe->num_experts_per_tok) * tokens;
  ops.push_back(memory_operation(label, Category::norm_and_elementwise, spreads ? MemoryKernel::permute : MemoryKernel::unpermute,
                                 spreads ? tokens : copies, spreads ? copies : tokens));
}

Exchanges exchanges(const BlockContext& c) {
  if (c.plan.expert_parallel == 1) return {};
  const Sizes s(c);
  const bool quantised = s.fp8() && !c.runs_apart(UnfusedPart::expert_casts);
  const Payload dispatched = dispatch_payload(s.hidden, c.model.moe->num_experts_per_tok, quantised), combined = combine_payload(s.hidden);
  Exchanges e{exchange(c, "dispatch", CollectiveKind::expert_dispatch, dispatched),
              exchange(c, "combine", CollectiveKind::expert_combine, combined), std::nullopt,
              exchange(c, "combine backward", CollectiveKind::expert_dispatch, dispatched),
              exchange(c, "dispatch backward", CollectiveKind::expert_combine, combined)};
  if (quantised) {
    e.combine_backward_cast = cast_operation("quantise gradient for dispatch", static_cast<double>(s.residual_tokens * s.hidden));
    e.combine_backward_cast->lane = Lane::expert;  // it runs on the communication stream, beside the weight gradients before it
  }
  return e;
}

}  // namespace trillion
