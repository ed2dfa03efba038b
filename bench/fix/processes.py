"""What the kernel says of a service's processes, from outside; only files of /proc are read."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Cost(NamedTuple):
    """What processes have used since they began."""

    cpu_seconds: float
    minor_faults: int

    def since(self, before: Cost) -> Cost:
        return Cost(self.cpu_seconds - before.cpu_seconds, self.minor_faults - before.minor_faults)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def workers(master: int) -> list[int]:
    """The processes that answer: the leaves below the master that run the service's code."""
    below = [pid for pid in tree(master) if pid != master]
    return [pid for pid in below if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def cost(pids: list[int]) -> Cost:
    seconds, faults = 0.0, 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / TICKS
        faults += int(fields[7])
    return Cost(seconds, faults)


def rss_bytes(pid: int) -> int:
    """Cheap, and up to some hundred kilobytes behind: for many samples."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def peak_bytes(pid: int) -> int:
    """The kernel's own high-water mark, which no sampling misses."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


def exact_bytes(pid: int) -> tuple[int, int]:
    """RSS and PSS from the page tables; it walks them all, so only while the service is idle."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (int(re.search(rf"^{name}:\s+(\d+) kB", rollup, re.MULTILINE)[1]) for name in ("Rss", "Pss"))
    return rss * 1024, pss * 1024


class Sampler:
    """The summed RSS of processes, twenty times a second."""

    PERIOD_SECONDS = 0.05

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.samples: list[tuple[float, int]] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._sample)
        self.started = time.monotonic()

    def _sample(self) -> None:
        # A process that is gone ends the samples; the trial is void then, which its runner finds.
        with suppress(FileNotFoundError, ProcessLookupError):
            while not self.stopped.wait(self.PERIOD_SECONDS):
                self.samples.append((round(self.now(), 3), sum(rss_bytes(pid) for pid in self.pids)))

    def __enter__(self) -> Sampler:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()

    def now(self) -> float:
        return time.monotonic() - self.started

    def within(self, first: float, last: float) -> list[int]:
        return [size for second, size in self.samples if first <= second <= last]
