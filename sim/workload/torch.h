// A decoder as PyTorch code runs it eagerly: one kernel for each operation that the code names, each issued by the host, and
// autograd's own (sums of gradients that meet, casts, copies). The code is calibration/steps/models.py, written as the common
// training scripts are: separate q, k, v and gate, up projections; F.rms_norm; rotate-half; silu(gate) * up; SDPA; experts through
// torch._grouped_mm on sorted tokens; cross-entropy on FP32 logits. Bytes of a kernel are counted as its calibration rows count
// them (calibration/steps/torch_kernels.py).
//
// torch.compile keeps the products and fuses what lies between them, so that its kernels are those of the fused stacks
// (workload/passes.h) with separate projections and BF16 weight gradients.
//
// What torch.compile(model) makes of the model as a whole: one graph forward and one backward, the loss in it, unless
//
//   the loss is left apart  (cross_entropy) layers are compiled one by one
//   fully_shard             the same, but the loss may be compiled, a function of its own
//   experts are routed      their count of tokens by expert (torch.bincount) depends on values and breaks the graph; a break within the
//                           loop over the layers leaves the model's own Python to the interpreter (torch._dynamo skips such a frame):
//                           layers are compiled, in pieces, but embedding, output projection and loss run eagerly
#pragma once

#include "sim/workload/passes.h"

namespace trillion {

bool is_one_graph(const BlockContext& context);
bool is_loss_compiled(const BlockContext& context);

// Label of what experts' rows are added to.
inline constexpr const char* kZeroedResult = "zero result";

Passes torch_attention(const BlockContext& context);
Passes torch_feed_forward(const BlockContext& context);
Passes torch_gate(const BlockContext& context);     // router, selection, sorting of tokens by expert
Passes torch_experts(const BlockContext& context);  // between the exchanges
Passes torch_embedding(const BlockContext& context);
Passes torch_head(const BlockContext& context);

// A linear layer's products with what PyTorch does around them: casts under autocast, sums over micro-batches. Compiled code casts a
// tensor to FP8 once for all who read it: for a `further` reader nothing is cast going forward, nor for its weight gradient.
enum class Reader { first, further };
void add_torch_linear(Passes& passes, const BlockContext& context, const Linear& linear, Reader reader = Reader::first);

}  // namespace trillion
