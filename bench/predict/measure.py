#!/usr/bin/env python3
"""What trimmable promises against what `malloc_trim(0)`, called by the target itself, really gives back.

Claim: within 2 % or 2 MiB, for every shape of heap, and again right after a trim.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import SLACKWATER, mb, row, slackwater, target, title, verdict

SHAPES = ("burst", "threads", "sizes", "holes", "threshold", "tops", "objects", "service")
MEGABYTES = 250
LIBRARY = SLACKWATER.with_name("libslackwater_alloc.so")
# Without its governor, which would not leave anything to trim.
OURS = {
    "LD_PRELOAD": str(LIBRARY),
    "PYTHONMALLOC": "malloc",
    "MALLOC_CONF": "dirty_decay_ms:-1",
    "SLACKWATER_GOVERNOR": "off",
}


def main() -> None:
    measure("glibc", {})
    if LIBRARY.exists():
        measure("slackwater", OURS)
    else:
        print(f"\nNot measured: {LIBRARY.name} is not built.")


def measure(allocator: str, environment: dict[str, str]) -> None:
    columns = ("heap", "when", ">RSS", ">predicted", ">released", ">error", "within 2 % or 2 MiB")
    title(f"Predicted against real, {allocator}", *columns)
    for shape in SHAPES:
        with target("shapes.py", shape, MEGABYTES, **environment) as heap:
            for when in ("first", "right after"):
                process = slackwater("diagnose", "--pid", heap.pid, "--only").document["processes"][0]
                predicted, released = process["trimmable_bytes"], int(heap.ask("trim"))
                error = predicted - released
                holds = abs(error) <= max(0.02 * released, 2 << 20)
                numbers = (mb(process["rss_bytes"]), mb(predicted), mb(released), mb(error))
                row(shape, when, *numbers, verdict(holds))


if __name__ == "__main__":
    main()
