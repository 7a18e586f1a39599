"""A search shared over MPI processes: the same bytes as one process; a process that dies loses nothing that the journal holds."""
import os
import signal
import subprocess
import sys
import tempfile
import time

program, mpirun, root = sys.argv[1:4]
SPACE = ("search={tensor_parallel: [1, 2], pipeline_parallel: [8, 16], expert_parallel: [32, 64], micro_batch_size: 1, "
         "schedule: [dualpipe, dualpipe-v, 1f1b], overlap_parameter_gather: false}")
PLAN = [program, "plan", root + "/scenarios/deepseek-v3", "--set", "cluster.nodes=64", "--set", "training.global_batch_size=1024", "--set",
        "training.batch_size_schedule=null", "--set", SPACE, "--json", "-", "--quiet", "--top", "3"]
environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def shared(processes, *more):
    return [mpirun, "--oversubscribe", "-n", str(processes), *PLAN, *more]


def said(text):
    return [line for line in text.splitlines() if '"wall_s"' not in line]


def run(command):
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, (ended.returncode, ended.stderr)
    return said(ended.stdout)


alone = run(PLAN)
assert len(alone) > 100
for processes in (2, 4):
    assert run(shared(processes)) == alone, f"{processes} processes say something else"

with tempfile.TemporaryDirectory() as folder:
    journal = os.path.join(folder, "plan.journal")
    killed = subprocess.Popen(shared(3, "--resume", journal), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    deadline = time.time() + 120
    workers = []
    while time.time() < deadline and killed.poll() is None:
        lines = open(journal, "rb").read().count(b"\n") if os.path.exists(journal) else 0
        if lines > 4:
            listed = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(killed.pid)], capture_output=True, text=True).stdout.split("\n")
            workers = [int(line.split()[0]) for line in listed if line.split()[1:] == ["trillion"]]
            break
        time.sleep(0.01)
    assert workers, "the search ended before one of its processes could be killed"
    os.kill(workers[-1], signal.SIGKILL)
    assert killed.wait(timeout=120) != 0, "a job without one of its processes went on"
    held = open(journal, "rb").read()
    held = held[:held.rfind(b"\n") + 1]
    assert run([*PLAN, "--resume", journal]) == alone, "what was resumed says something else"
    assert open(journal, "rb").read().startswith(held), "a journalled result was lost"
print("1, 2, 3 and 4 processes: the same bytes")
