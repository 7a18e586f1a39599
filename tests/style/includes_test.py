"""Rooms include only what DESIGN.md's table allows, and heavy headers stay inside .cpp files of their one room."""
import sys

import sources

# room -> rooms that it may include beside itself
ALLOWED = {
    "sim/base": [],
    "sim/spec": ["sim/base"],
    "sim/net": ["sim/base", "sim/spec"],
    "sim/engine": ["sim/base", "sim/net"],
    "sim/timing": ["sim/base", "sim/spec", "sim/net"],
    "sim/moe": ["sim/base", "sim/spec"],
    "sim/workload": ["sim/base", "sim/spec", "sim/net", "sim/engine", "sim/timing", "sim/moe"],
    "sim/estimate": ["sim/base", "sim/spec", "sim/net", "sim/engine", "sim/timing", "sim/moe", "sim/workload"],
    "sim/planner": ["sim/base", "sim/spec", "sim/workload", "sim/estimate"],
    "sim/handover": ["sim/base", "sim/spec", "sim/workload", "sim/estimate"],
    "sim/report": ["sim/base", "sim/spec", "sim/engine", "sim/estimate", "sim/planner"],
    "sim/cli": ["sim/base", "sim/spec", "sim/net", "sim/engine", "sim/timing", "sim/moe", "sim/workload", "sim/estimate",
                "sim/planner", "sim/handover", "sim/report", "calibration/fit"],
    "calibration/fit": ["sim/base", "sim/spec"],
    "calibration/probes": [],
}

# prefix of a third party's header -> rooms whose .cpp files (never a header) may include it
HEAVY = {
    "yaml-cpp/": ["sim/spec"],
    "boost/": ["sim/net"],
    "pugixml": ["sim/spec"],
    "Eigen/": ["calibration/fit", "sim/moe"],
    "nlohmann/": ["sim/estimate", "sim/planner", "sim/handover", "calibration/fit"],
    "CLI/": ["sim/cli"],
    "fmt/": ["sim/report"],
    "mpi.h": ["sim/planner"],
}


def room_of(path):
    return next((room for room in ALLOWED if path.startswith(room + "/")), None)


def violations_of(path, text):
    room = room_of(path)
    for number, target, quoted in sources.includes(text):
        heavy = next((prefix for prefix in HEAVY if target.startswith(prefix)), None)
        if heavy and (room not in HEAVY[heavy] or not path.endswith(".cpp")):
            yield f"{path}:{number}: {target} belongs into .cpp files of {' or '.join(HEAVY[heavy])}"
        if room == "calibration/probes":
            if target.startswith(("sim/", "calibration/fit")):
                yield f"{path}:{number}: probes include nothing of the simulator"
        elif quoted:
            other = room_of(target)
            if other is None:
                yield f'{path}:{number}: "{target}" is not spelled from the root'
            elif other != room and other not in ALLOWED[room]:
                yield f"{path}:{number}: {room} may not include {other}"


root = sys.argv[1]
paths = sources.files(root, ["sim", "calibration/fit", "calibration/probes"])
found = [f"{path}: in no known room" for path in paths if room_of(path) is None]
found += [violation for path in paths if room_of(path) for violation in violations_of(path, sources.read(root, path))]
sources.finish(found, len(paths))
