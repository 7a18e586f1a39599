"""The decoders of models.py over several GPUs: layers split by tensor, sequence and expert parallelism, and pipeline stages.

Written out as Megatron-LM has it, with NCCL calls on the compute stream's order: column-split then row-split products with one
all-reduce each way (sequence parallel: all-gather in, reduce-scatter out), a vocabulary split over the ranks, experts reached by
all-to-all after a sort by expert.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import models


class SumOut(torch.autograd.Function):
    """Partial results of the ranks become their sum; the gradient passes."""

    @staticmethod
    def forward(ctx, x, group):
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class SumGradient(torch.autograd.Function):
    """The same input on all ranks; their gradients are summed."""

    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.contiguous()
        dist.all_reduce(gradient, group=ctx.group)
        return gradient, None


def gathered(x, group):
    """[1, length / ranks, width] -> [1, length, width]."""
    out = x.new_empty(1, x.shape[1] * dist.get_world_size(group), x.shape[2])
    dist.all_gather_into_tensor(out, x.contiguous(), group=group)
    return out


def scattered_sum(x, group):
    """[1, length, width] partial -> [1, length / ranks, width] summed."""
    out = x.new_empty(1, x.shape[1] // dist.get_world_size(group), x.shape[2])
    dist.reduce_scatter_tensor(out, x.contiguous(), group=group)
    return out


class Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        return gathered(x, group)

    @staticmethod
    def backward(ctx, gradient):
        return scattered_sum(gradient, ctx.group), None


class ScatterSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        return scattered_sum(x, group)

    @staticmethod
    def backward(ctx, gradient):
        return gathered(gradient, ctx.group), None


class AllToAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, sent, received, group):
        ctx.sent, ctx.received, ctx.group = sent, received, group
        out = x.new_empty(sum(received), x.shape[1])
        dist.all_to_all_single(out, x.contiguous(), received, sent, group=group)
        return out

    @staticmethod
    def backward(ctx, gradient):
        out = gradient.new_empty(sum(ctx.sent), gradient.shape[1])
        dist.all_to_all_single(out, gradient.contiguous(), ctx.sent, ctx.received, group=ctx.group)
        return out, None, None, None


class Split:
    """How a layer's work is split over the tensor-parallel group (None: not at all), and which of `slices` of every sequence is here."""

    def __init__(self, group, sequence, slice_here=0, slices=1):
        self.group, self.sequence = group, sequence
        self.slice_here, self.slices = slice_here, slices
        self.ranks = dist.get_world_size(group) if group else 1
        self.rank = dist.get_rank(group) if group else 0

    def enter(self, x):
        if self.ranks == 1:
            return x
        return Gather.apply(x, self.group) if self.sequence else SumGradient.apply(x, self.group)

    def leave(self, x):
        if self.ranks == 1:
            return x
        return ScatterSum.apply(x, self.group) if self.sequence else SumOut.apply(x, self.group)

    def positions(self, table, length):
        """Rows of `length` tokens that are here. Of a sequence split over ranks each holds two slices, one from either end."""
        if self.slices == 1:
            return table[:length]
        parts = table[: length * self.slices].chunk(2 * self.slices)
        return torch.cat((parts[self.slice_here], parts[-1 - self.slice_here]))

    def share(self, c):
        """The configuration of one rank's part of a layer."""
        dim = c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
        return {**c, "head_dim": dim, **{key: c[key] // self.ranks for key in ("num_attention_heads", "num_key_value_heads",
                                                                             "intermediate_size")}}


class Experts(models.Experts):
    """models.Experts with the experts spread over a group; counts travel first, since the receiver must know its rows."""

    def __init__(self, c, group):
        self.group, self.ranks = group, dist.get_world_size(group)
        super().__init__({**c, "n_routed_experts": c["n_routed_experts"]})
        self.local = self.count // self.ranks
        for name in ("gate", "up", "down"):
            whole = getattr(self, name)
            setattr(self, name, nn.Parameter(whole.detach()[: self.local].clone()))
        self.received_rows = 0

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = F.softmax(self.router(flat).float(), dim=-1).topk(self.top_k, dim=-1)
        order = chosen.flatten().argsort()
        token = order // self.top_k
        counts = torch.bincount(chosen.flatten(), minlength=self.count).view(self.ranks, self.local)
        arriving = torch.empty_like(counts)
        dist.all_to_all_single(arriving, counts, group=self.group)
        sent, received = torch.stack((counts.sum(1), arriving.sum(1))).tolist()  # the host must know: it waits here
        self.received_rows = sum(received)
        rows = AllToAll.apply(flat.index_select(0, token), sent, received, self.group)
        # Rows come by sender, then expert; the grouped product wants them by expert.
        expert = torch.arange(self.local, device=x.device).repeat(self.ranks).repeat_interleave(arriving.flatten(), output_size=sum(received))
        by_expert = expert.argsort(stable=True)
        rows = rows.index_select(0, by_expert)
        ends = arriving.sum(0).cumsum(0).to(torch.int32)
        hidden = F.silu(torch._grouped_mm(rows, self.gate, offs=ends)) * torch._grouped_mm(rows, self.up, offs=ends)
        out = torch._grouped_mm(hidden, self.down, offs=ends)
        back = torch.empty_like(by_expert)
        back[by_expert] = torch.arange(by_expert.numel(), device=x.device)
        out = AllToAll.apply(out.index_select(0, back), received, sent, self.group)
        out = out * weights.flatten().index_select(0, order).to(out.dtype).unsqueeze(-1)
        result = torch.zeros_like(flat).index_add(0, token, out).view_as(x)
        return result + self.shared(x) if self.shared is not None else result


class Block(models.Block):
    def __init__(self, c, layer, split, experts):
        routed = bool(c.get("n_routed_experts", 0)) and layer >= c["first_k_dense_replace"]
        super().__init__({**split.share(c), "n_routed_experts": 0}, layer)
        if routed:
            self.mlp = Experts(c, experts)
        self.split = split

    def forward(self, x, cosine, sine):
        x = x + self.split.leave(self.self_attn(self.split.enter(self.input_layernorm(x)), cosine, sine))
        return x + self.split.leave(self.mlp(self.split.enter(self.post_attention_layernorm(x))))


class Embedding(nn.Module):
    """The rows of the vocabulary that belong to this rank; a token of another rank's gives zeros here."""

    def __init__(self, c, split):
        super().__init__()
        self.split, self.rows = split, c["vocab_size"] // split.ranks
        self.weight = nn.Parameter(torch.empty(self.rows, c["hidden_size"]))

    def forward(self, ids):
        if self.split.ranks == 1:
            return F.embedding(ids, self.weight)
        local = ids - self.rows * self.split.rank
        elsewhere = (local < 0) | (local >= self.rows)
        rows = F.embedding(local.masked_fill(elsewhere, 0), self.weight).masked_fill(elsewhere.unsqueeze(-1), 0)
        return self.split.leave(rows)


class SplitCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of fp32 logits [tokens, vocabulary / ranks], overwritten by their softmax."""

    @staticmethod
    def forward(ctx, logits, labels, split):
        most = logits.amax(dim=-1)
        dist.all_reduce(most, dist.ReduceOp.MAX, group=split.group)
        logits.sub_(most.unsqueeze(-1))
        local = labels - logits.shape[-1] * split.rank
        elsewhere = (local < 0) | (local >= logits.shape[-1])
        local = local.masked_fill(elsewhere, 0)
        wanted = logits.gather(-1, local.unsqueeze(-1)).squeeze(-1).masked_fill(elsewhere, 0)
        dist.all_reduce(wanted, group=split.group)
        total = logits.exp_().sum(dim=-1)
        dist.all_reduce(total, group=split.group)
        logits.div_(total.unsqueeze(-1))
        ctx.save_for_backward(logits, local, elsewhere)
        return (total.log() - wanted).mean()

    @staticmethod
    def backward(ctx, gradient):
        softmax, local, elsewhere = ctx.saved_tensors
        softmax.scatter_add_(-1, local.unsqueeze(-1), elsewhere.float().sub_(1).unsqueeze(-1))
        return softmax.mul_(gradient / softmax.shape[0]), None, None


def loss_of(logits, labels, split):
    logits, labels = logits.float().flatten(0, 1), labels.flatten()
    return F.cross_entropy(logits, labels) if split.ranks == 1 else SplitCrossEntropy.apply(logits, labels, split)


class Stage(nn.Module):
    """Consecutive layers, with the embedding before the first and the head after the last. Given labels it returns the loss."""

    def __init__(self, c, layers, split, experts=None, recompute="none", first=True, last=True):
        super().__init__()
        self.split, self.recompute = split, recompute
        self.embed_tokens = Embedding(c, split) if first else None
        self.layers = nn.ModuleList(Block(c, i, split, experts) for i in layers)
        self.norm = models.RmsNorm(c["hidden_size"], c["rms_norm_eps"]) if last else None
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"] // split.ranks, bias=False) if last else None
        dim = c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
        frequency = c["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim)
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), frequency).repeat(1, 2)[:, None, :]
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def forward(self, x, labels=None):
        if self.embed_tokens is not None:
            x = self.embed_tokens(x)
        length = x.shape[1] * (self.split.ranks if self.split.sequence else 1)
        cosine, sine = (self.split.positions(table, length).to(x.dtype) for table in (self.cosine, self.sine))
        for layer in self.layers:
            x = checkpoint(layer, x, cosine, sine, use_reentrant=False) if self.recompute == "full" else layer(x, cosine, sine)
        if self.lm_head is None:
            return x
        logits = self.lm_head(self.split.enter(self.norm(x)))
        return logits if labels is None else loss_of(logits, labels, self.split)


def sum_norm_gradients(module, group):
    """Under sequence parallelism every rank has seen its part of the tokens only."""
    gradients = [p.grad for p in module.parameters() if p.dim() == 1]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat, group=group)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient))
