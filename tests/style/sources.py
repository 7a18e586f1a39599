"""What the style tests share: the list of our files, the text without comments and strings, and how a test ends.

Every test is called with the repository's root and prints all violations, one a line, as `file:line: what`.
"""
import os
import re
import sys

SOURCE_FOLDERS = ["sim", "calibration/fit", "calibration/probes", "tests"]
SUFFIXES = (".h", ".cpp", ".cu", ".cuh")


def files(root, folders=SOURCE_FOLDERS, suffixes=SUFFIXES):
    """Paths relative to root, sorted."""
    found = []
    for folder in folders:
        for where, _, names in os.walk(os.path.join(root, folder)):
            found += [os.path.relpath(os.path.join(where, name), root) for name in names if name.endswith(suffixes)]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def without_comments_and_strings(text):
    """The code alone, line numbers kept. A digit separator (1'000) never opens a character here."""
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "", text)
    return TOKENS.sub(lambda match: "\n" * match.group().count("\n") or " ", text)


def includes(text):
    """(line number, target, quoted with "..." rather than <...>)"""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
        if match:
            yield number, match.group(2), match.group(1) == '"'


def finish(violations, checked):
    """Ends the test. Having checked nothing is a failure too."""
    for violation in violations:
        print(violation)
    print(f"{checked} files checked, {len(violations)} violations")
    sys.exit(1 if violations or not checked else 0)
