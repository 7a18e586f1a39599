// A decoder as PyTorch code runs it eagerly: one kernel for each operation that the code names, each issued by the host, and
// autograd's own (sums of gradients that meet, casts, copies). The code is calibration/steps/models.py, written as the common
// training scripts are: separate q, k, v and gate, up projections; F.rms_norm; rotate-half; silu(gate) * up; SDPA; experts through
// torch._grouped_mm on sorted tokens; cross-entropy on FP32 logits. Bytes of a kernel are counted as its calibration rows count
// them (calibration/steps/torch_kernels.py).
//
// torch.compile keeps the products and fuses what lies between them, so that its kernels are those of the fused stacks
// (workload/passes.h) with separate projections and BF16 weight gradients.
#pragma once

#include "sim/workload/passes.h"

namespace trillion {

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
