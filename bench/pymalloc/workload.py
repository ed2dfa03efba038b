"""The work whose cost is compared: `small` (objects by the million, one thread) or `burst` (16 threads).

Does it, says what processor time it took, then idles until its input ends.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fix/services"))
import bursty

THREADS, ROUNDS = 16, 3


def small(rounds: int) -> None:
    """Records parsed, grouped and written again; one in a hundred is kept."""
    for number in range(rounds):
        records = [
            {"id": index, "key": f"{number}-{index}", "pair": (index, index * 0.5), "tags": ["a", str(index)]}
            for index in range(4000)
        ]
        groups = {}
        for record in json.loads(json.dumps(records)):
            groups.setdefault(record["id"] % 97, []).append((record["key"], tuple(record["pair"])))
        lines = [" ".join(key for key, _ in group).split() for group in groups.values()]
        assert sum(map(len, lines)) == len(records)
        kept.extend(records[::100])
        del kept[:-4000]


def burst(rounds: int) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(rounds):
            list(
                pool.map(lambda seed: bursty.answer(3000, seed), range(number * 100, number * 100 + THREADS))
            )


kept = []
work = {"small": small, "burst": burst}[sys.argv[1]]
n_rounds = {"small": 40, "burst": ROUNDS}[sys.argv[1]]
work(1)
before = time.process_time()
work(n_rounds)
print(time.process_time() - before, flush=True)
sys.stdin.read()
