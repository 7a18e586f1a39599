"""The test of sim/a/b.cpp is tests/a/b_test.cpp, and a test tests something that exists."""
import os
import sys

import sources

# source without a test of its own -> where and why it is tested instead
EXCEPTIONS = {
    "sim/cli/main.cpp": "five lines; .ci/run runs the program itself",
    "sim/moe/gate_kernel.cpp": "tests/moe/gate_test.cpp: the kernel is the inside of Gate::route",
    "sim/workload/lower_chunk.cpp": "tests/workload/lower_test.cpp: a part of the class Lowering",
}


def test_of(path):
    folder, name = os.path.split(path)
    return os.path.join("tests", os.path.basename(folder), name.replace(".cpp", "_test.cpp"))


root = sys.argv[1]
paths = sources.files(root, ["sim", "calibration/fit"], (".cpp",))
has_test = {path: os.path.exists(os.path.join(root, test_of(path))) for path in paths}
found = [f"{path}: {test_of(path)} is missing" for path in paths if not has_test[path] and path not in EXCEPTIONS]
found += [f"{path}: listed as an exception, but it is absent or has a test" for path in EXCEPTIONS if has_test.get(path, True)]

# A header with inline code only has no .cpp; a test of a whole room is named after what it tests, so a header will do.
for path in sources.files(root, ["tests"], ("_test.cpp",)):
    room, name = path.split(os.sep)[1:3]
    if room in ("gpu", "style", "support", "golden", "fuzz", "simgrid", "validation"):
        continue
    folder = "calibration/fit" if room == "fit" else f"sim/{room}"
    subject = os.path.join(folder, name.replace("_test.cpp", ""))
    if not any(os.path.exists(os.path.join(root, subject + suffix)) for suffix in (".cpp", ".h")):
        found.append(f"{path}: neither {subject}.h nor {subject}.cpp exists")
sources.finish(found, len(paths))
