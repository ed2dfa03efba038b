"""The results as Markdown: one table for each service, then the claims."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from catalogue import CATALOGUE
from compare import Ratio, mean_of_rounds, median, ratio, round_value

from bench import mb, row, title, verdict

CPU = mean_of_rounds("cpu_seconds_per_request")
FAULTS = mean_of_rounds("minor_faults_per_request")
P50 = mean_of_rounds("p50_seconds")
P99 = mean_of_rounds("p99_seconds")
FIRST_IDLE = round_value("idle_bytes", 0)
LAST_IDLE = round_value("idle_bytes", -1)
LAST_PSS = round_value("idle_pss_bytes", -1)
OURS = "slackwater"
COLUMNS = (
    "arm",
    ">CPU ms a request",
    ">to glibc",
    ">faults a request",
    ">p50 ms",
    ">p99 ms",
    ">peak",
    ">idle 1",
    ">idle last",
    ">PSS last",
)


def peak(trial: dict) -> float:
    return trial["peak_bytes"]


def show(results: dict) -> None:
    arms = list(results["arms"])
    for service in CATALOGUE:
        of_service: dict[str, list[dict]] = {}
        for trial in results["trials"]:
            if trial["service"] == service.name:
                of_service.setdefault(trial["arm"], []).append(trial)
        if of_service:
            one_service(
                service,
                {arm: of_service[arm] for arm in arms if arm in of_service},
                results["floors"][service.name],
            )
    print()
    for arm in arms:
        print(f"- {arm}: {results['arms'][arm]}")
    for reason in results["void"]:
        print(f"- repeated: {reason}")


def one_service(service, trials: dict, floor: float) -> None:
    n_rounds = len(next(iter(trials.values()))[0]["rounds"])
    n_repetitions = len(next(iter(trials.values())))
    title(f"{service.name}: {service.what}", *COLUMNS)
    base = trials.get("glibc", next(iter(trials.values())))
    for arm, of_arm in trials.items():
        row(
            arm,
            f"{1e3 * median(of_arm, CPU):.2f}",
            shown(ratio(of_arm, base, CPU)),
            f"{median(of_arm, FAULTS):.0f}",
            f"{1e3 * median(of_arm, P50):.1f}",
            f"{1e3 * median(of_arm, P99):.1f}",
            mb(median(of_arm, peak)),
            mb(median(of_arm, FIRST_IDLE)),
            mb(median(of_arm, LAST_IDLE)),
            mb(median(of_arm, LAST_PSS)),
        )
    print(f"\nPer worker; floor {mb(floor)}; medians of {n_repetitions} trials of {n_rounds} rounds.")
    if {OURS, "glibc"} <= trials.keys():
        claims(service.name, trials, floor)


def claims(service: str, trials: dict, floor: float) -> None:
    ours, glibc = trials[OURS], trials["glibc"]
    bursty = service == "bursty"
    idle = median(ours, LAST_IDLE)
    title(f"{service}: claims", "claim", ">measured", ">bound", "holds")
    others = [median(of_arm, LAST_IDLE) for arm, of_arm in trials.items() if not arm.startswith(OURS)]
    bound("idle RSS to the lowest of the others", idle / min(others), 1.05)
    if bursty:
        bound("idle RSS to the floor", idle / floor, 1.25)
        if "recipe" in trials:
            bound("idle RSS to the recipe's", idle / median(trials["recipe"], LAST_IDLE), 0.2)
    bound("CPU to glibc's", ratio(ours, glibc, CPU), 1.0 if bursty else 1.03)
    bound("peak to glibc's", ratio(ours, glibc, peak), 0.6 if bursty else 1.03)
    bound("last idle RSS to the first", median(ours, lambda t: LAST_IDLE(t) / FIRST_IDLE(t)), 1.05)


def bound(claim: str, measured: Ratio | float, most: float) -> None:
    value = measured.median if isinstance(measured, Ratio) else measured
    text = shown(measured) if isinstance(measured, Ratio) else f"{value:.2f}"
    row(claim, text, f"{most:.2f}", verdict(value <= most))


def shown(measured: Ratio) -> str:
    return f"{measured.median:.2f} ({measured.low:.2f} to {measured.high:.2f})"
