"""Decoders as training code writes them, small enough for one GPU: dense (Llama-like or GPT-like) and mixture of experts.

Configuration keys are Hugging Face's. Linear layers have no bias; projections q, k, v, o and gate, up, down are separate
products; RMSNorm is F.rms_norm; rotary embedding is rotate-half in bf16; attention is PyTorch's SDPA with the
backend that the configuration names; the loss is cross-entropy on fp32 logits. Experts run through torch._grouped_mm on
tokens sorted by expert, with the counts left on the device. "model_type": "gpt2" has biases, LayerNorm, a GELU between two
products and learned positions instead.
"""

import collections

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}


class RmsNorm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


def gpt(c):
    return c.get("model_type") == "gpt2"


def norm(c):
    return nn.LayerNorm(c["hidden_size"]) if gpt(c) else RmsNorm(c["hidden_size"], c["rms_norm_eps"])


def rotate(x, cosine, sine):
    """x: [batch, position, head, dimension]."""
    if cosine is None:
        return x
    low, high = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-high, low), dim=-1) * sine


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.dim = c.get("head_dim", c["hidden_size"] // self.heads)
        self.backend = BACKENDS[c["attention_backend"]]
        width, bias = c["hidden_size"], gpt(c)
        self.q_proj = nn.Linear(width, self.heads * self.dim, bias=bias)
        self.k_proj = nn.Linear(width, self.kv_heads * self.dim, bias=bias)
        self.v_proj = nn.Linear(width, self.kv_heads * self.dim, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.dim, width, bias=bias)

    def forward(self, x, cosine, sine):
        batch, length, _ = x.shape
        q = rotate(self.q_proj(x).view(batch, length, self.heads, self.dim), cosine, sine)
        k = rotate(self.k_proj(x).view(batch, length, self.kv_heads, self.dim), cosine, sine)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.dim)
        with sdpa_kernel(self.backend):
            o = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True,
                                               enable_gqa=self.heads != self.kv_heads)
        return self.o_proj(o.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self, width, intermediate):
        super().__init__()
        self.gate_proj = nn.Linear(width, intermediate, bias=False)
        self.up_proj = nn.Linear(width, intermediate, bias=False)
        self.down_proj = nn.Linear(intermediate, width, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TwoProducts(nn.Module):
    def __init__(self, width, intermediate):
        super().__init__()
        self.up_proj = nn.Linear(width, intermediate)
        self.down_proj = nn.Linear(intermediate, width)

    def forward(self, x):
        return self.down_proj(F.gelu(self.up_proj(x), approximate="tanh"))


class Experts(nn.Module):
    """Softmax gate, top-k, shared experts as one wide feed-forward."""

    def __init__(self, c):
        super().__init__()
        count, width, inner = c["n_routed_experts"], c["hidden_size"], c["moe_intermediate_size"]
        self.top_k, self.count = c["num_experts_per_tok"], count
        self.router = nn.Linear(width, count, bias=False)
        for name, shape in (("gate", (count, width, inner)), ("up", (count, width, inner)), ("down", (count, inner, width))):
            setattr(self, name, nn.Parameter(torch.empty(shape).normal_(std=0.02)))
        self.shared = FeedForward(width, inner * c["n_shared_experts"]) if c["n_shared_experts"] else None

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = F.softmax(self.router(flat).float(), dim=-1).topk(self.top_k, dim=-1)
        order = chosen.flatten().argsort()
        token = order // self.top_k
        ends = torch.bincount(chosen.flatten(), minlength=self.count).cumsum(0).to(torch.int32)
        rows = flat.index_select(0, token)
        hidden = F.silu(torch._grouped_mm(rows, self.gate, offs=ends)) * torch._grouped_mm(rows, self.up, offs=ends)
        out = torch._grouped_mm(hidden, self.down, offs=ends)
        out = out * weights.flatten().index_select(0, order).to(out.dtype).unsqueeze(-1)
        result = torch.zeros_like(flat).index_add(0, token, out).view_as(x)
        return result + self.shared(x) if self.shared is not None else result


class Block(nn.Module):
    def __init__(self, c, layer):
        super().__init__()
        self.input_layernorm = norm(c)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = norm(c)
        routed = c.get("n_routed_experts", 0) and layer >= c["first_k_dense_replace"]
        dense = TwoProducts if gpt(c) else FeedForward
        self.mlp = Experts(c) if routed else dense(c["hidden_size"], c["intermediate_size"])

    def forward(self, x, cosine, sine):
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        return x + self.mlp(self.post_attention_layernorm(x))


def keeping_products():
    """Results of attention and of every other product stay; all else runs again (torchtitan's selective checkpointing)."""
    seen = collections.defaultdict(int)
    attention = {torch.ops.aten._scaled_dot_product_cudnn_attention.default, torch.ops.aten._scaled_dot_product_flash_attention.default}

    def policy(context, op, *args, **kwargs):
        keep = op in attention
        if op == torch.ops.aten.mm.default:
            seen[context.is_recompute] += 1
            keep = seen[context.is_recompute] % 2 == 1
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


class Decoder(nn.Module):
    """`recompute`: "none", "full" (a layer keeps its input only) or "products"."""

    def __init__(self, c, recompute):
        super().__init__()
        self.recompute = recompute
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Block(c, i) for i in range(c["num_hidden_layers"]))
        self.norm = norm(c)
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        if c["tie_word_embeddings"]:
            self.lm_head.weight = self.embed_tokens.weight
        self.positions = nn.Embedding(c["max_position_embeddings"], c["hidden_size"]) if gpt(c) else None
        if gpt(c):
            return
        dim = c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
        frequency = c["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim)
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), frequency).repeat(1, 2)[:, None, :]
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def forward(self, ids, labels):
        x = self.embed_tokens(ids)
        if self.positions is None:
            cosine, sine = self.cosine[: ids.shape[1]].to(x.dtype), self.sine[: ids.shape[1]].to(x.dtype)
        else:
            x, cosine, sine = x + self.positions(torch.arange(ids.shape[1], device=ids.device)), None, None
        how = {"context_fn": keeping_products} if self.recompute == "products" else {}
        for layer in self.layers:
            if self.recompute != "none":
                x = checkpoint(layer, x, cosine, sine, use_reentrant=False, **how)
            else:
                x = layer(x, cosine, sine)
        logits = self.lm_head(self.norm(x)).float()
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())
