"""Files and functions that a person can hold in mind. Past the soft limit a line is printed, past the hard one the test fails."""
import re
import sys

import sources

SOFT = {"header": 200, "source": 400, "function": 50}
HARD = {"header": 240, "source": 480, "function": 80}


def functions(code):
    """(first line, length) of functions at namespace level, as clang-format lays them out: the signature starts in column 0, its
    last line ends with `{`, and the closing `}` stands in column 0."""
    start, in_body = None, False
    for number, line in enumerate(code.splitlines(), 1):
        line = line.rstrip()
        if line.startswith("}"):
            if in_body:
                yield start, number - start + 1
            start, in_body = None, False
        elif start is None and re.match(r"[A-Za-z_\[]", line) and "(" in line and not line.endswith((";", "}")):
            start = number
        if start is not None and not in_body:
            in_body = line.endswith("{")
            if line.endswith((";", "}")):
                start = None


root = sys.argv[1]
found, notes = [], []
paths = sources.files(root, ["sim", "calibration/fit", "calibration/probes"])
for path in paths:
    text = sources.read(root, path)
    sizes = [("header" if path.endswith((".h", ".cuh")) else "source", 1, text.count("\n"))]
    sizes += [("function", line, length) for line, length in functions(sources.without_comments_and_strings(text))]
    for kind, line, length in sizes:
        if length > HARD[kind]:
            found.append(f"{path}:{line}: {kind} of {length} lines, at most {HARD[kind]}")
        elif length > SOFT[kind]:
            notes.append(f"note: {path}:{line}: {kind} of {length} lines, better {SOFT[kind]}")
print("\n".join(notes))
sources.finish(found, len(paths))
