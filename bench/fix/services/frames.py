"""The data service: pandas frames made, joined, grouped and summed up for each answer.

`GET /?n=ROWS&seed=SEED`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl

import numpy
import pandas
from live import Kept

kept = Kept(capacity=24)


def readings(n_rows: int, seed: int) -> pandas.DataFrame:
    dice = numpy.random.default_rng(seed)
    return pandas.DataFrame(
        {
            "device": dice.integers(0, 500, n_rows),
            "second": numpy.arange(n_rows) % 86_400,
            "value": dice.random(n_rows),
            "weight": dice.random(n_rows),
        }
    )


def totals(frame: pandas.DataFrame) -> pandas.DataFrame:
    return frame.groupby("device").agg({"value": ["mean", "max"], "weight": "sum"})


def answer(n_rows: int, seed: int) -> dict:
    frame = readings(n_rows, seed)
    devices = pandas.DataFrame({"device": numpy.arange(500), "site": numpy.arange(500) % 17})
    joined = frame.merge(devices, on="device")
    joined["scaled"] = joined["value"] * joined["weight"]
    hours = joined.assign(hour=joined["second"] // 3600).pivot_table(
        index="hour", columns="site", values="scaled", aggfunc="sum"
    )
    newest = joined.sort_values("second").tail(1000)
    grouped = totals(joined)
    kept.keep(seed, grouped)
    sum_of_hours = float(numpy.nansum(hours.to_numpy()))
    return {"rows": len(joined), "sum": round(sum_of_hours, 6), "newest": int(newest["second"].sum())}


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    asked = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    body = json.dumps(answer(int(asked["n"]), int(asked["seed"]))).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


kept.fill_if_asked(lambda seed: totals(readings(2000, seed)))
