"""Libraries return values and throw; they never print, exit, abort or assert. Nothing is left for later."""
import re
import sys

import sources

FORBIDDEN_IN_LIBRARIES = {
    r"\bstd::(cout|cerr|clog)\b": "prints",
    r"(?<![\w.])(std::)?(printf|fprintf|puts|fputs|perror|putchar)\s*\(": "prints",
    r"(?<![\w.:>])(std::)?(exit|_exit|quick_exit|abort|terminate)\s*\(": "ends the process",
    r"(?<![\w.:])assert\s*\(": "asserts: use CHECK for our bugs, InputError for the user's",
}
FORBIDDEN_EVERYWHERE = {
    r"\busing namespace std\b": "imports a whole namespace",
}
LEFT_FOR_LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK|WIP)\b|\bplaceholder\b|not (yet )?implemented", re.I)


def matches(path, code, rules):
    for number, line in enumerate(code.splitlines(), 1):
        for pattern, what in rules.items():
            if re.search(pattern, line):
                yield f"{path}:{number}: {what}"


root = sys.argv[1]
found = []
paths = sources.files(root)
for path in paths:
    text = sources.read(root, path)
    code = sources.without_comments_and_strings(text)
    if path.startswith(("sim/", "calibration/fit/")) and not path.startswith("sim/cli/"):
        found += matches(path, code, FORBIDDEN_IN_LIBRARIES)
    found += matches(path, code, FORBIDDEN_EVERYWHERE)
    found += [f"{path}:{number}: left for later: {line.strip()}"
              for number, line in enumerate(text.splitlines(), 1) if LEFT_FOR_LATER.search(line)]
    if path.endswith(".h") and "#pragma once" not in text:
        found.append(f"{path}:1: no #pragma once")
sources.finish(found, len(paths))
