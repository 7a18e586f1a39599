#!/usr/bin/env python3
"""Times whole training steps of a Llama on two GPUs as large-scale PyTorch scripts set it up, and what memory they take: fully_shard with FP32
shards, BF16 compute and FP32 reduction, or DTensor's tensor parallelism with sharded sequences and a sharded loss; activation checkpointing by
layer or by operation; layers compiled or not, the loss outside. One JSON file a configuration.

These measurements validate a calibration and never enter one.

usage: sharded_step.py --output DIR [--only NAME,...] [--list]

The model is written as such scripts write it: norms in FP32, rotation of complex numbers, keys and values repeated for every query head.
The allocator has expandable segments. 3 warm-up steps, then 6 measured ones.
"""

import argparse
import collections
import os
import statistics
import sys

os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

from train_step import WIDE, write_whole

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

RANKS, WARM_UP, STEPS = 2, 3, 6


def case(layers, batch, length, **more):
    return {"model": {**WIDE, "num_hidden_layers": layers, "max_position_embeddings": length}, "micro_batch_size": batch, "sequence_length": length,
            "sharding": "zero-3", "tensor_parallel": 1, "data_parallel": RANKS, "recompute": "none", "compiled": False, **more}


SPLIT = {"sharding": "none", "tensor_parallel": RANKS, "data_parallel": 1}
CASES = {
    "sharded-products-x2": case(8, 2, 8192, recompute="products"),
    "sharded-products-compiled-x2": case(8, 2, 8192, recompute="products", compiled=True),
    "sharded-full-x2": case(8, 2, 8192, recompute="full"),
    "sharded-full-compiled-x2": case(8, 2, 8192, recompute="full", compiled=True),
    "sharded-none-x2": case(4, 1, 8192),
    "split-full-x2": case(4, 8, 2048, recompute="full", **SPLIT),
    "split-full-compiled-x2": case(4, 8, 2048, recompute="full", compiled=True, **SPLIT),
}


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float()
        scaled = wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + 1e-5)
        return scaled.type_as(x) * self.weight


def turned(x, angles):
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * angles).flatten(3).type_as(x)


def repeated(x, copies):
    batch, length, heads, dim = x.shape
    return x[:, :, :, None, :].expand(batch, length, heads, copies, dim).reshape(batch, length, heads * copies, dim)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, self.dim = c["hidden_size"], c["head_dim"]
        self.copies = c["num_attention_heads"] // c["num_key_value_heads"]
        self.q = nn.Linear(width, c["num_attention_heads"] * self.dim, bias=False)
        self.k = nn.Linear(width, c["num_key_value_heads"] * self.dim, bias=False)
        self.v = nn.Linear(width, c["num_key_value_heads"] * self.dim, bias=False)
        self.o = nn.Linear(c["num_attention_heads"] * self.dim, width, bias=False)

    def forward(self, x, angles):
        batch, length, _ = x.shape
        q, k, v = (t.view(batch, length, -1, self.dim) for t in (self.q(x), self.k(x), self.v(x)))
        q, k = turned(q, angles), turned(k, angles)
        keys, values = repeated(k, self.copies), repeated(v, self.copies)
        out = F.scaled_dot_product_attention(q.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), is_causal=True)
        return self.o(out.transpose(1, 2).contiguous().view(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, inner = c["hidden_size"], c["intermediate_size"]
        self.gate, self.up = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attention, self.network = Attention(c), FeedForward(c)
        self.attention_norm, self.network_norm = Norm(c["hidden_size"]), Norm(c["hidden_size"])

    def forward(self, x, angles):
        h = x + self.attention(self.attention_norm(x), angles)
        return h + self.network(self.network_norm(h))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embedding = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleDict({str(i): Block(c) for i in range(c["num_hidden_layers"])})
        self.norm = Norm(c["hidden_size"])
        self.head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        frequency = c["rope_theta"] ** (-torch.arange(0, c["head_dim"], 2).float() / c["head_dim"])
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), frequency)
        self.register_buffer("angles", torch.polar(torch.ones_like(angle), angle)[None, :, None, :], persistent=False)

    def forward(self, ids):
        h = self.embedding(ids)
        for layer in self.layers.values():
            h = layer(h, self.angles)
        return self.head(self.norm(h))


def keeping_products():
    """Results of attention and of every other product stay; all else runs again."""
    from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

    aten, seen = torch.ops.aten, collections.defaultdict(int)
    attention = {aten._scaled_dot_product_flash_attention.default, aten._scaled_dot_product_efficient_attention.default}

    def policy(context, op, *args, **kwargs):
        if op == aten.mm.default:
            seen[context.is_recompute] += 1
            keep = seen[context.is_recompute] % 2 == 1
        else:
            keep = op in attention
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


def split(model, mesh):
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.parallel import ColwiseParallel, PrepareModuleInput, RowwiseParallel, SequenceParallel, parallelize_module

    parallelize_module(model, mesh, {
        "embedding": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)), "norm": SequenceParallel(),
        "head": ColwiseParallel(input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False)})
    for layer in model.layers.values():
        parallelize_module(layer, mesh, {
            "attention_norm": SequenceParallel(), "network_norm": SequenceParallel(),
            "attention": PrepareModuleInput(input_layouts=(Shard(1), None), desired_input_layouts=(Replicate(), None)),
            "network": PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)),
            "attention.q": ColwiseParallel(), "attention.k": ColwiseParallel(), "attention.v": ColwiseParallel(),
            "attention.o": RowwiseParallel(output_layouts=Shard(1)), "network.gate": ColwiseParallel(), "network.up": ColwiseParallel(),
            "network.down": RowwiseParallel(output_layouts=Shard(1))})


class Step:
    def __init__(self, settings):
        from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        self.settings, mesh = settings, init_device_mesh("cuda", (RANKS,))
        torch.manual_seed(1)
        with torch.device("cuda"):
            model = Decoder(settings["model"])
        if settings["tensor_parallel"] > 1:
            for parameter in model.parameters():
                parameter.data = parameter.data.bfloat16()
            split(model, mesh)
        if settings["recompute"] != "none":
            how = {"context_fn": keeping_products} if settings["recompute"] == "products" else {}
            for name, layer in list(model.layers.items()):
                model.layers[name] = checkpoint_wrapper(layer, preserve_rng_state=False, **how)
        if settings["compiled"]:
            for name, layer in list(model.layers.items()):
                model.layers[name] = torch.compile(layer, fullgraph=True)
        if settings["sharding"] == "zero-3":
            mixed, last = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32), str(len(model.layers) - 1)
            for name, layer in model.layers.items():
                fully_shard(layer, mesh=mesh, mp_policy=mixed, reshard_after_forward=name != last)
            fully_shard(model, mesh=mesh, mp_policy=mixed, reshard_after_forward=True)
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        shape = (settings["micro_batch_size"], settings["sequence_length"])
        self.ids = torch.randint(settings["model"]["vocab_size"], shape, device="cuda")
        torch.cuda.empty_cache()

    def run(self):
        from contextlib import nullcontext

        from torch.distributed.tensor.parallel import loss_parallel
        from torch.nn.attention import SDPBackend, sdpa_kernel

        self.optimizer.zero_grad()
        with loss_parallel() if self.settings["tensor_parallel"] > 1 else nullcontext(), sdpa_kernel([SDPBackend.FLASH_ATTENTION]):
            logits = self.model(self.ids)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), self.ids.flatten(0, 1))
            del logits
            loss.backward()
        self.optimizer.step()


def work(rank, name, path, port):
    from timing import machine

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS))
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS, device_id=torch.device("cuda", rank))
    step = Step(CASES[name])
    for _ in range(WARM_UP):
        step.run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(STEPS + 1)]
    marks[0].record()
    for mark in marks[1:]:
        step.run()
        mark.record()
    torch.cuda.synchronize()
    times = [a.elapsed_time(b) * 1e-3 for a, b in zip(marks, marks[1:])]
    mine = {"rank": rank, "time_s": statistics.median(times), "steps_time_s": times, "peak_allocated_bytes": torch.cuda.max_memory_allocated(),
            "peak_reserved_bytes": torch.cuda.max_memory_reserved()}
    everyone = [None] * RANKS
    dist.all_gather_object(everyone, mine)
    if rank == 0:
        header = machine()
        header.update(schema="trillion.parallel-step/1", source=f"calibration/steps on {RANKS} {header['gpu_name']} of one host")
        time_s = max(r["time_s"] for r in everyone)
        write_whole(path, {**header, "settings": CASES[name], "measured": {"time_s": time_s, "ranks": everyone}})
        print(f"sharded_step: {name}: {time_s * 1e3:.1f} ms, {mine['peak_allocated_bytes'] / 2**30:.2f} GiB allocated, "
              f"{mine['peak_reserved_bytes'] / 2**30:.2f} GiB reserved", file=sys.stderr, flush=True)
    dist.barrier()
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default=".")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
        return 0
    unknown = set(options.only.split(",")) - set(CASES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list names them")
    os.makedirs(options.output, exist_ok=True)
    failed = 0
    for i, name in enumerate(options.only.split(",")):
        path = os.path.join(options.output, name + ".json")
        if os.path.exists(path):
            continue
        try:
            torch.multiprocessing.spawn(work, args=(name, path, 29500 + i), nprocs=RANKS)
        except Exception as error:
            failed += 1
            print(f"sharded_step: {name}: {str(error).strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
