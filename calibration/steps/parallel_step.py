#!/usr/bin/env python3
"""Times whole training steps over several GPUs of one machine: tensor, sequence, data, pipeline and expert parallelism, one JSON file a
configuration.

These measurements validate a calibration and never enter one.

usage: parallel_step.py --output DIR [--budget 3m] [--only NAME,...] [--traces DIR] [--smoke] [--list]

Each configuration runs in fresh processes, one a GPU (CUDA_VISIBLE_DEVICES chooses which), forked from this one so that PyTorch is
imported once. 3 warm-up steps, then 10 measured ones back to back. time_s is the median over steps of the slowest rank. A
configuration that needs more GPUs than there are is left out; files that exist are left alone: a run that was cut resumes. A rank that
fails or hangs ends its configuration, not the run. --traces also profiles one step more: the kernels of every rank, and in "traced" of the
result what the device did with the time. --smoke runs
two steps of toy sizes and writes nothing.
"""

import argparse
import contextlib
import ctypes
import functools
import inspect
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

from train_step import DENSE, MIXED, MOE, SEVEN, THREE, WIDE, as_in_a_long_run, seconds, write_whole

# Half the vocabulary of a Llama 2, so that layers and not the head decide how even the stages are.
PIPED = {**WIDE, "vocab_size": 16384}
SMALL = {**DENSE, "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096, "vocab_size": 32768,
         "tie_word_embeddings": False}
LONG = {**SEVEN, "num_hidden_layers": 4, "max_position_embeddings": 16384}
FEW = {**MOE, "num_hidden_layers": 4, "vocab_size": 32000, "n_routed_experts": 16, "n_shared_experts": 0, "num_experts_per_tok": 2,
       "moe_intermediate_size": 4096, "first_k_dense_replace": 0}


def case(model, batch, length, **more):
    return {"model": model, "micro_batch_size": batch, "sequence_length": length, "micro_batches": 1, "tensor_parallel": 1,
            "sequence_parallel": False, "context_parallel": 1, "pipeline_parallel": 1, "data_parallel": 1, "expert_parallel": 1,
            "context_parallel_method": "all_gather", "schedule": "none",
            "sharding": "none", "recompute": "none", "precision": "bf16", "attention_backend": "cudnn", "optimizer": "adamw-fused",
            **more}


def piped(schedule, **more):
    return case(PIPED, 1, 4096, pipeline_parallel=2, micro_batches=8, schedule=schedule, **more)


# Most telling first. Names end in the number of GPUs.
CASES = {
    "tensor-x2": case(WIDE, 1, 4096, tensor_parallel=2),
    "pipeline-1f1b-x2": piped("1f1b"),
    "data-x2": case(WIDE, 1, 4096, data_parallel=2),
    "sequence-x2": case(WIDE, 1, 4096, tensor_parallel=2, sequence_parallel=True),
    "zero3-x2": case(WIDE, 1, 4096, data_parallel=2, sharding="zero-3"),
    "expert-x2": case(MOE, 2, 4096, data_parallel=2, expert_parallel=2),
    "pipeline-zb-v-x2": piped("zb-v"),
    "pipeline-gpipe-x2": piped("gpipe"),
    "pipeline-interleaved-x2": piped("interleaved-1f1b"),
    "pipeline-dualpipe-v-x2": piped("dualpipe-v"),
    "data-accumulate-4-x2": case(WIDE, 1, 2048, data_parallel=2, micro_batches=4),
    "zero3-recompute-x2": case(WIDE, 2, 4096, data_parallel=2, sharding="zero-3", recompute="full"),
    "data-small-x2": case(SMALL, 1, 512, data_parallel=2),
    "sequence-3b-x2": case({**THREE, "tie_word_embeddings": False}, 1, 4096, tensor_parallel=2, sequence_parallel=True),
    "zero3-7b-x2": case(SEVEN, 1, 2048, data_parallel=2, sharding="zero-3", micro_batches=2),
    "expert-mixed-x2": case(MIXED, 1, 4096, data_parallel=2, expert_parallel=2),
    "context-x2": case(LONG, 1, 16384, context_parallel=2, attention_backend="flash"),
    "context-ring-x2": case(LONG, 1, 16384, context_parallel=2, context_parallel_method="ring", attention_backend="flash"),
    "expert-few-x2": case(FEW, 2, 4096, data_parallel=2, expert_parallel=2),
    "tensor-pipeline-x4": piped("1f1b", tensor_parallel=2),
    "tensor-data-x4": case(WIDE, 1, 4096, tensor_parallel=2, data_parallel=2),
    "sequence-x4": case(WIDE, 1, 8192, tensor_parallel=4, sequence_parallel=True),
    "data-x4": case(WIDE, 1, 4096, data_parallel=4),
    "zero3-x4": case(WIDE, 1, 4096, data_parallel=4, sharding="zero-3"),
    "expert-x4": case(MOE, 2, 4096, data_parallel=4, expert_parallel=4),
    "pipeline-1f1b-x4": {**piped("1f1b"), "pipeline_parallel": 4},
}

WARM_UP, STEPS = 3, 10
PATIENCE_S, SMOKE_PATIENCE_S = 90, 45  # for one configuration


def ranks_of(settings):
    return settings["tensor_parallel"] * settings["context_parallel"] * settings["pipeline_parallel"] * settings["data_parallel"]


def visible_gpus():
    """Counted without CUDA, which must not start before the ranks are forked."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen:
        return len(chosen.split(","))
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout.count("GPU ")
    except (OSError, subprocess.SubprocessError):
        return 0


def toy(settings):
    model = {**settings["model"], "hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64,
             "intermediate_size": 1024, "vocab_size": 1024}
    if "n_routed_experts" in model:
        model.update(n_routed_experts=16, num_experts_per_tok=4, moe_intermediate_size=256)
    return {**settings, "model": model, "sequence_length": 256}


class Step:
    """One rank's training step, with an event after the passes and one after the optimizer."""

    def __init__(self, settings, rank):
        import torch
        import torch.distributed as dist

        self.torch, self.dist, self.settings, self.rank = torch, dist, settings, rank
        self.make_groups()
        torch.manual_seed(1 + rank)
        self.modules = self.make_modules()
        for module in self.modules:
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.normal_(parameter, std=0.02)
        self.parameters = sum(p.numel() for m in self.modules for p in m.parameters())
        self.replicate()
        self.optimizer = torch.optim.AdamW([p for m in self.modules for p in m.parameters()], lr=1e-5, fused=True)
        shape = (settings["micro_batch_size"] * settings["micro_batches"], settings["sequence_length"] // settings["context_parallel"])
        generator = torch.Generator("cuda").manual_seed(7 + self.place["data"])  # a pipeline's ends share their batch
        self.batches = [torch.randint(settings["model"]["vocab_size"], shape, device="cuda", generator=generator) for _ in range(4)]
        self.pipeline = self.make_pipeline() if settings["pipeline_parallel"] > 1 else None
        self.context = self.make_context() if settings["context_parallel"] > 1 else contextlib.nullcontext
        self.next = 0

    def make_groups(self):
        """Ranks are laid out [pipeline][data][context][tensor], tensor fastest."""
        s, dist = self.settings, self.dist
        tensor, context, data = s["tensor_parallel"], s["context_parallel"], s["data_parallel"]
        everyone = list(range(ranks_of(s)))
        axes = ("tensor", "context", "data", "pipeline")
        position = {r: (r % tensor, r // tensor % context, r // (tensor * context) % data, r // (tensor * context * data)) for r in everyone}
        self.place = dict(zip(axes, position[self.rank]))
        self.groups = {}
        for axis, name in enumerate(axes):
            seen = set()
            for r in everyone:
                members = tuple(q for q in everyone if all(position[q][a] == position[r][a] for a in range(len(axes)) if a != axis))
                if members in seen:
                    continue
                seen.add(members)
                group = dist.new_group(list(members)) if len(members) > 1 else None
                if self.rank in members:
                    self.groups[name] = group

    def make_modules(self):
        from parallel_layers import Split, Stage

        torch, s = self.torch, self.settings
        config = {**s["model"], "attention_backend": s["attention_backend"]}
        split = Split(self.groups["tensor"], s["sequence_parallel"], self.place["context"], s["context_parallel"])
        experts = self.groups["data"] if s["expert_parallel"] > 1 else None
        self.split, layers = split, config["num_hidden_layers"]
        self.stages, count = stages_of(s["schedule"], self.place["pipeline"], s["pipeline_parallel"])
        each = layers // count
        with torch.device("cuda"):
            torch.set_default_dtype(torch.bfloat16)
            modules = [Stage(config, range(i * each, (i + 1) * each), split, experts, s["recompute"], i == 0, i == count - 1)
                       for i in self.stages]
            torch.set_default_dtype(torch.float32)
        self.stage_count = count
        return modules

    def replicate(self):
        """Data parallelism: DDP's buckets, or FSDP2's shards."""
        s = self.settings
        self.model = self.modules[0]
        self.replicas = self.groups["data"] or self.groups["context"]  # ranks of a context-parallel group hold the same parameters
        if self.replicas is None:
            return
        if s["sharding"] == "zero-3":
            from torch.distributed.device_mesh import DeviceMesh
            from torch.distributed.fsdp import fully_shard

            mesh = DeviceMesh.from_group(self.groups["data"], "cuda")
            for layer in self.model.layers:
                fully_shard(layer, mesh=mesh)
            fully_shard(self.model, mesh=mesh)
            return
        from torch.nn.parallel import DistributedDataParallel

        if s["expert_parallel"] > 1:
            own = [name for name, _ in self.model.named_parameters() if name.endswith(("mlp.gate", "mlp.up", "mlp.down"))]
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self.model, own)
        self.model = DistributedDataParallel(self.model, device_ids=[self.torch.cuda.current_device()], process_group=self.replicas,
                                             broadcast_buffers=False, gradient_as_bucket_view=True)

    def make_pipeline(self):
        from parallel_layers import loss_of
        from torch.distributed.pipelining import PipelineStage, schedules

        s = self.settings
        stages = [PipelineStage(module, i, self.stage_count, self.torch.device("cuda", self.torch.cuda.current_device()),
                                group=self.groups["pipeline"]) for module, i in zip(self.modules, self.stages)]
        kind = {"gpipe": "ScheduleGPipe", "1f1b": "Schedule1F1B", "interleaved-1f1b": "ScheduleInterleaved1F1B",
                "zb-v": "ScheduleZBVZeroBubble", "dualpipe-v": "ScheduleDualPipeV"}[s["schedule"]]
        count = s["micro_batches"]

        def loss(logits, labels):
            return loss_of(logits, labels, self.split) / count

        single = s["schedule"] in ("gpipe", "1f1b")
        made = getattr(schedules, kind)(stages[0] if single else stages, count, loss_fn=loss, scale_grads=False)
        if "return_outputs" in inspect.signature(made.step).parameters:
            made.step = functools.partial(made.step, return_outputs=False)
        return made

    def make_context(self):
        """PyTorch's context parallelism: inside, attention takes a rank's two mirrored slices for a sequence spread over the group."""
        from torch.distributed.device_mesh import DeviceMesh
        from torch.distributed.tensor.experimental import _attention

        _attention.set_rotate_method("alltoall" if self.settings["context_parallel_method"] == "ring" else "allgather")
        mesh = DeviceMesh.from_group(self.groups["context"], "cuda")
        nothing = self.torch.zeros(2 * self.settings["context_parallel"] * 128, device="cuda")  # it wants a buffer to split
        return lambda: _attention.context_parallel(mesh, buffers=[nothing], buffer_seq_dims=[0], no_restore_buffers=set())

    def passes(self, ids):
        s = self.settings
        if self.pipeline is not None:
            inputs = (ids,) if 0 in self.stages else ()
            target = {"target": ids, "losses": []} if self.stage_count - 1 in self.stages else {}
            self.pipeline.step(*inputs, **target)
            return
        parts = ids.split(s["micro_batch_size"])
        for i, part in enumerate(parts):
            sync = i == len(parts) - 1 or not hasattr(self.model, "no_sync")
            if not sync:
                with self.model.no_sync():
                    (self.model(part, part) / len(parts)).backward()
            else:
                (self.model(part, part) / len(parts)).backward()

    def run(self):
        marks = [self.torch.cuda.Event(enable_timing=True) for _ in range(3)]
        marks[0].record()
        with self.context():
            self.passes(self.batches[self.next % len(self.batches)])
        self.next += 1
        if self.settings["sequence_parallel"]:
            from parallel_layers import sum_norm_gradients

            sum_norm_gradients(self.model, self.groups["tensor"])
        marks[1].record()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        marks[2].record()
        return marks

    def expert_load(self):
        """Rows that this rank's experts received in the last pass, and what an even split would be."""
        layers = [m for module in self.modules for m in module.modules() if hasattr(m, "received_rows")]
        s = self.settings
        even = s["micro_batch_size"] * s["sequence_length"] * s["model"].get("num_experts_per_tok", 0)
        return [m.received_rows / even for m in layers]


def stages_of(schedule, rank, ranks):
    """Stages that a pipeline rank holds, and how many there are."""
    if schedule == "interleaved-1f1b":
        return [rank, rank + ranks], 2 * ranks
    if schedule in ("zb-v", "dualpipe-v"):
        return [rank, 2 * ranks - 1 - rank], 2 * ranks
    return [rank], ranks


def kernels_of(step):
    """One step's kernels on this rank: names, and [name, stream, start_us, length_us] of each."""
    torch = step.torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step.run()
        torch.cuda.synchronize()
    names, rows = {}, []
    for event in profiler.profiler.kineto_results.events():
        if event.device_type() != torch.autograd.DeviceType.CUDA:
            continue
        name = names.setdefault(event.name(), len(names))
        rows.append([name, event.device_resource_id(), event.start_ns(), event.duration_ns()])
    start = min((row[2] for row in rows), default=0)
    return {"names": list(names), "kernels": [[n, s, round((t - start) / 1e3, 2), round(d / 1e3, 2)] for n, s, t, d in sorted(rows, key=lambda r: r[2])]}


def length_of_union(spans):
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def busy_of(traced):
    """What a traced step's device did, in seconds: computing, communicating, communicating with nothing else beside it, idle."""
    spans = {True: [], False: []}
    for name, _, start, length in traced["kernels"]:
        spans[traced["names"][name].startswith("nccl")].append((start * 1e-6, (start + length) * 1e-6))
    everything = spans[True] + spans[False]
    compute, busy = length_of_union(spans[False]), length_of_union(everything)
    span = max((end for _, end in everything), default=0.0)
    figures = {"span_s": span, "compute_s": compute, "communication_s": length_of_union(spans[True]),
               "exposed_communication_s": busy - compute, "idle_s": span - busy}
    return {"kernels": len(everything), **{key: round(value, 6) for key, value in figures.items()}}


def measure(settings, rank, smoke, trace):
    """This rank's figures and the header; all ranks' come together on rank 0."""
    import torch
    import torch.distributed as dist
    from timing import machine, nvidia_smi_fast

    started = time.monotonic()
    step = Step(settings, rank)
    resident = torch.cuda.memory_allocated()
    for _ in range(1 if smoke else WARM_UP):
        step.run()
        as_in_a_long_run(step.optimizer)
    torch.cuda.synchronize()
    dist.barrier()
    torch.cuda.synchronize()
    warm_s = time.monotonic() - started
    torch.cuda.reset_peak_memory_stats()
    steps = 1 if smoke else STEPS
    wall, runs = time.perf_counter(), []
    for _ in range(steps):
        runs.append(step.run())
    busy = nvidia_smi_fast()
    torch.cuda.synchronize()
    wall = (time.perf_counter() - wall) / steps
    peak = {"peak_allocated_bytes": torch.cuda.max_memory_allocated(), "peak_reserved_bytes": torch.cuda.max_memory_reserved()}
    free, total = torch.cuda.mem_get_info()
    host = time.perf_counter()
    step.run()
    host = time.perf_counter() - host
    torch.cuda.synchronize()
    # From one step's first event to the next one's; the last step ends with its own last event.
    starts = [marks[0] for marks in runs] + [runs[-1][2]]
    times = [a.elapsed_time(b) * 1e-3 for a, b in zip(starts, starts[1:])]
    mine = {"rank": rank, **step.place, "time_s": statistics.median(times), "steps_time_s": times,
            "passes_s": statistics.median(m[0].elapsed_time(m[1]) for m in runs) * 1e-3,
            "optimizer_s": statistics.median(m[1].elapsed_time(m[2]) for m in runs) * 1e-3, "wall_s": wall, "host_issue_s": host,
            "parameters": step.parameters, **peak, "resident_model_bytes": resident, "device_used_bytes": total - free, **busy}
    if settings["expert_parallel"] > 1:
        mine["expert_load"] = [round(x, 4) for x in step.expert_load()]
    kernels = None
    if trace:
        try:
            kernels = kernels_of(step)
            mine["traced"] = busy_of(kernels)
        except (RuntimeError, AttributeError) as error:  # the figures above stand without it
            print(f"no trace: {error}", file=sys.stderr)
    everyone, traces = [None] * dist.get_world_size(), [None] * dist.get_world_size()
    dist.all_gather_object(everyone, mine)
    dist.all_gather_object(traces, kernels)
    tokens = settings["micro_batch_size"] * settings["sequence_length"] * settings["micro_batches"] * settings["data_parallel"]
    time_s = max(r["time_s"] for r in everyone)
    header = machine()
    header.update(schema="trillion.parallel-step/1", software=header["software"] + ", NCCL " + ".".join(map(str, torch.cuda.nccl.version())),
                  source=f"calibration/steps on {len(everyone)} {header['gpu_name']} of one host")
    return {**header, "settings": settings,
            "measured": {"time_s": time_s, "spread": (max(everyone[0]["steps_time_s"]) - min(everyone[0]["steps_time_s"])) / time_s,
                         "steps": steps, "tokens": tokens, "tokens_per_s": tokens / time_s,
                         "peak_allocated_bytes": max(r["peak_allocated_bytes"] for r in everyone), "warm_up_s": warm_s,
                         "ranks": everyone}}, traces


def work(settings, rank, options, name, meeting):
    """A rank's whole life."""
    import torch
    import torch.distributed as dist

    local = int(os.environ.get("LOCAL_RANK", rank))
    torch.cuda.set_device(local)
    ranks = ranks_of(settings)
    dist.init_process_group("nccl", init_method=meeting, rank=rank, world_size=ranks, device_id=torch.device("cuda", local))
    result, traces = measure(settings, rank, options.smoke, options.traces)
    if rank == 0 and not options.smoke:
        write_whole(os.path.join(options.output, name + ".json"), result)
    if rank == 0 and options.traces:
        os.makedirs(options.traces, exist_ok=True)
        write_whole(os.path.join(options.traces, name + ".trace.json"), traces, indent=None)
    dist.barrier()
    dist.destroy_process_group()


def start_rank(settings, rank, options, name, meeting, log):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no rank outlives this program
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks_of(settings)))
        work(settings, rank, options, name, meeting)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run_case(settings, options, name, patience_s):
    """Why it failed, or None."""
    with tempfile.TemporaryDirectory() as folder:
        logs = [os.open(os.path.join(folder, f"{rank}.log"), os.O_RDWR | os.O_CREAT | os.O_APPEND) for rank in range(ranks_of(settings))]
        meeting = f"file://{folder}/meeting"
        left = {start_rank(settings, rank, options, name, meeting, log): rank for rank, log in enumerate(logs)}
        until, why = time.monotonic() + patience_s, None
        while left:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child in left:
                rank = left.pop(child)
                if status != 0 and why is None:
                    why = f"rank {rank}"
            elif time.monotonic() > until and why is None:
                why = f"no answer within {patience_s:.0f} s"
            else:
                time.sleep(0.05)
            if why is not None and left:
                time.sleep(1)  # the others may have more to say
                for other in left:
                    os.kill(other, signal.SIGKILL)
        said = []
        for rank, log in enumerate(logs):
            text = os.pread(log, 1 << 20, 0).decode(errors="replace").strip()
            os.close(log)
            if text:
                said.append(f"  rank {rank}: " + "\n    ".join(text.splitlines()[-12:]))
        return None if why is None else why + "\n" + "\n".join(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default=".")
    parser.add_argument("--budget", type=seconds, default=180.0)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--traces")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
        return 0
    names = options.only.split(",")
    unknown = set(names) - set(CASES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list names them")
    until, failed = time.monotonic() + options.budget, 0
    os.makedirs(options.output, exist_ok=True)
    if "RANK" in os.environ:  # torchrun
        for name in names:
            work(CASES[name], int(os.environ["RANK"]), options, name, "env://")
        return 0
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # no import may start CUDA
    import torch.distributed.fsdp
    import torch.distributed.pipelining  # noqa: F401  once, before the ranks are forked
    import torch.profiler  # noqa: F401

    gpus = visible_gpus()
    for name in names:
        settings = toy(CASES[name]) if options.smoke else CASES[name]
        path, left = os.path.join(options.output, name + ".json"), until - time.monotonic()
        if ranks_of(settings) > gpus or (os.path.exists(path) and not options.smoke):
            continue
        if left < 10:
            print(f"parallel_step: {name}: no time left", file=sys.stderr, flush=True)
            continue
        began = time.monotonic()
        why = run_case(settings, options, name, min(left, SMOKE_PATIENCE_S if options.smoke else PATIENCE_S))
        took = time.monotonic() - began
        if why is not None:
            failed += 1
            print(f"parallel_step: {name}: failed after {took:.0f} s: {why}", file=sys.stderr, flush=True)
        elif options.smoke:
            print(f"parallel_step: {name}: runs ({took:.0f} s)", file=sys.stderr, flush=True)
        else:
            with open(path, encoding="utf-8") as file:
                m = json.load(file)["measured"]
            print(f"parallel_step: {name}: {m['time_s'] * 1e3:.1f} ms (spread {100 * m['spread']:.1f} %), "
                  f"{m['peak_allocated_bytes'] / 2**30:.2f} GiB, took {took:.0f} s", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
