"""The service's answers, free of any server's calling convention.

| request | answer |
| --- | --- |
| `GET /health` | `ok` |
| `POST /ingest` | a batch of readings; how many were accepted, which devices are unknown |
| `GET /devices/NAME/history?limit=N` | the newest readings of one device |
| `GET /fleet` | totals of every device |
| `GET /report/GROUP.html` | the group's window as a page with charts |
| `GET /report/GROUP.csv` | its newest readings, gzip-compressed |
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple
from urllib.parse import parse_qs

from . import backlog, report
from .batch import METRICS, BadBatch, parse
from .fleet import GROUPS, Fleet

MAX_BODY_BYTES = 16 << 20


class Response(NamedTuple):
    """What goes back to the client."""

    status: int
    content_type: str
    body: list[bytes]
    encoding: str | None = None


REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}


class Api:
    """Routes requests to the fleet."""

    def __init__(self, fleet: Fleet | None = None) -> None:
        if fleet is None:
            fleet = Fleet(int(os.environ.get("TELEMETRY_DEVICES", "200")))
            fleet.restore(backlog.readings)
        self.fleet = fleet

    def answer(self, method: str, path: str, query: str, body: bytes) -> Response:
        parts = [part for part in path.split("/") if part]
        if parts == ["ingest"]:
            return self._ingest(body) if method == "POST" else _error(405, "use POST")
        if method != "GET":
            return _error(405, "use GET")
        if parts == ["health"]:
            return Response(200, "text/plain", [b"ok\n"])
        if parts == ["fleet"]:
            return _json({name: self._totals(name) for name in self.fleet.devices})
        if len(parts) == 3 and parts[0] == "devices" and parts[2] == "history":
            return self._history(parts[1], parse_qs(query))
        if len(parts) == 2 and parts[0] == "report":
            return self._report(*parts[1].rpartition(".")[::2])
        return _error(404, f"nothing at {path}")

    def _ingest(self, body: bytes) -> Response:
        try:
            readings = parse(body)
        except BadBatch as error:
            return _error(400, str(error))
        unknown = self.fleet.ingest(readings)
        refused = sum(reading.device in unknown for reading in readings) if unknown else 0
        return _json({"accepted": len(readings) - refused, "unknown": unknown})

    def _history(self, name: str, query: dict[str, list[str]]) -> Response:
        device = self.fleet.devices.get(name)
        if device is None:
            return _error(404, f"no device {name}")
        limit = query.get("limit", ["1000"])[0]
        if not limit.isdecimal():
            return _error(400, "limit is a number")
        points = [dict(zip(("time", *METRICS), row)) for row in device.newest(int(limit))]
        return _json({"device": name, "points": points, "totals": self._totals(name)})

    def _report(self, group: str, form: str) -> Response:
        if group not in GROUPS:
            return _error(404, f"no group {group}; there are {', '.join(GROUPS)}")
        devices = self.fleet.group(group)
        if form == "html":
            return Response(200, "text/html", report.as_html(f"All {group}s", devices))
        if form == "csv":
            return Response(200, "text/csv", [report.as_csv(devices)], "gzip")
        return _error(404, f"no format {form}; there are html and csv")

    def _totals(self, name: str) -> dict[str, dict[str, float | int]]:
        return {metric: totals.as_json() for metric, totals in self.fleet.devices[name].totals.items()}


def _json(document: object) -> Response:
    return Response(200, "application/json", [json.dumps(document).encode()])


def _error(status: int, message: str) -> Response:
    return Response(status, "application/json", [json.dumps({"error": message}).encode()])
