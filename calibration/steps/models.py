"""Two decoders as training code writes them, small enough for one GPU: dense (Llama-like) and mixture of experts.

Configuration keys are Hugging Face's. Linear layers have no bias; projections q, k, v, o and gate, up, down are separate
products; RMSNorm is F.rms_norm; rotary embedding is rotate-half in bf16; attention is PyTorch's SDPA with the
backend that the configuration names; the loss is cross-entropy on fp32 logits. Experts run through torch._grouped_mm on
tokens sorted by expert, with the counts left on the device.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}


class RmsNorm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


def rotate(x, cosine, sine):
    """x: [batch, position, head, dimension]."""
    low, high = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-high, low), dim=-1) * sine


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.dim = c.get("head_dim", c["hidden_size"] // self.heads)
        self.backend = BACKENDS[c["attention_backend"]]
        width = c["hidden_size"]
        self.q_proj = nn.Linear(width, self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(width, self.kv_heads * self.dim, bias=False)
        self.v_proj = nn.Linear(width, self.kv_heads * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, width, bias=False)

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
        self.input_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        routed = c.get("n_routed_experts", 0) and layer >= c["first_k_dense_replace"]
        self.mlp = Experts(c) if routed else FeedForward(c["hidden_size"], c["intermediate_size"])

    def forward(self, x, cosine, sine):
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, c, recompute):
        super().__init__()
        self.recompute = recompute
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Block(c, i) for i in range(c["num_hidden_layers"]))
        self.norm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        if c["tie_word_embeddings"]:
            self.lm_head.weight = self.embed_tokens.weight
        dim = c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
        frequency = c["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim)
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), frequency).repeat(1, 2)[:, None, :]
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def forward(self, ids, labels):
        x = self.embed_tokens(ids)
        cosine, sine = self.cosine[: ids.shape[1]].to(x.dtype), self.sine[: ids.shape[1]].to(x.dtype)
        for layer in self.layers:
            if self.recompute == "full":
                x = checkpoint(layer, x, cosine, sine, use_reentrant=False)
            else:
                x = layer(x, cosine, sine)
        logits = self.lm_head(self.norm(x)).float()
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())
