#!/usr/bin/env python3
"""Instructions of one single-threaded program under each allocator, counted by valgrind.

Unlike processor time they repeat to the last digits, also on a busy machine. They leave out what the
kernel does: page faults and purges, where allocators differ as much. So this says what malloc and free
themselves cost, and nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import PYTHON, REPOSITORY, row, title

LIBRARY = Path(os.environ.get("SLACKWATER_LIBRARY", REPOSITORY / "target/release/libslackwater_alloc.so"))
DEBIAN = Path("/usr/lib/x86_64-linux-gnu")
MALLOC = {"PYTHONMALLOC": "malloc"}
OURS = {"LD_PRELOAD": LIBRARY, "SLACKWATER_GOVERNOR": "off"}

# The first is what the others are compared with. The governor does its work in time, not in instructions.
ARMS = {
    "glibc, pymalloc": {},
    "glibc": MALLOC,
    "slackwater": OURS,
    "slackwater, pymalloc": OURS | {"PYTHONMALLOC": "pymalloc"},
    "slackwater, malloc": OURS | MALLOC,
    "jemalloc 5.3.0": MALLOC | {"LD_PRELOAD": DEBIAN / "libjemalloc.so.2"},
    "mimalloc 2.0": MALLOC | {"LD_PRELOAD": DEBIAN / "libmimalloc.so.2.0"},
    "tcmalloc (gperftools 2.10)": MALLOC | {"LD_PRELOAD": DEBIAN / "libtcmalloc_minimal.so.4"},
}


def main() -> None:
    title(
        "instructions: small objects in one thread; others with PYTHONMALLOC=malloc unless said",
        "allocator",
        ">million instructions",
        ">to the first",
    )
    first = None
    for arm, environment in ARMS.items():
        count = instructions(environment)
        first = first or count
        row(arm, f"{count / 1e6:.1f}", f"{count / first:.2f}")


def instructions(environment: dict) -> int:
    settings = {"PYTHONHASHSEED": "0", **{key: str(value) for key, value in environment.items()}}
    with tempfile.NamedTemporaryFile() as out:
        words = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}"]
        ran = subprocess.run(
            [*words, PYTHON, "-S", Path(__file__).with_name("workload.py")],
            env={**os.environ, **settings},
            stderr=subprocess.PIPE,
            text=True,
        )
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode != 0 or not found:
        raise SystemExit(f"error: valgrind did not count\n{ran.stderr[-500:]}")
    return int(found[1])


if __name__ == "__main__":
    main()
