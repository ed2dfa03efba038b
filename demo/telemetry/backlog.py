"""Stands in for the database from which a worker restores its windows when it starts.

The readings of a device follow from its name alone, so all workers start alike.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from .batch import METRICS, Reading

EPOCH = 1_750_000_000.0
INTERVAL_SECONDS = 10.0


def readings(device: str) -> Iterator[Reading]:
    """What the device reported before now: slow drift with noise, oldest first."""
    dice = random.Random(device)
    n_readings = int(os.environ.get("TELEMETRY_BACKLOG", "4096"))
    level = [dice.uniform(30, 70) for _ in METRICS]
    for number in range(n_readings):
        level = [value + dice.random() - 0.5 for value in level]
        yield Reading(device, EPOCH + number * INTERVAL_SECONDS, tuple(level))
