"""Trials as Markdown: ratios within a round, claims, and what the recorder took."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Callable, NamedTuple

import arms as known
from arms import Arm
from trial import Trial, Trials

from bench import mb, row, slackwater, title, verdict

MOST_SAMPLED = 1.02
MOST_BYTES_PER_EVENT = 2.0
MOST_MEMORY_BYTES = 16 << 20


class Ratio(NamedTuple):
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self == NEVER_EXACT:
            return "never exact"
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


NEVER_EXACT = Ratio(math.inf, math.inf, math.inf)
"""Of an arm whose every trial had to go on with samples: no claim holds."""


class Counted(NamedTuple):
    """What an exact capture holds."""

    n_events: int
    n_bytes: int
    n_lost: int


def paired(trials: Trials, arm: Arm, measure: Callable[[Trial], float]) -> list[tuple[float, float]]:
    """The arm's values beside none's of the same round; of those that were what they are called."""
    base = {round_: measure(one) for round_, one in trials[known.NONE.name]}
    return [(measure(one), base[round_]) for round_, one in trials[arm.name] if not one.degraded]


def ratio(trials: Trials, arm: Arm) -> Ratio:
    ratios = [value / none for value, none in paired(trials, arm, lambda one: one.cpu_seconds)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else NEVER_EXACT


def overhead(trials: Trials, arm: Arm) -> float:
    return ratio(trials, arm).median - 1


def noise(trials: Trials) -> float:
    """How far none is from itself."""
    again = ratio(trials, known.AGAIN)
    return max(1 - again.low, again.high - 1)


def title_of_programs(arms: list[Arm]) -> None:
    title(
        "Processor time of the program, to none",
        "work",
        ">none",
        *(f">{arm.name}" for arm in arms[1:]),
        ">exact's overhead to memray's",
    )


def show_program(name: str, arms: list[Arm], trials: Trials) -> None:
    none = statistics.median(one.cpu_seconds for _, one in trials[known.NONE.name])
    ours, theirs = overhead(trials, known.EXACT), overhead(trials, known.MEMRAY)
    share = f"{ours / theirs:.2f}" if theirs > noise(trials) else "no overhead of memray's"
    row(name, f"{none * 1000:.0f} ms", *(ratio(trials, arm) for arm in arms[1:]), share)


def show_claims(all_trials: dict[str, Trials]) -> None:
    degraded = [
        f"{sum(one.degraded for _, one in trials)} of {len(trials)} of {work}, {arm}"
        for work, by_arm in all_trials.items()
        for arm, trials in by_arm.items()
        if any(one.degraded for _, one in trials)
    ]
    if degraded:
        print(f"\nLeft out, because events came too fast to be recorded exactly: {'; '.join(degraded)}.")
    title("Claims, of medians", "claim", ">holds for", "missed by", "holds")

    def claim(text: str, holds: Callable[[Trials], bool], names: list[str]) -> None:
        missed = [name for name in names if not holds(all_trials[name])]
        row(text, f"{len(names) - len(missed)} of {len(names)}", ", ".join(missed), verdict(not missed))

    names = list(all_trials)
    for arm in (known.AGAIN, known.SAMPLED):
        mean = statistics.geometric_mean(ratio(all_trials[name], arm).median for name in names)
        claim(
            f"{arm.name} at most {MOST_SAMPLED} of none (mean of all: {mean:.3f})",
            lambda trials, arm=arm: ratio(trials, arm).median <= MOST_SAMPLED,
            names,
        )
    claim(
        "exact at most half of memray's overhead",
        lambda trials: overhead(trials, known.EXACT) <= overhead(trials, known.MEMRAY) / 2,
        names,
    )
    claim(
        "exact --native at most memray's default",
        lambda trials: overhead(trials, known.EXACT_NATIVE) <= overhead(trials, known.MEMRAY),
        names,
    )
    if "recursive" in names:
        claim(
            "exact within the noise of none where nothing is allocated",
            lambda trials: overhead(trials, known.EXACT) <= max(MOST_SAMPLED - 1, noise(trials)),
            ["recursive"],
        )
    if known.EXACT_OBJECTS.name in next(iter(all_trials.values())):
        ours, theirs = known.EXACT_OBJECTS, known.MEMRAY_OBJECTS
        claim(
            "exact with Python's allocators at most half of memray's overhead with them",
            lambda trials: overhead(trials, ours) <= overhead(trials, theirs) / 2,
            names,
        )


def counted(capture: Path) -> Counted:
    document = slackwater("stats", capture).document
    processes = document["processes"]
    n_events = sum(one["n_events"] for one in processes)
    return Counted(n_events, capture.stat().st_size, sum(one["n_lost"] for one in processes))


def show_recorder(all_trials: dict[str, Trials], captures: dict[str, Counted]) -> None:
    title(
        "What the recorder takes beside the program",
        "work",
        ">events, exact",
        ">lost",
        ">bytes an event",
        ">recorder's CPU to the program's, sampled",
        ">exact",
        ">RSS more than none, sampled",
        ">exact",
        ">memray",
        "at most 2 bytes, 16 MiB",
    )
    for name, trials in all_trials.items():
        capture = captures[name]
        per_event = capture.n_bytes / capture.n_events
        memory = [more_rss(trials, arm) for arm in (known.SAMPLED, known.EXACT, known.MEMRAY)]
        row(
            name,
            f"{capture.n_events:,}",
            f"{capture.n_lost:,}",
            f"{per_event:.2f}",
            *(f"{recorder_share(trials, arm):.1%}" for arm in (known.SAMPLED, known.EXACT)),
            *map(mb, memory),
            # The head of a capture, with what the program has mapped, is not of its events.
            verdict(
                (per_event <= MOST_BYTES_PER_EVENT or capture.n_bytes < 100_000)
                and max(memory[:2]) < MOST_MEMORY_BYTES
            ),
        )


def more_rss(trials: Trials, arm: Arm) -> float:
    more = [own - none for own, none in paired(trials, arm, lambda one: one.rss_bytes)]
    return statistics.median(more) if more else math.inf


def recorder_share(trials: Trials, arm: Arm) -> float:
    return statistics.median(one.recorder_share for _, one in trials[arm.name])
