"""What threads wait for: a million allocations and frees, by one thread or shared by eight."""

from __future__ import annotations

import math
import random
import statistics
import subprocess
from pathlib import Path

from arms import EXACT, MEMRAY, NONE
from trial import PROGRAMS, Program, trial

from bench import row, title, verdict

N_EVENTS = 2_000_000
THREADS = (1, 8)
LEAST_AGAINST_MEMRAY = 2.0


def measure(python: Path, folder: Path, n_rounds: int) -> None:
    library = folder / "churn.so"
    source = PROGRAMS / "churn.c"
    # Otherwise the compiler sees that nobody looks at the blocks, and leaves them out.
    flags = ["-O2", "-fno-builtin", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-o", library, source], check=True)
    arms = [NONE, EXACT, MEMRAY]
    jobs = [(arm, n_threads) for arm in arms for n_threads in THREADS]
    seconds = {job: [] for job in jobs}
    n_degraded = 0
    dice = random.Random(1)
    for _ in range(n_rounds):
        for arm, n_threads in dice.sample(jobs, len(jobs)):
            program = Program("churn.py", str(library), str(n_threads))
            done = trial(arm, python, program, 1, folder / "threads")
            if done.degraded:
                n_degraded += 1
            else:
                seconds[arm, n_threads].append(done.wall_seconds)
    title(
        "Threads that do nothing but allocate",
        "recorded",
        *(f">million events/s, {n_threads} thread{'s' * (n_threads > 1)}" for n_threads in THREADS),
        ">ratio",
        f"at least {LEAST_AGAINST_MEMRAY:g} times memray's",
    )
    rates = {
        job: N_EVENTS / statistics.median(values) / 1e6 if values else 0.0 for job, values in seconds.items()
    }
    kept = {arm: rates[arm, THREADS[1]] / (rates[arm, THREADS[0]] or math.inf) for arm in arms}
    for arm in arms:
        holds = verdict(kept[EXACT] >= LEAST_AGAINST_MEMRAY * kept[MEMRAY]) if arm is EXACT else ""
        row(arm.name, *(f"{rates[arm, n]:.2f}" for n in THREADS), f"{kept[arm]:.2f}", holds)
    if n_degraded:
        print(f"\n{n_degraded} exact runs are left out: events came too fast, and it went on with samples.")
