"""Reads and checks what a gateway posts."""

from __future__ import annotations

import json
from typing import NamedTuple

METRICS = ("temperature", "pressure", "vibration")


class Reading(NamedTuple):
    """One sample of one device."""

    device: str
    time: float
    values: tuple[float, ...]


class BadBatch(ValueError):
    """The gateway sent something that is not a batch; the message says what."""


def parse(body: bytes) -> list[Reading]:
    """The readings of a batch, oldest first."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadBatch(f"not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("readings"), list):
        raise BadBatch("expected an object with a list of readings")
    readings = [_reading(position, entry) for position, entry in enumerate(document["readings"])]
    readings.sort(key=lambda reading: reading.time)
    return readings


def _reading(position: int, entry: object) -> Reading:
    try:
        values = entry["values"]  # type: ignore[index]
        return Reading(
            str(entry["device"]),  # type: ignore[index]
            float(entry["time"]),  # type: ignore[index]
            tuple(float(values[metric]) for metric in METRICS),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise BadBatch(f"reading {position}: {error!r}") from error
