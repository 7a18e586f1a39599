#!/usr/bin/env python3
"""Times whole training steps on one GPU: forward, backward, optimizer, peak memory, one JSON file a configuration.

These measurements validate a calibration and never enter one.

usage: train_step.py --output DIR [--budget 3m] [--only NAME,...] [--kernels] [--list]

Each configuration runs in a process of its own (a fresh allocator), 3 warm-up steps and then at least 8 measured ones, back to
back, so the chip is in its sustained state. Parameters, gradients and Adam's moments are bf16 ("bf16"), or fp32
with autocast ("autocast"). Files that exist are left alone: a run that was cut resumes. --kernels writes beside each
NAME.json a NAME.kernels.json: the kernels of one more step in the order they ran, from PyTorch's profiler.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

DENSE = {"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
         "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 8192, "vocab_size": 128256,
         "tie_word_embeddings": True, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 8192}
WIDE = {**DENSE, "hidden_size": 4096, "num_hidden_layers": 8, "head_dim": 128, "intermediate_size": 14336,
        "tie_word_embeddings": False}
MOE = {**DENSE, "model_type": "deepseek_moe", "num_hidden_layers": 8, "num_attention_heads": 16, "num_key_value_heads": 16,
       "head_dim": 128, "intermediate_size": 10944, "vocab_size": 102400, "tie_word_embeddings": False,
       "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "moe_intermediate_size": 1408,
       "first_k_dense_replace": 1}
# Shapes unlike those above, so that agreement on them says something.
SMALL = {**DENSE, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 12, "head_dim": 64,
         "intermediate_size": 3072, "vocab_size": 50304}
NARROW = {**DENSE, "num_hidden_layers": 12, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 128,
          "intermediate_size": 11008, "vocab_size": 151936}
MANY_HEADS = {**WIDE, "hidden_size": 5120, "num_hidden_layers": 4, "num_attention_heads": 40, "num_key_value_heads": 40,
              "intermediate_size": 13824, "vocab_size": 32000}
HUGE = {**WIDE, "hidden_size": 8192, "num_hidden_layers": 2, "num_attention_heads": 64, "intermediate_size": 28672,
        "vocab_size": 64000}
FINE = {**MOE, "num_hidden_layers": 6, "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 151936,
        "n_routed_experts": 128, "n_shared_experts": 0, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
        "first_k_dense_replace": 0}
COARSE = {**MOE, "hidden_size": 4096, "num_hidden_layers": 2, "num_attention_heads": 32, "num_key_value_heads": 8,
          "vocab_size": 32000, "n_routed_experts": 8, "n_shared_experts": 0, "num_experts_per_tok": 2,
          "moe_intermediate_size": 14336, "first_k_dense_replace": 0}
# Written down with a prediction for each before any of them was measured (scenarios/README.md, "Blind at first").
THREE = {**DENSE, "hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 24, "head_dim": 128}
SEVEN = {**WIDE, "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 131072}
MIXED = {**MOE, "hidden_size": 3072, "num_hidden_layers": 6, "num_attention_heads": 24, "num_key_value_heads": 8,
         "intermediate_size": 8192, "vocab_size": 100352, "n_routed_experts": 32, "n_shared_experts": 1, "num_experts_per_tok": 4,
         "moe_intermediate_size": 1536}
LONG = {**WIDE, "num_hidden_layers": 6, "max_position_embeddings": 16384}
GROUPED = {**WIDE, "num_hidden_layers": 5, "num_key_value_heads": 4, "intermediate_size": 12288, "vocab_size": 65536,
           "max_position_embeddings": 16384}
TINY = {**SMALL, "hidden_size": 512, "num_hidden_layers": 24, "num_attention_heads": 8, "num_key_value_heads": 8,
        "intermediate_size": 2048, "vocab_size": 32000}
WORDY = {**DENSE, "num_hidden_layers": 6, "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 128, "vocab_size": 256000}
MANY = {**MOE, "num_hidden_layers": 6, "vocab_size": 64000, "n_routed_experts": 128, "n_shared_experts": 0, "num_experts_per_tok": 2,
        "moe_intermediate_size": 1024, "first_k_dense_replace": 0}
ONE = {**MIXED, "num_hidden_layers": 4, "vocab_size": 50304, "n_routed_experts": 16, "num_experts_per_tok": 1,
       "moe_intermediate_size": 4096, "first_k_dense_replace": 0}
THIN = {**DENSE, "num_hidden_layers": 8, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 5632,
        "vocab_size": 32000, "tie_word_embeddings": False, "max_position_embeddings": 32768}
TWO_AND_A_HALF = {**DENSE, "hidden_size": 2560, "num_attention_heads": 20, "num_key_value_heads": 20, "head_dim": 128,
                  "intermediate_size": 6912, "vocab_size": 50304, "tie_word_embeddings": False}
BROAD = {**WIDE, "hidden_size": 6144, "num_hidden_layers": 2, "num_attention_heads": 48, "intermediate_size": 24576, "vocab_size": 32000}
DEEP = {**DENSE, "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2, "head_dim": 128,
        "intermediate_size": 8960, "vocab_size": 151936}
# The same a second time, for what no step above has: GPT-like layers, 22 and 36 layers, 8, 64 and 160 experts, 16K tokens through experts.
TINY_LLAMA = {**DENSE, "num_hidden_layers": 22, "num_key_value_heads": 4, "intermediate_size": 5632, "vocab_size": 32000,
              "tie_word_embeddings": False}
QWEN_3B = {**DENSE, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 128,
           "intermediate_size": 11008, "vocab_size": 151936}
GPT = {"model_type": "gpt2", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16,
       "head_dim": 128, "intermediate_size": 8192, "vocab_size": 50304, "max_position_embeddings": 2048, "tie_word_embeddings": True}
MEDIUM = {**SMALL, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16,
          "intermediate_size": 2816, "vocab_size": 32000}
FAR = {**THREE, "num_hidden_layers": 4, "vocab_size": 32000, "max_position_embeddings": 32768, "tie_word_embeddings": False}
SPREAD = {**MOE, "hidden_size": 2560, "num_hidden_layers": 4, "num_attention_heads": 20, "num_key_value_heads": 20, "vocab_size": 50304,
          "n_routed_experts": 160, "moe_intermediate_size": 1024}
EIGHT = {**MOE, "num_hidden_layers": 12, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 32000,
         "n_routed_experts": 8, "n_shared_experts": 0, "num_experts_per_tok": 2, "moe_intermediate_size": 5632, "first_k_dense_replace": 0}
OLMOE = {**MOE, "vocab_size": 50304, "n_shared_experts": 0, "num_experts_per_tok": 8, "moe_intermediate_size": 1024,
         "first_k_dense_replace": 0}
FAR_MIXED = {**MIXED, "num_hidden_layers": 4, "max_position_embeddings": 16384}


def case(model, batch, length, **more):
    return {"model": model, "micro_batch_size": batch, "sequence_length": length, "gradient_accumulation": 1,
            "recompute": "none", "compiled": False, "precision": "bf16", "attention_backend": "cudnn",
            "optimizer": "adamw-fused", **more}


# Most telling first.
CASES = {
    "dense-8b-slice": case(WIDE, 1, 4096),
    "moe-lite": case(MOE, 2, 4096),
    "dense-1b": case(DENSE, 2, 4096),
    "dense-8b-slice-recompute": case(WIDE, 2, 4096, recompute="full"),
    "dense-8b-slice-compiled": case(WIDE, 1, 4096, compiled=True),
    "dense-1b-accumulate-4": case(DENSE, 1, 2048, gradient_accumulation=4),
    "moe-lite-recompute": case(MOE, 4, 2048, recompute="full"),
    "dense-8b-slice-8k": case(WIDE, 1, 8192),
    "dense-1b-autocast": case(DENSE, 1, 4096, precision="autocast"),
    "dense-1b-compiled": case(DENSE, 2, 4096, compiled=True),
    "dense-8b-slice-flash": case(WIDE, 1, 4096, attention_backend="flash"),
    "moe-lite-accumulate-2": case(MOE, 1, 4096, gradient_accumulation=2),
    "dense-1b-compiled-recompute": case(DENSE, 4, 2048, compiled=True, recompute="full"),
    "moe-lite-compiled": case(MOE, 2, 4096, compiled=True),
    "dense-narrow": case(NARROW, 2, 2048),
    "moe-fine": case(FINE, 1, 4096),
    "dense-many-heads": case(MANY_HEADS, 2, 4096),
    "dense-small": case(SMALL, 4, 1024),
    "moe-coarse": case(COARSE, 1, 4096),
    "dense-huge": case(HUGE, 1, 4096),
    "dense-many-heads-compiled": case(MANY_HEADS, 1, 4096, compiled=True),
    "dense-narrow-accumulate-3": case(NARROW, 3, 1024, gradient_accumulation=3),
    "moe-fine-recompute": case(FINE, 2, 4096, recompute="full"),
    "dense-1b-16k": case({**DENSE, "max_position_embeddings": 16384}, 1, 16384),
    "dense-3b": case(THREE, 1, 4096),
    "moe-mixed": case(MIXED, 2, 4096),
    "dense-7b-slice-accumulate-2": case(SEVEN, 2, 2048, gradient_accumulation=2),
    "dense-8b-slice-16k-recompute": case(LONG, 1, 16384, recompute="full"),
    "moe-mixed-recompute-accumulate-2": case(MIXED, 2, 2048, recompute="full", gradient_accumulation=2),
    "dense-3b-compiled-recompute": case(THREE, 2, 4096, compiled=True, recompute="full"),
    "dense-7b-slice-autocast": case(SEVEN, 1, 2048, precision="autocast"),
    "dense-grouped-16k": case(GROUPED, 1, 16384),
    "dense-tiny": case(TINY, 32, 512),
    "dense-vocabulary": case(WORDY, 1, 4096),
    "moe-many": case(MANY, 2, 4096),
    "moe-one": case(ONE, 2, 4096),
    "dense-32k-recompute": case(THIN, 1, 32768, recompute="full"),
    "dense-accumulate-8": case(TWO_AND_A_HALF, 1, 2048, gradient_accumulation=8),
    "dense-broad-autocast": case(BROAD, 1, 4096, precision="autocast"),
    "dense-deep-compiled": case(DEEP, 2, 2048, compiled=True),
    "dense-tinyllama": case(TINY_LLAMA, 4, 2048),
    "dense-qwen-3b-products": case(QWEN_3B, 1, 4096, recompute="products"),
    "dense-gpt": case(GPT, 4, 1024),
    "dense-deep-autocast-recompute": case(DEEP, 2, 4096, precision="autocast", recompute="full"),
    "dense-medium": case(MEDIUM, 8, 512),
    "dense-32k": case(FAR, 1, 32768),
    "moe-spread": case(SPREAD, 2, 4096),
    "moe-eight-accumulate-4": case(EIGHT, 1, 2048, gradient_accumulation=4),
    "moe-olmoe-recompute": case(OLMOE, 4, 2048, recompute="full"),
    "moe-mixed-16k": case(FAR_MIXED, 1, 16384),
    "moe-fine-compiled": case(FINE, 1, 4096, compiled=True),
    "moe-mixed-compiled-recompute": case(MIXED, 2, 4096, compiled=True, recompute="full"),
    "dense-2b-compiled-accumulate-2": case({**TWO_AND_A_HALF, "num_hidden_layers": 12}, 2, 2048, compiled=True, gradient_accumulation=2),
    "dense-7b-slice-compiled-autocast": case({**SEVEN, "num_hidden_layers": 6}, 1, 4096, compiled=True, precision="autocast"),
    "dense-medium-compiled": case({**MEDIUM, "num_hidden_layers": 12}, 8, 512, compiled=True),
}

WARM_UP, STEPS = 3, 8


class Step:
    """A training step with an event at each boundary: forward and backward of each micro-batch, optimizer, end."""

    def __init__(self, settings):
        import torch
        from models import Decoder

        self.torch, self.settings = torch, settings
        torch.manual_seed(1)
        config = {**settings["model"], "attention_backend": settings["attention_backend"]}
        dtype = torch.bfloat16 if settings["precision"] == "bf16" else torch.float32
        with torch.device("cuda"):
            torch.set_default_dtype(dtype)
            model = Decoder(config, settings["recompute"])
            torch.set_default_dtype(torch.float32)
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.02)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        self.model = torch.compile(model) if settings["compiled"] else model
        shape = (settings["micro_batch_size"], settings["sequence_length"])
        self.batches = [torch.randint(config["vocab_size"], shape, device="cuda") for _ in range(4)]

    def run(self):
        torch, settings = self.torch, self.settings
        marks = []

        def mark():
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            marks.append(event)

        mark()
        for i in range(settings["gradient_accumulation"]):
            ids = self.batches[i % len(self.batches)]
            with torch.autocast("cuda", torch.bfloat16, enabled=settings["precision"] == "autocast"):
                loss = self.model(ids, ids)
            mark()
            (loss / settings["gradient_accumulation"]).backward()
            mark()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        mark()
        return marks, loss


def as_in_a_long_run(optimizer):
    """Gives moments that are still zero a value: AdamW's fused kernel takes 1.39 times as long on zeros, which fresh experts and rows of the
    table have that no token reached yet, and which no run of any length keeps."""
    for state in optimizer.state.values():
        for name, moment in state.items():
            if name.startswith("exp_avg"):
                moment.add_(1e-8 if name == "exp_avg" else 1e-12)


def phases(marks):
    spans = [a.elapsed_time(b) * 1e-3 for a, b in zip(marks, marks[1:])]
    return {"forward_s": sum(spans[0:-1:2]), "backward_s": sum(spans[1:-1:2]), "optimizer_s": spans[-1],
            "time_s": sum(spans)}


def host_of():
    """The host's processor, and what a dense layer costs it right now (host.py)."""
    from host import DENSE_LAYER, layer_seconds

    with open("/proc/cpuinfo", encoding="utf-8") as file:
        name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    return {"host_cpu": name, "host_layer_s": layer_seconds(DENSE_LAYER, samples=40)["time_s"]}


def kernels_of(step, torch):
    """Kernels of one step in the order they ran: [index of name, start, duration], nanoseconds from the first one's start."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        for _ in range(3):
            step.run()
            torch.cuda._sleep(2000)  # a mark between steps
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        seen.export_chrome_trace(folder + "/trace.json")
        with open(folder + "/trace.json", encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
    spans = sorted((e["ts"], e["dur"], e["name"]) for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset"))
    marks = [i for i, span in enumerate(spans) if "spin_kernel" in span[2]]
    spans = spans[marks[-2] + 1:marks[-1]]
    names = sorted({name for _, _, name in spans})
    begin = spans[0][0]
    return {"names": names, "kernels": [[names.index(name), round(1e3 * (start - begin)), round(1e3 * length)]
                                        for start, length, name in spans]}


def measure(settings, kernels_path=None):
    import torch
    from timing import machine, nvidia_smi_fast

    started = time.monotonic()
    step = Step(settings)
    resident = torch.cuda.memory_allocated()
    for _ in range(WARM_UP):
        step.run()
        as_in_a_long_run(step.optimizer)
    torch.cuda.synchronize()
    warm_s = time.monotonic() - started
    torch.cuda.reset_peak_memory_stats()
    wall, runs = time.perf_counter(), []
    for _ in range(STEPS):
        runs.append(step.run())
    busy = nvidia_smi_fast()
    torch.cuda.synchronize()
    wall = (time.perf_counter() - wall) / STEPS
    host = time.perf_counter()
    marks, loss = step.run()
    host = time.perf_counter() - host
    torch.cuda.synchronize()
    timed = [phases(marks) for marks, _ in runs]
    median = {key: statistics.median(t[key] for t in timed) for key in timed[0]}
    tokens = settings["micro_batch_size"] * settings["sequence_length"] * settings["gradient_accumulation"]
    free, total = torch.cuda.mem_get_info()
    peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    if kernels_path is not None:
        write_whole(kernels_path, kernels_of(step, torch), indent=None)
    host_facts = host_of()
    header = machine()
    header["schema"] = "trillion.step/1"
    return {**header, "settings": settings, "parameters": step.parameters,
            "measured": {**median, "wall_s": wall, "steps": STEPS, "tokens": tokens, "tokens_per_s": tokens / median["time_s"],
                         "steps_time_s": [t["time_s"] for t in timed], "host_issue_s": host, "loss": float(loss),
                         "peak_allocated_bytes": peaks[0], "peak_reserved_bytes": peaks[1], "resident_model_bytes": resident,
                         "device_used_bytes": total - free, "warm_up_s": warm_s, **busy, **host_facts}}


def write_whole(path, value, indent=1):
    fresh = path + ".new"
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=indent)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def seconds(text):
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    return float(text[:-1]) * unit if unit else float(text) * 60


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default=".")
    parser.add_argument("--budget", type=seconds, default=180.0)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
        return 0
    if options.measure:
        write_whole(options.output, measure(CASES[options.measure], options.output[:-5] + ".kernels.json" if options.kernels else None))
        return 0
    unknown = set(options.only.split(",")) - set(CASES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list names them")
    os.makedirs(options.output, exist_ok=True)
    until, failed = time.monotonic() + options.budget, 0
    for name in options.only.split(","):
        path, left = os.path.join(options.output, name + ".json"), until - time.monotonic()
        if os.path.exists(path) or left < 5:
            continue
        try:
            done = subprocess.run([sys.executable, os.path.abspath(__file__), "--measure", name, "--output", path] +
                                  ["--kernels"] * options.kernels, timeout=left, capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            print(f"train_step: {name}: out of time", file=sys.stderr, flush=True)
            continue
        if done.returncode != 0:
            failed += 1
            print(f"train_step: {name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
            continue
        with open(path, encoding="utf-8") as file:
            m = json.load(file)["measured"]
        print(f"train_step: {name}: {m['time_s'] * 1e3:.1f} ms ({m['forward_s'] * 1e3:.1f} + {m['backward_s'] * 1e3:.1f} + "
              f"{m['optimizer_s'] * 1e3:.1f}), {m['peak_allocated_bytes'] / 2**30:.2f} GiB, {m['warm_up_s']:.0f} s to warm up",
              file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
