"""Host seconds of a decoder layer as models.py writes it, on tensors so small that the host is the limit.

A call among others costs what it does in a step, about twice what the same call costs in a loop of its own; and hosts of one kind differ,
also from minute to minute, so a step that its host limits is worth comparing only with a layer timed beside it.
"""

import time

import torch

DENSE_LAYER = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 256,
               "rms_norm_eps": 1e-5, "attention_backend": "cudnn"}
EXPERT_LAYER = {**DENSE_LAYER, "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
                "first_k_dense_replace": 0}


def layer_seconds(config, recompute="none", samples=20):
    from models import Block, keeping_products
    from torch.utils.checkpoint import checkpoint

    layers, tokens = 6, 16
    angle = torch.outer(torch.arange(tokens, device="cuda").float(), torch.rand(32, device="cuda")).repeat(1, 2)[:, None, :]
    cosine, sine = angle.cos().bfloat16(), angle.sin().bfloat16()
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        blocks = torch.nn.ModuleList(Block(config, i) for i in range(layers))
        torch.set_default_dtype(torch.float32)
    how = {"context_fn": keeping_products} if recompute == "products" else {}
    taken = []
    for _ in range(samples):
        x = torch.randn(1, tokens, config["hidden_size"], device="cuda").bfloat16().requires_grad_()
        torch.cuda.synchronize()
        start = time.perf_counter()
        y = x
        for block in blocks:
            y = block(y, cosine, sine) if recompute == "none" else checkpoint(block, y, cosine, sine, use_reentrant=False, **how)
        forward = time.perf_counter() - start
        torch.cuda.synchronize()
        start = time.perf_counter()
        y.backward(y.detach())
        taken.append((forward / layers, (time.perf_counter() - start) / layers))
        blocks.zero_grad(set_to_none=True)
    taken = sorted(taken[samples // 4:], key=sum)
    forward, backward = taken[len(taken) // 2]
    return {"time_s": forward + backward, "forward_s": forward, "backward_s": backward, "min_s": sum(taken[0]),
            "p90_s": sum(taken[int(0.9 * (len(taken) - 1))]), "samples": len(taken)}
