"""How every program of this bench is measured: warm first, then on each word from outside. So all arms do the
same, and a recorder can come and go in between.

BENCH_LOOPS says how often the work is done. `auto:SECONDS` finds the count that takes so long.
"""

import json
import os
import sys
import threading
import time


def measure(run):
    """`run(n)` does the work n times."""
    asked = os.environ["BENCH_LOOPS"]
    if asked.startswith("auto:"):
        say(loops=calibrated(run, float(asked[5:])))
        return
    loops = int(asked)
    run(max(1, loops // 3))
    say(pid=os.getpid())
    while sys.stdin.readline():
        wall, cpu = time.perf_counter(), time.process_time()
        run(loops)
        say(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall)


def calibrated(run, seconds):
    run(1)
    loops = 1
    while True:
        before = time.process_time()
        run(loops)
        took = max(time.process_time() - before, 1e-6)
        if took > seconds / 3:
            return max(1, round(loops * seconds / took))
        loops *= 2


def say(**facts):
    print(json.dumps(facts), flush=True)


def together(n_threads, work):
    """Does the work in so many threads at a time."""
    threads = [threading.Thread(target=work) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
