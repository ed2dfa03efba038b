#!/usr/bin/env python3
"""What trimmable promises against what `malloc_trim(0)`, called by the target itself, really gives back.

Claim: within 2 % or 2 MiB, for every shape of heap, and again right after a trim.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import mb, row, slackwater, target, title, verdict

SHAPES = ("burst", "threads", "sizes", "holes", "threshold", "tops", "objects", "service")
MEGABYTES = 250


def main() -> None:
    columns = ("heap", "when", ">RSS", ">predicted", ">released", ">error", "within 2 % or 2 MiB")
    title("Predicted against real", *columns)
    for shape in SHAPES:
        with target("shapes.py", shape, MEGABYTES) as heap:
            for when in ("first", "right after"):
                process = slackwater("diagnose", "--pid", heap.pid, "--only").document["processes"][0]
                predicted, released = process["trimmable_bytes"], int(heap.ask("trim"))
                error = predicted - released
                holds = abs(error) <= max(0.02 * released, 2 << 20)
                numbers = (mb(process["rss_bytes"]), mb(predicted), mb(released), mb(error))
                row(shape, when, *numbers, verdict(holds))


if __name__ == "__main__":
    main()
