#!/usr/bin/env python3
"""What recording costs a program: processor time of the program itself, against none and against memray.

    bench/record/measure.py SLACKWATER PYTHON [ROUNDS]

PYTHON is an interpreter with memray 1.20 installed. Arms are interleaved; each run warms up once and is
measured twice. memray's figure holds its own writing, ours the agent's work in the program; what the
collector takes beside it is not in it. Medians, as factors of none.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WORKLOADS = """
import json, sys, threading, time

def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def deep(n):
    block = bytes(1000)
    return deep(n - 1) if n else block

def recursive():
    fib(25)

DOCUMENT = json.dumps([{"id": i, "name": "x" * (i % 50), "v": [1.5, 2, 3]} for i in range(2000)])

def parse():
    for _ in range(12):
        json.loads(DOCUMENT)

def blocks():
    for i in range(150000):
        bytes(2000 + i % 3000)

def deep_blocks():
    for _ in range(60):
        deep(700)

def threads():
    def work():
        for i in range(12000):
            bytes(2000 + i % 999)
    all_threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in all_threads:
        thread.start()
    for thread in all_threads:
        thread.join()

sys.setrecursionlimit(3000)
run = globals()[sys.argv[1]]
run()
before = time.process_time()
run()
run()
print("cpu", (time.process_time() - before) / 2, file=sys.stderr)
"""


def main() -> None:
    slackwater, python = sys.argv[1:3]
    n_rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "workloads.py")
        program.write_text(WORKLOADS)
        capture = str(Path(folder, "capture"))
        record = [slackwater, "--quiet", "record", "--force", "-o", capture]
        arms = {
            "none": [python],
            "sampled": [*record, "--", python],
            "exact": [*record, "--exact", "--", python],
            "memray": [python, "-m", "memray", "run", "-q", "-f", "-o", capture],
        }
        for name in ["recursive", "parse", "blocks", "deep_blocks", "threads"]:
            seconds = {arm: [] for arm in arms}
            for _ in range(n_rounds):
                for arm, words in arms.items():
                    command = [*words, str(program), name]
                    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
                    line = next(line for line in said.splitlines() if line.startswith("cpu "))
                    seconds[arm].append(float(line.split()[1]))
            median = {arm: statistics.median(values) for arm, values in seconds.items()}
            factors = "  ".join(f"{arm} {median[arm] / median['none']:.2f}" for arm in list(arms)[1:])
            print(f"{name:12} {median['none'] * 1000:6.1f} ms   {factors}", flush=True)


if __name__ == "__main__":
    main()
