"""What the service keeps: for each device its totals and a window of recent readings.

The window is bounded (`WINDOW_SEGMENTS` packed segments per device), so the live state of a worker
stops growing once every device has reported for a while. So is the cache of drawings: one per device.
"""

from __future__ import annotations

import threading
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from .batch import METRICS, Reading

GROUPS = ("pump", "valve")
COLUMNS = 1 + len(METRICS)
SEGMENT_READINGS = 64
WINDOW_SEGMENTS = 64


class Totals:
    """Running count, minimum, maximum and sum of one metric."""

    __slots__ = ("count", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self.count = 0
        self.minimum = float("inf")
        self.maximum = float("-inf")
        self.total = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        if value < self.minimum:
            self.minimum = value
        if value > self.maximum:
            self.maximum = value

    def as_json(self) -> dict[str, float | int]:
        if not self.count:
            return {"count": 0}
        mean = self.total / self.count
        return {"count": self.count, "min": self.minimum, "max": self.maximum, "mean": mean}


class Device:
    """One device: totals since the start, and the packed window of its recent readings."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.group = name.partition("-")[0]
        self.totals = {metric: Totals() for metric in METRICS}
        self.drawing: tuple[int, str] | None = None  # the report's: reading count it was made at, SVG
        self._open = array("d")
        self._segments: deque[bytes] = deque(maxlen=WINDOW_SEGMENTS)
        self._lock = threading.Lock()

    def add(self, reading: Reading) -> None:
        with self._lock:
            for metric, value in zip(METRICS, reading.values):
                self.totals[metric].add(value)
            self._open.append(reading.time)
            self._open.extend(reading.values)
            if len(self._open) >= SEGMENT_READINGS * COLUMNS:
                self._segments.append(zlib.compress(self._open.tobytes(), 1))
                self._open = array("d")

    def segments(self) -> Iterator[bytes]:
        """The window in the order it arrived, in pieces: doubles, each reading's time and then values."""
        with self._lock:
            packed = [*self._segments]
            unpacked = self._open.tobytes()
        yield from map(zlib.decompress, packed)
        yield unpacked

    def newest(self, n_readings: int) -> list[tuple[float, ...]]:
        """The last readings of the window, oldest first: a time and then its values."""
        with self._lock:
            n_segments = min(len(self._segments), -(-n_readings // SEGMENT_READINGS))
            packed = [self._segments[number] for number in range(-n_segments, 0)]
            unpacked = self._open.tobytes()
        numbers = array("d", b"".join([*map(zlib.decompress, packed), unpacked]))
        rows = [tuple(numbers[start : start + COLUMNS]) for start in range(0, len(numbers), COLUMNS)]
        return rows[-n_readings:] if n_readings else []


class Fleet:
    """The devices in service. A reading of any other device is refused."""

    def __init__(self, n_devices: int) -> None:
        names = (f"{GROUPS[number % len(GROUPS)]}-{number:04}" for number in range(n_devices))
        self.devices = {name: Device(name) for name in names}

    def restore(self, stored: Callable[[str], Iterable[Reading]]) -> None:
        """Fills the windows with what was stored before this worker started."""
        for device in self.devices.values():
            for reading in stored(device.name):
                device.add(reading)

    def ingest(self, readings: list[Reading]) -> list[str]:
        """Adds the readings and returns the names of devices it does not know."""
        unknown = set()
        for reading in readings:
            device = self.devices.get(reading.device)
            if device is None:
                unknown.add(reading.device)
            else:
                device.add(reading)
        return sorted(unknown)

    def group(self, name: str) -> list[Device]:
        return [device for device in self.devices.values() if device.group == name]
