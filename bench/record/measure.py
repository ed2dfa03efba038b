#!/usr/bin/env python3
"""What recording costs: a program's processor time against none and against memray in the same run, what the
recorder takes beside it, what threads wait for, and the requests and the latency of a service.

In each round every arm has its turn, in random order; ratios are of trials of one round, in brackets the
lowest and highest. "none again" is none against itself: what this machine's noise makes of nothing. memray's
figure holds its own writing, ours the agent's work in the program; what the recorder takes is told apart.

"deep_blocks" frees 700 blocks at a time from the end of the heap, which glibc gives back and takes again each
time; memray's own blocks lie behind them and happen to prevent that. "deep_blocks, kept" has glibc keep the
memory under every arm, so that what differs is the recording.

A recorder that attaches is measured against the same process before and after.

Claims: sampled, attached or not, at most 1.02 of none; exact at most half of memray's overhead (ratio less
one), with Python's own allocators too, and nothing where nothing is allocated; exact --native at most
memray's default; at most 2 bytes an event; at most 16 MiB of memory beside the stacks; idle nothing; with 8
threads instead of one, exact keeps at least twice as much of its throughput as memray.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import attached
import service
import tables
import threads
from arms import ARMS, EXACT, OBJECT_ARMS
from trial import Program, Trials, calibrated, trial

from bench import venv

HERE = Path(__file__).resolve().parent
KEPT = {"GLIBC_TUNABLES": f"glibc.malloc.trim_threshold={1 << 30}:glibc.malloc.top_pad={64 << 20}"}
WORK = {
    "recursive": Program("own.py", "recursive"),
    "parse": Program("own.py", "parse"),
    "blocks": Program("own.py", "blocks"),
    "deep_blocks": Program("own.py", "deep_blocks"),
    "deep_blocks, kept": Program("own.py", "deep_blocks", environment=KEPT),
    "threads": Program("own.py", "threads"),
    "json_dumps": Program("benchmark.py", "json_dumps"),
    "pickle_pure_python": Program("benchmark.py", "pickle", "--pure-python", "pickle"),
    "regex_compile": Program("benchmark.py", "regex_compile"),
    "deltablue": Program("benchmark.py", "deltablue"),
    "mako": Program("benchmark.py", "mako"),
    "sqlglot": Program("benchmark.py", "sqlglot_v2", "normalize"),
}
PARTS = ["programs", "attached", "threads", "service"]


def main() -> None:
    args = arguments()
    python = args.python or venv(HERE)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        if "programs" in args.part:
            programs(args, python, Path(folder, "capture"))
        if "attached" in args.part:
            attached.measure(python, {name: WORK[name] for name in args.work}, args, Path(folder, "capture"))
        if "threads" in args.part:
            threads.measure(python, Path(folder), min(args.rounds, 4))
    if "service" in args.part:
        service.measure(args.turns)
    progress(f"all in {time.monotonic() - began:.0f} s\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-p", "--part", action="append", choices=PARTS, help="only this one; repeatable")
    parser.add_argument("-w", "--work", action="append", choices=WORK, help="only this one; repeatable")
    parser.add_argument("-n", "--rounds", type=int, default=6, help="slow arms take part in half of them")
    parser.add_argument("--seconds", type=float, default=0.25, help="of processor time, for none, per trial")
    parser.add_argument("--turns", type=int, default=8, help="turns of the service, four windows each")
    parser.add_argument("--without-objects", action="store_true", help="without Python's own allocators")
    parser.add_argument("--python", type=Path, help="with what requirements.txt lists; bench/record/.venv")
    args = parser.parse_args()
    args.part = args.part or PARTS
    args.work = args.work or list(WORK)
    return args


def programs(args: argparse.Namespace, python: Path, capture: Path) -> None:
    arms = ARMS + ([] if args.without_objects else OBJECT_ARMS)
    tables.title_of_programs(arms)
    all_trials: dict[str, Trials] = {}
    captures: dict[str, tables.Counted] = {}
    for name in args.work:
        loops = calibrated(python, WORK[name], args.seconds)
        trials: Trials = {arm.name: [] for arm in arms}
        dice = random.Random(1)
        for round_ in range(args.rounds):
            for arm in dice.sample(arms, len(arms)):
                if arm.slow and round_ % 2:
                    continue
                progress(f"{name}, round {round_ + 1} of {args.rounds}, {arm.name}")
                capture.unlink(missing_ok=True)
                trials[arm.name].append((round_, trial(arm, python, WORK[name], loops, capture)))
                if arm is EXACT and name not in captures:
                    captures[name] = tables.counted(capture)
        progress("")
        tables.show_program(name, arms, trials)
        all_trials[name] = trials
    tables.show_claims(all_trials)
    tables.show_recorder(all_trials, captures)


def progress(note: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{note}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
