#!/usr/bin/env python3
"""Checks raw files (DIR/*.jsonl): header, shape keys, plausible results, no point twice. Exit code 1 names what is wrong."""

import glob
import json
import sys

HEADER = {"schema", "gpu", "software", "origin", "source", "date"}
SHAPE = {"gemm": {"dtype", "m", "n", "k", "layout", "load"},
         "grouped_gemm": {"dtype", "m", "n", "k", "layout", "load", "path"},
         "attention": {"dtype", "batch", "heads", "kv_heads", "queries", "keys", "qk_dim", "v_dim", "causal", "direction",
                       "path", "load"},
         "memory_bound": {"kernel", "read_bytes", "written_bytes", "load"},
         "collective": {"kind", "bytes", "ranks", "ranks_per_node"},
         "interference": {"victim"}, "power": {"victim", "gap", "duty"}, "sequence": {"layer", "position", "kernel"}, "launch": {"kind"}, "host_copy": {"direction", "bytes"}, "survey": {"device"}}
RESULT = {"time_s", "min_s", "p90_s", "samples", "clock_mhz", "power_w", "temperature_c"}
OVERLAP = {"time_s", "alone_s", "beside_time_s", "beside_alone_s", "channels", "clock_mhz", "power_w", "temperature_c"}


def shape_of(row):
    keys = list(row)
    end = next((i for i, key in enumerate(keys) if key in ("time_s", "unsupported")), len(keys))
    return json.dumps({key: row[key] for key in keys[:end]})


def problems(path):
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if not lines or HEADER - lines[0].keys() or lines[0]["schema"] != "trillion.raw/1":
        yield f"{path}:1: not a header of trillion.raw/1"
        return
    seen = set()
    for number, row in enumerate(lines[1:], start=2):
        at = f"{path}:{number}"
        missing = SHAPE.get(row.get("op"), {"op"}) - row.keys()
        if missing:
            yield f"{at}: op {row.get('op')}: without {sorted(missing)}"
        if shape_of(row) in seen:
            yield f"{at}: a point that was there before"
        seen.add(shape_of(row))
        if "unsupported" in row:
            continue
        wanted = OVERLAP if "beside" in row else RESULT
        if row["op"] not in ("survey", "launch") and wanted - row.keys() and "torch" not in path:
            yield f"{at}: without {sorted(wanted - row.keys())}"
        if not 1e-8 < row["time_s"] < 100 or row.get("min_s", 0) > row["time_s"]:
            yield f"{at}: time_s {row['time_s']} min_s {row.get('min_s')}"
    if len(lines) < 2:
        yield f"{path}: no points"


def main():
    paths = sorted(glob.glob(sys.argv[1] + "/*.jsonl"))
    found = [problem for path in paths for problem in problems(path)]
    print("\n".join(found) or f"check_rows: {len(paths)} files are in order")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
