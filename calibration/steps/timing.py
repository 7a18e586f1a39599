"""Timing and rows for the PyTorch side of calibration: the rules of calibration/probes/bench.h, in Python."""

import datetime
import json
import os
import statistics
import subprocess
import time

import torch

ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_MAX_CONNECTIONS", "CUDA_LAUNCH_BLOCKING", "PYTORCH_CUDA_ALLOC_CONF",
               "NVIDIA_TF32_OVERRIDE", "TORCH_SYMM_MEM_DISABLE_MULTICAST", "NCCL_NVLS_ENABLE")


def nvidia_smi(fields):
    """The first visible GPU's fields as text, or None where nvidia-smi is absent."""
    try:
        out = subprocess.run(["nvidia-smi", "--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits", "-i",
                              os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"],
                             capture_output=True, text=True, timeout=20, check=True).stdout
        return [value.strip() for value in out.splitlines()[0].split(",")]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def number(text):
    try:
        return float(text)
    except ValueError:  # nvidia-smi says [N/A]
        return 0.0


def machine():
    """The header's fields, as the C++ probes write them."""
    properties = torch.cuda.get_device_properties(0)
    cudnn = torch.backends.cudnn.version() or 0
    read = nvidia_smi(["driver_version", "power.limit", "power.default_limit", "clocks.max.sm"]) or ["unknown", "0", "0", "0"]
    short = next((word for word in properties.name.replace("-", " ").split()
                  if word[0].isalpha() and any(c.isdigit() for c in word)), properties.name)
    return {"schema": "trillion.raw/1", "gpu": short,
            "software": f"PyTorch {torch.__version__}, cudnn {cudnn // 10000}.{cudnn // 100 % 100}, CUDA {torch.version.cuda}",
            "origin": "measured", "source": f"calibration/steps on one {properties.name}",
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "gpu_name": properties.name,
            "driver": read[0], "sms": properties.multi_processor_count, "memory_bytes": properties.total_memory,
            "power_limit_w": number(read[1]), "power_limit_default_w": number(read[2]), "clock_max_mhz": number(read[3]),
            "environment": {key: os.environ[key] for key in ENVIRONMENT if key in os.environ}}


class Rows:
    """A raw file that is continued: rows appended and synced, points already there skipped, a torn last line dropped."""

    def __init__(self, path, budget_s):
        self.until = time.monotonic() + budget_s
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        header = machine()
        self.done = set()
        if os.path.exists(path):
            with open(path, "rb+") as file:
                content = file.read()
                whole = content.rfind(b"\n") + 1
                file.truncate(whole)
            lines = [json.loads(line) for line in content[:whole].splitlines()]
            for key in ("gpu_name", "driver", "software"):
                if lines and lines[0].get(key) != header[key]:
                    raise SystemExit(f"{path} was measured with {key} {lines[0].get(key)}, here it is {header[key]}: "
                                     "give another --output")
            self.done = {self.key(line) for line in lines[1:]}
        self.file = open(path, "a", encoding="utf-8")
        if not os.path.getsize(path):
            self.write(header)

    @staticmethod
    def key(row):
        shape = {}
        for name, value in row.items():
            if name in ("time_s", "unsupported"):
                break
            shape[name] = value
        return json.dumps(shape)

    def write(self, row):
        self.file.write(json.dumps(row, separators=(",", ":")) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def out_of_time(self):
        return time.monotonic() > self.until

    def point(self, shape, make):
        """Measures `make()`, a function that prepares a launch(index), unless it is known or time is up."""
        if self.out_of_time() or self.key(shape) in self.done:
            return
        try:
            result = measure(make())
        except (RuntimeError, NotImplementedError, TypeError, AttributeError) as error:
            torch.cuda.synchronize()
            result = {"unsupported": str(error).splitlines()[0][:200]}
        self.write({**shape, **result})
        self.done.add(self.key(shape))


def measure(launch, spend_s=0.06, batch_s=0.5e-3):
    """Order statistics of launch(index) in seconds of device time, host launch gaps hidden behind a spinning kernel."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    launch(0)
    torch.cuda.synchronize()
    begin.record()
    launch(1)
    end.record()
    end.synchronize()
    estimate = max(2e-6, begin.elapsed_time(end) * 1e-3)
    per_batch = max(1, min(24, round(batch_s / estimate)))
    warm = min(64, max(3, round(3e-3 / estimate)))
    host = time.perf_counter()
    for index in range(warm):
        launch(index)
    host = (time.perf_counter() - host) / warm
    torch.cuda.synchronize()
    samples, index, start = [], 0, time.monotonic()
    while len(samples) < 7 or (time.monotonic() - start < spend_s and len(samples) < 49 and spread(samples) > 0.004):
        # Long enough for the host to queue the seven batches; 1.98e9 cycles are a second.
        torch.cuda._sleep(int(1.98e9 * min(0.05, 1e-4 + 1.5 * 7 * per_batch * host)))
        events = [torch.cuda.Event(enable_timing=True) for _ in range(8)]
        events[0].record()
        for event in events[1:]:
            for _ in range(per_batch):
                launch(index)
                index += 1
            event.record()
        torch.cuda.synchronize()
        samples += [a.elapsed_time(b) * 1e-3 / per_batch for a, b in zip(events, events[1:])]
    samples.sort()
    read = nvidia_smi_fast()
    return {"time_s": statistics.median(samples), "min_s": samples[0], "p90_s": samples[int(0.9 * (len(samples) - 1))],
            "samples": len(samples), **read}


def spread(samples):
    """Standard error of the median relative to it, from the median absolute deviation."""
    middle = statistics.median(samples)
    deviation = statistics.median(abs(s - middle) for s in samples)
    return 1.2533 * 1.4826 * deviation / (middle * len(samples) ** 0.5)


def nvidia_smi_fast():
    """Clock, power and temperature through PyTorch's NVML binding; empty where that is missing."""
    try:
        return {"clock_mhz": torch.cuda.clock_rate(), "power_w": torch.cuda.power_draw() / 1e3,
                "temperature_c": torch.cuda.temperature()}
    except (ModuleNotFoundError, RuntimeError, AttributeError):
        return {}
