"""Numbers out of trials: medians, ratios within a repetition, and how sure they are."""

from __future__ import annotations

import random
import statistics
from typing import Callable, NamedTuple

Measure = Callable[[dict], float]


class Ratio(NamedTuple):
    median: float
    low: float
    high: float


def round_value(key: str, number: int) -> Measure:
    return lambda trial: trial["rounds"][number][key]


def mean_of_rounds(key: str) -> Measure:
    return lambda trial: statistics.fmean(round_[key] for round_ in trial["rounds"])


def median(trials: list[dict], measure: Measure) -> float:
    return statistics.median(measure(trial) for trial in trials)


def ratio(trials: list[dict], base: list[dict], measure: Measure) -> Ratio:
    """Of trials to those of the base in the same repetition: the median, and its 95 % bootstrap interval."""
    bases = {trial["repetition"]: measure(trial) for trial in base}
    pairs = [(measure(trial), bases.get(trial["repetition"])) for trial in trials]
    return interval([value / base for value, base in pairs if base])


def interval(ratios: list[float]) -> Ratio:
    """The median and its 95 % bootstrap interval; the same numbers give the same interval."""
    dice = random.Random(1)
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(2000))
    return Ratio(statistics.median(ratios), medians[50], medians[1949])


def check_answers(trials: list[dict]) -> None:
    """Every arm must have given the same answers: an allocator that breaks the service is fast."""
    for service in {trial["service"] for trial in trials}:
        said = {
            tuple(round_["checksum"] for round_ in trial["rounds"])
            for trial in trials
            if trial["service"] == service
        }
        if len(said) != 1:
            raise SystemExit(f"error: the arms did not give the same answers on {service}")
