#!/usr/bin/env python3
"""Times PyTorch's own kernels: attention (cuDNN and flash), grouped products, eager element-wise kernels.

Rows go to DIR/torch.jsonl in the form of the C++ probes; "path" or the kernel's name (torch_...) says that they are PyTorch's.

usage: torch_kernels.py --output DIR [--budget 60s]
"""

import argparse
import os
import tempfile
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from host import DENSE_LAYER, EXPERT_LAYER, layer_seconds
from parallel_layers import AllToAll
from timing import Rows

BF16 = torch.bfloat16


def seconds(text):
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    return float(text[:-1]) * unit if unit else float(text) * 60


def normal(*shape, dtype=BF16, grad=False):
    return torch.randn(*shape, device="cuda", dtype=torch.float32).to(dtype).requires_grad_(grad)


def rotated(make, bytes_per_set):
    """Distinct operand sets, enough to exceed three times the L2 cache."""
    l2 = torch.cuda.get_device_properties(0).L2_cache_size
    return [make() for _ in range(max(2, min(16, 3 * l2 // max(1, bytes_per_set) + 2)))]


# --- attention ---------------------------------------------------------------------------------------------------------

PATHS = {"pytorch-sdpa-cudnn": SDPBackend.CUDNN_ATTENTION, "pytorch-sdpa-flash": SDPBackend.FLASH_ATTENTION}
HEADS = [(32, 8, 128, 128), (128, 128, 192, 128), (16, 16, 128, 128), (32, 32, 64, 64), (32, 32, 128, 128)]


def attention(rows):
    for length, batch in ((4096, 1), (2048, 2), (8192, 1), (1024, 8)):
        for heads, kv_heads, qk_dim, v_dim in HEADS:
            for path in PATHS:
                for direction in ("forward", "backward"):
                    shape = {"op": "attention", "dtype": "bf16", "batch": batch, "heads": heads, "kv_heads": kv_heads,
                             "queries": length, "keys": length, "qk_dim": qk_dim, "v_dim": v_dim, "causal": True,
                             "direction": direction, "path": path, "load": "burst"}
                    rows.point(shape, lambda: attention_launch(shape))


def attention_launch(shape):
    batch, length, backward = shape["batch"], shape["queries"], shape["direction"] == "backward"
    per_set = 2 * batch * length * shape["heads"] * (shape["qk_dim"] + shape["v_dim"]) * 2

    def operands():
        q = normal(batch, length, shape["heads"], shape["qk_dim"], grad=backward).transpose(1, 2)
        k = normal(batch, length, shape["kv_heads"], shape["qk_dim"], grad=backward).transpose(1, 2)
        v = normal(batch, length, shape["kv_heads"], shape["v_dim"], grad=backward).transpose(1, 2)
        return q, k, v

    sets = rotated(operands, per_set)
    backend, shared = PATHS[shape["path"]], shape["heads"] != shape["kv_heads"]

    def forward(index):
        q, k, v = sets[index % len(sets)]
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=shared)

    if not backward:
        return forward
    outputs = [forward(i) for i in range(len(sets))]
    gradients = [torch.randn_like(o) for o in outputs]

    def backward_launch(index):
        i = index % len(sets)
        torch.autograd.grad(outputs[i], sets[i], gradients[i], retain_graph=True)

    return backward_launch


# --- grouped products --------------------------------------------------------------------------------------------------


def spread_tokens(total, experts, skew):
    """Tokens per expert, falling as a power law whose largest share is `skew` times the mean; multiples of 16."""
    low, high = 0.0, 8.0
    for _ in range(60):
        power = (low + high) / 2
        weights = [(e + 1.0) ** -power for e in range(experts)]
        low, high = (low, power) if weights[0] * experts / sum(weights) > skew else (power, high)
    return [max(16, round(total * w / sum(weights) / 16) * 16) for w in weights]


def grouped(rows):
    experts = [(8, 7168, 2048), (4, 7168, 2048), (64, 2048, 1408), (8, 4096, 14336), (16, 2048, 768), (32, 7168, 2048)]
    for per_expert in (1024, 4096, 256):
        for skew in (1.0, 2.0, 4.0):
            for count, hidden, intermediate in experts:
                if skew > 1 and count <= skew or per_expert * count * intermediate > 2**31:
                    continue
                tokens = spread_tokens(per_expert * count, count, skew)
                for layout, n, k in (("forward", intermediate, hidden), ("forward", hidden, intermediate),
                                     ("input_gradient", hidden, intermediate), ("weight_gradient", intermediate, hidden)):
                    shape = {"op": "grouped_gemm", "dtype": "bf16", "m": tokens, "n": n, "k": k, "layout": layout,
                             "skew": skew, "path": "torch-grouped-mm", "load": "burst"}
                    rows.point(shape, lambda: grouped_launch(shape))


def grouped_launch(shape):
    tokens, n, k, layout = shape["m"], shape["n"], shape["k"], shape["layout"]
    total, count = sum(tokens), len(tokens)
    ends = torch.tensor(tokens, device="cuda").cumsum(0).to(torch.int32)

    def operands():
        if layout == "weight_gradient":  # n x k per expert: gradient^T (n, tokens) times activations (tokens, k)
            return normal(total, n).t(), normal(total, k)
        weight = normal(count, n, k).transpose(-2, -1) if layout == "forward" else normal(count, k, n)
        return normal(total, k), weight

    sets = rotated(operands, 2 * (total * (n + k) + count * n * k))
    return lambda index: torch._grouped_mm(*sets[index % len(sets)], offs=ends)


# --- eager kernels -----------------------------------------------------------------------------------------------------


def eager_cases(rows_, columns):
    """name, elements read and written in bytes, function that makes a launch."""
    n = rows_ * columns
    x2 = lambda: (normal(rows_, columns), normal(rows_, columns))
    weight = normal(columns)
    index = torch.randperm(rows_, device="cuda")
    yield "torch_add", 4 * n, 2 * n, x2, lambda a, b: a + b
    yield "torch_mul", 4 * n, 2 * n, x2, lambda a, b: a * b
    yield "torch_silu", 2 * n, 2 * n, x2, lambda a, b: F.silu(a)
    yield "torch_rms_norm", 2 * n, 2 * n, x2, lambda a, b: F.rms_norm(a, (columns,), weight)
    yield "torch_cast_fp32", 2 * n, 4 * n, x2, lambda a, b: a.float()
    yield "torch_cast_bf16", 4 * n, 2 * n, lambda: (normal(rows_, columns, dtype=torch.float32), weight), lambda a, b: a.to(BF16)
    yield "torch_cat", 2 * n, 2 * n, x2, lambda a, b: torch.cat((a[:, : columns // 2], b[:, columns // 2:]), dim=1)
    yield "torch_neg", 2 * n, 2 * n, x2, lambda a, b: -a
    yield "torch_index_select", 2 * n, 2 * n, x2, lambda a, b: a.index_select(0, index)
    yield "torch_index_add", 6 * n, 4 * n, lambda: (normal(rows_, columns, dtype=torch.float32), normal(rows_, columns, dtype=torch.float32)), \
        lambda a, b: a.index_add_(0, index, b)
    # As a router adds its experts' rows up: BF16 rows, several of them to one token. Bytes counted as in torch_index_add.
    token = torch.arange(rows_, device="cuda") % max(1, rows_ // 6)
    yield "torch_index_add_bf16", 6 * n, 4 * n, x2, lambda a, b: a.index_add_(0, token, b)
    yield "torch_zero", 0, 2 * n, x2, lambda a, b: a.zero_()
    yield "torch_accumulate", 4 * n, 2 * n, x2, lambda a, b: a.add_(b)
    yield "torch_copy", 2 * n, 2 * n, x2, lambda a, b: a.copy_(b)


def backward_of(function, sets):
    outputs = [function(*s) for s in sets]
    gradients = [torch.randn_like(o) for o in outputs]

    def launch(index):
        i = index % len(sets)
        torch.autograd.grad(outputs[i], [t for t in sets[i] if t.requires_grad], gradients[i], retain_graph=True)

    return launch


def eager(rows):
    for rows_, columns in ((4096, 4096), (8192, 2048), (8192, 7168), (1024, 2048), (16384, 8192)):
        n = rows_ * columns
        for name, read, written, make, function in eager_cases(rows_, columns):
            shape = {"op": "memory_bound", "kernel": name, "read_bytes": read, "written_bytes": written, "rows": rows_,
                     "columns": columns, "load": "burst"}

            def prepare():
                sets = rotated(make, read + written)
                return lambda index: function(*sets[index % len(sets)])

            rows.point(shape, prepare)
        weight = normal(columns, grad=True)
        for name, read, written, function in (
                ("torch_rms_norm_backward", 4 * n, 2 * n, lambda a, b: F.rms_norm(a, (columns,), weight)),
                ("torch_silu_backward", 4 * n, 2 * n, lambda a, b: F.silu(a)),
                ("torch_mul_backward", 6 * n, 4 * n, lambda a, b: a * b)):
            shape = {"op": "memory_bound", "kernel": name, "read_bytes": read, "written_bytes": written, "rows": rows_,
                     "columns": columns, "load": "burst"}
            needs_b = name == "torch_mul_backward"
            rows.point(shape, lambda: backward_of(function, rotated(
                lambda: (normal(rows_, columns, grad=True), normal(rows_, columns, grad=needs_b)), read + written)))


def broadcasts(rows):
    """Rotary embedding's kernels, whose operands are no plain arrays: a factor for all heads, halves of each head; and rows times a
    factor each, as an expert's rows take their routing weight. They run at the pace of their instructions, so bytes count two a value
    each way whatever the type; "rotary_promoted" is BF16 times FP32, as under autocast."""
    for tokens, heads, dim in ((8192, 32, 64), (8192, 16, 128), (4096, 32, 128), (16384, 8, 64), (32768, 24, 128), (4096, 4, 128)):
        n, half = tokens * heads * dim, dim // 2
        make = lambda: (normal(1, tokens, heads, dim), normal(1, tokens, heads, half))
        wide = lambda: (normal(1, tokens, heads, dim, dtype=torch.float32),)
        cosine, cosine_fp32 = normal(tokens, 1, dim), normal(tokens, 1, dim, dtype=torch.float32)
        cases = {"torch_mul_broadcast": (2 * n, make, lambda x, y: x * cosine),
                 "torch_mul_broadcast_promoted": (2 * n, make, lambda x, y: x * cosine_fp32),
                 "torch_mul_broadcast_fp32": (2 * n, wide, lambda x: x * cosine_fp32),
                 "torch_neg_half": (n, make, lambda x, y: -x[..., half:]),
                 "torch_cat_halves": (2 * n, make, lambda x, y: torch.cat((y, x[..., :half]), dim=-1))}
        for kernel, (size, operands, function) in cases.items():
            eager_point(rows, kernel, (size, size), (tokens * heads, dim), operands, function)
    for count, columns in ((65536, 2048), (16384, 2048), (16384, 4096), (8192, 3072)):
        n, factor = count * columns, normal(count, 1)
        eager_point(rows, "torch_mul_rows", (2 * n, 2 * n), (count, columns), lambda: (normal(count, columns),), lambda x: x * factor)


def norm_weights(rows):
    """The gradient of a norm's weights: a kernel that adds up rows, a block for 32 columns, so its time goes by rows until columns fill
    the chip. Its bytes count so."""
    for count, columns in ((8192, 2048), (4096, 4096), (16384, 512), (32768, 3072), (2048, 8192), (4096, 1024), (8192, 5120), (65536, 2048)):
        x = normal(count, columns)
        sets = [(normal(columns, grad=True),) for _ in range(2)]
        read = 4 * count * max(columns, 1664)
        rows.point({"op": "memory_bound", "kernel": "torch_rms_norm_weights", "read_bytes": read, "written_bytes": 0, "rows": count,
                    "columns": columns, "load": "burst"},
                   lambda: backward_of(lambda w: F.rms_norm(x, (columns,), w), sets))


def eager_point(rows, kernel, sizes, shape, make, function):
    def prepare():
        sets = rotated(make, sum(sizes))
        return lambda index: function(*sets[index % len(sets)])

    rows.point({"op": "memory_bound", "kernel": kernel, "read_bytes": sizes[0], "written_bytes": sizes[1], "rows": shape[0],
                "columns": shape[1], "load": "burst"}, prepare)


def older_decoders(rows):
    """What GPT-like decoders run beside their products: norms with bias, dropout, and the column sums that are biases' gradients."""
    for tokens in (8192, 2048):
        for columns in (2304, 6144, 12288, 24576):
            n = tokens * columns
            base = {"rows": tokens, "columns": columns, "path": "pytorch", "load": "burst"}
            norm = lambda x, w, b: F.layer_norm(x, (columns,), w, b)
            drop = lambda x: F.dropout(x, 0.1, training=True)

            def operands(grad, norm_weights):
                weights = (normal(columns, grad=grad), normal(columns, grad=grad)) if norm_weights else ()
                return rotated(lambda: (normal(tokens, columns, grad=grad), *weights), 4 * n)

            def forward(function, norm_weights):
                sets = operands(False, norm_weights)
                return lambda index: function(*sets[index % len(sets)])

            for name, read, written, make in (
                    ("layer_norm", 2 * n, 2 * n, lambda: forward(norm, True)),
                    ("layer_norm_backward", 4 * n, 2 * n, lambda: backward_of(norm, operands(True, True))),
                    ("dropout", 2 * n, 3 * n, lambda: forward(drop, False)),
                    ("dropout_backward", 3 * n, 2 * n, lambda: backward_of(drop, operands(True, False))),
                    ("column_sum", 2 * n, 0, lambda: forward(lambda x: x.sum(0), False))):
                rows.point({"op": "memory_bound", "kernel": name, "read_bytes": read, "written_bytes": written, **base}, make)


def pieces_added(rows):
    """Pieces of a sum from `pieces` ranks, which symmetric memory's fused reduce-scatter leaves one behind the other. What is written
    counts eightfold: the kernel's time goes by the values that it makes at least as much as by those that it reads."""
    for tokens, columns in ((8192, 4096), (2048, 8192), (16384, 8192), (65536, 4096)):
        for pieces in (8, 4, 2):
            n = tokens * columns
            shape = {"op": "memory_bound", "kernel": "torch_mean", "read_bytes": 2 * n, "written_bytes": 8 * 2 * n // pieces, "rows": tokens,
                     "columns": columns, "pieces": pieces, "load": "burst"}

            def prepare():
                sets = rotated(lambda: (normal(pieces, tokens // pieces, columns),), 2 * n)
                return lambda index: sets[index % len(sets)][0].mean(dim=0)

            rows.point(shape, prepare)


def column_sums(rows):
    """Gradients of biases: rows and columns apart, since the kernel's time goes by both."""
    for columns in (768, 1024, 1536, 2048, 3072, 4096, 5120, 8192, 10240, 16384, 28672):
        for tokens in (1024, 4096, 8192, 16384, 32768):
            n = tokens * columns
            if not 1 << 22 <= n <= 1 << 28:
                continue
            shape = {"op": "memory_bound", "kernel": "column_sum", "read_bytes": 2 * n, "written_bytes": 0, "rows": tokens, "columns": columns,
                     "path": "pytorch", "load": "burst"}

            def prepare():
                sets = rotated(lambda: (normal(tokens, columns),), 2 * n)
                return lambda index: sets[index % len(sets)][0].sum(0)

            rows.point(shape, prepare)


def routers(rows):
    """Selecting and sorting of a router: `rows` tokens, `columns` experts."""
    for tokens, experts, chosen in ((4096, 64, 6), (8192, 64, 6), (8192, 128, 8), (16384, 8, 2)):
        scores = [(torch.rand(tokens, experts, device="cuda"),) for _ in range(4)]
        experts_of = [(torch.randint(experts, (tokens * chosen,), device="cuda"),) for _ in range(4)]
        base = {"rows": tokens, "columns": experts, "load": "burst"}
        copies = tokens * chosen
        for name, read, written, sets, function in (
                ("torch_topk", 4 * tokens * experts, 12 * copies, scores, lambda s: s.topk(chosen, dim=-1)),
                ("torch_softmax", 4 * tokens * experts, 4 * tokens * experts, scores, lambda s: F.softmax(s, dim=-1)),
                ("torch_argsort", 8 * copies, 8 * copies, experts_of, lambda e: e.argsort())):
            rows.point({"op": "memory_bound", "kernel": name, "read_bytes": read, "written_bytes": written, **base},
                       lambda: lambda index: function(*sets[index % 4]))


def losses_and_optimizers(rows):
    for tokens, vocabulary in ((4096, 128256), (4096, 32000), (2048, 151936)):
        n = tokens * vocabulary
        target = torch.randint(vocabulary, (tokens,), device="cuda")
        loss = lambda logits: F.cross_entropy(logits, target)
        logits = lambda grad: [(normal(tokens, vocabulary, dtype=torch.float32, grad=grad),) for _ in range(2)]
        base = {"rows": tokens, "columns": vocabulary, "load": "burst"}

        def forward():
            sets = logits(False)
            return lambda index: loss(*sets[index % 2])

        rows.point({"op": "memory_bound", "kernel": "torch_cross_entropy", "read_bytes": 4 * n, "written_bytes": 4 * n, **base}, forward)
        rows.point({"op": "memory_bound", "kernel": "torch_cross_entropy_backward", "read_bytes": 4 * n, "written_bytes": 4 * n,
                    **base}, lambda: backward_of(loss, logits(True)))
    for tokens, hidden, vocabulary in ((8192, 4096, 128256), (8192, 2048, 102400)):
        table = normal(vocabulary, hidden, grad=True)
        ids = torch.randint(vocabulary, (tokens,), device="cuda")
        n = tokens * hidden
        base = {"rows": tokens, "columns": hidden, "load": "burst"}
        rows.point({"op": "memory_bound", "kernel": "torch_embedding", "read_bytes": 2 * n, "written_bytes": 2 * n, **base},
                   lambda: lambda index: F.embedding(ids, table.detach()))
        rows.point({"op": "memory_bound", "kernel": "torch_embedding_backward", "read_bytes": 2 * n,
                    "written_bytes": 2 * vocabulary * hidden, **base},
                   lambda: backward_of(lambda w: F.embedding(ids, w), [(table,), (table,)]))
    for parameters, dtype, width in ((2**28, BF16, 2), (2**30, BF16, 2), (2**27, torch.float32, 4), (2**24, BF16, 2)):
        def optimizer(fused):
            weights = [torch.nn.Parameter(normal(parameters // 16, dtype=dtype)) for _ in range(16)]
            for weight in weights:
                weight.grad = torch.randn_like(weight)
            adam = torch.optim.AdamW(weights, fused=fused, foreach=not fused)
            return lambda index: adam.step()

        name = "bf16" if dtype == BF16 else "fp32"
        for fused in (True, False):
            kernel = f"torch_adamw_{'fused' if fused else 'foreach'}_{name}"
            rows.point({"op": "memory_bound", "kernel": kernel, "read_bytes": 4 * width * parameters,
                        "written_bytes": 3 * width * parameters, "rows": 1, "columns": parameters, "load": "burst"},
                       lambda: optimizer(fused))


def host_cost(rows):
    """Host seconds per operation that PyTorch dispatches, the device never the limit."""
    x, w = normal(8, 64), normal(64, 64)
    xg, wg = normal(8, 64, grad=True), normal(64, 64, grad=True)
    heads = normal(1, 8, 2, 64, grad=True)
    gain, layer, empty = normal(64, grad=True), torch.nn.Linear(64, 64, bias=False, device="cuda", dtype=BF16), torch.nn.Identity()

    def sdpa():
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            F.scaled_dot_product_attention(*(heads.transpose(1, 2),) * 3, is_causal=True)

    def chain(backward):
        y = xg
        for _ in range(10):
            y = y * x
        if backward:
            torch.autograd.grad(y, xg, x)

    cases = {"torch_add": lambda: x + x, "torch_linear": lambda: F.linear(x, w),
             "torch_add_autograd": lambda: xg + xg, "torch_linear_autograd": lambda: F.linear(xg, wg),
             # What a module adds, a view, SDPA with its context manager, and ten multiplications without and with their backward.
             "torch_module": lambda: empty(xg), "torch_view": lambda: xg.view(2, 4, 64), "torch_linear_module": lambda: layer(xg),
             "torch_rms_norm": lambda: F.rms_norm(xg, (64,), gain), "torch_sdpa": sdpa,
             "torch_chain_10": lambda: chain(False), "torch_chain_10_backward": lambda: chain(True)}
    for kind, operation in cases.items():
        shape = {"op": "launch", "kind": kind}
        if rows.out_of_time() or rows.key(shape) in rows.done:
            continue
        samples = []
        for _ in range(15):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(300):
                operation()
            samples.append((time.perf_counter() - start) / 300)
        samples.sort()
        rows.write({**shape, "time_s": samples[7], "min_s": samples[0], "p90_s": samples[13], "samples": 15})


def layer_cost(rows):
    """Host seconds of a whole decoder layer (host.py): a call among others costs about twice what it does in a loop of its own."""
    kinds = {"torch_layer": (DENSE_LAYER, "none"), "torch_expert_layer": (EXPERT_LAYER, "none"),
             "torch_layer_again": (DENSE_LAYER, "full"), "torch_layer_products": (DENSE_LAYER, "products")}
    for kind, (config, recompute) in kinds.items():
        if not rows.out_of_time() and rows.key({"op": "launch", "kind": kind}) not in rows.done:
            rows.write({"op": "launch", "kind": kind, **layer_seconds(config, recompute)})


def expert_parallel_calls():
    """What a mixture of experts over ranks calls from Python, on the group that there is, on tensors so small that the host is the limit."""
    ranks, tokens = dist.get_world_size(), 64
    chosen = torch.randint(8 * ranks, (tokens,), device="cuda")
    counts = torch.ones(8 * ranks, dtype=torch.int64, device="cuda").view(ranks, 8)
    arriving, summed, even = torch.empty_like(counts), counts.clone(), [tokens // ranks] * ranks
    x, w = normal(tokens, 64, grad=True), normal(8 * ranks, 64, 64, grad=True)
    plain, order = x.detach(), torch.randperm(tokens, device="cuda")
    ends = (torch.arange(8 * ranks, device="cuda") + 1).mul(tokens // (8 * ranks)).to(torch.int32)
    places, scores = torch.empty_like(order), normal(tokens, 8 * ranks, grad=True)

    def places_turned():
        places[order] = torch.arange(tokens, device="cuda")

    calls = {"torch_all_to_all": lambda: dist.all_to_all_single(arriving, counts),
             "torch_all_to_all_splits": lambda: dist.all_to_all_single(torch.empty_like(plain), plain, even, even),
             "torch_all_reduce": lambda: dist.all_reduce(summed),
             "torch_all_to_all_autograd": lambda: AllToAll.apply(x, even, even, None),
             "torch_bincount": lambda: torch.bincount(chosen, minlength=8 * ranks),
             "torch_cumsum": lambda: counts.cumsum(0).to(torch.int32),
             "torch_counts_to_host": lambda: torch.stack((counts.sum(1), arriving.sum(1))).tolist(),
             "torch_repeat": lambda: torch.arange(8, device="cuda").repeat(ranks).repeat_interleave(counts.flatten(), output_size=8 * ranks),
             "torch_argsort_stable": lambda: order.argsort(stable=True),
             "torch_index_select_autograd": lambda: x.index_select(0, order),
             "torch_index_put": places_turned,
             "torch_index_add_autograd": lambda: torch.zeros_like(plain).index_add(0, order, x),
             "torch_softmax_top_k": lambda: F.softmax(scores.float(), dim=-1).topk(2, dim=-1),
             "torch_grouped_mm_autograd": lambda: torch._grouped_mm(x, w, offs=ends)}
    passes = {"torch_all_to_all_passes": (lambda: AllToAll.apply(x, even, even, None), x, plain),
              "torch_index_select_passes": (lambda: x.index_select(0, order), x, plain),
              "torch_grouped_mm_passes": (lambda: torch._grouped_mm(x, w, offs=ends), (x, w), plain)}
    for name, (forward, inputs, gradient) in passes.items():
        calls[name] = lambda forward=forward, inputs=inputs, gradient=gradient: torch.autograd.grad(forward(), inputs, gradient)
    return calls


def host_seconds_of(call):
    for _ in range(20):
        call()
    samples = []
    for _ in range(15):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(40):  # a queue that never fills
            call()
        samples.append((time.perf_counter() - start) / 40)
    samples.sort()
    return {"time_s": samples[7], "min_s": samples[0], "p90_s": samples[13], "samples": 15}


def expert_parallel_cost(rows):
    """The same over a group of one rank, if torchrun has made no larger one."""
    with tempfile.TemporaryDirectory() as folder:
        lone = "RANK" not in os.environ
        where = {"init_method": f"file://{folder}/meeting", "rank": 0, "world_size": 1} if lone else {}
        dist.init_process_group("nccl", device_id=torch.device("cuda", torch.cuda.current_device()), **where)
        ranks = dist.get_world_size()
        for kind, call in expert_parallel_calls().items():
            shape = {"op": "launch", "kind": kind, "ranks": ranks}
            if lone and rows.key(shape) in rows.done:
                continue
            try:
                rows.write({**shape, **host_seconds_of(call)})
            except (RuntimeError, TypeError, AttributeError) as error:
                rows.write({**shape, "unsupported": str(error).splitlines()[0][:200]})
        dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True)
    parser.add_argument("--budget", type=seconds, default=60.0)
    parser.add_argument("--experts-only", action="store_true", help="what expert parallelism costs the host, of every rank that torchrun starts")
    parser.add_argument("--host-only", action="store_true", help="what the host takes for a call and for a layer: some seconds")
    options = parser.parse_args()
    torch.manual_seed(1)
    if options.experts_only:
        rank = int(os.environ.get("LOCAL_RANK", 0))
        torch.cuda.set_device(rank)
        expert_parallel_cost(Rows(f"{options.output}/experts-{rank}.jsonl", options.budget))
        return
    rows = Rows(options.output + "/torch.jsonl", options.budget)
    host_cost(rows)
    layer_cost(rows)
    if options.host_only:
        return
    broadcasts(rows)
    norm_weights(rows)
    expert_parallel_cost(rows)
    grouped(rows)
    eager(rows)
    older_decoders(rows)
    pieces_added(rows)
    column_sums(rows)
    routers(rows)
    losses_and_optimizers(rows)
    attention(rows)


if __name__ == "__main__":
    main()
