"""Renders a group of devices as one document: a page with charts, or lines for a spreadsheet.

Every section is rendered before the first is sent, because the page starts with a table of contents.
That is how templates work everywhere, and why a request for some megabytes holds all of them at once.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import zlib

from .batch import METRICS
from .fleet import Device

HEAD = "<tr><th>time</th>" + "".join(f"<th>{metric}</th>" for metric in METRICS) + "</tr>"
ROW = "<tr><td>%.0f</td>" + "<td>%.3f</td>" * len(METRICS) + "</tr>"
TABLE_READINGS = 50
DRAWN_READINGS = 120
CSV_READINGS = 500


def as_html(title: str, devices: list[Device]) -> list[bytes]:
    """A page in pieces: the contents, then a section per device."""
    sections = [_section(device) for device in devices]
    contents = "".join(
        f"<li><a href='#{name}'>{name}</a> {len(section)} characters</li>"
        for name, section in zip((html.escape(device.name) for device in devices), sections)
    )
    heading = html.escape(title)
    head = f"<!doctype html><meta charset=utf-8><title>{heading}</title><h1>{heading}</h1><ul>{contents}</ul>"
    return [head.encode(), *(section.encode() for section in sections)]


def as_csv(devices: list[Device]) -> bytes:
    """One line per reading, gzip-compressed."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["device", "time", *METRICS])
    for device in devices:
        writer.writerows([device.name, *row] for row in device.newest(CSV_READINGS))
    packer = zlib.compressobj(level=1, wbits=31)
    return packer.compress(out.getvalue().encode()) + packer.flush()


def _section(device: Device) -> str:
    name = html.escape(device.name)
    fragments = [f"<section id='{name}'><h2>{name}</h2>", _drawing(device)]
    for metric, totals in device.totals.items():
        if totals.count:
            fragments.append(f"<p>{metric} {totals.minimum:.2f} to {totals.maximum:.2f}</p>")
    rows = "\n".join(ROW % row for row in device.newest(TABLE_READINGS))
    fragments.append(f"<table>{HEAD}\n{rows}</table>")
    for segment in device.segments():
        # The page's chart draws from these: little-endian doubles, as the device's window holds them.
        fragments.append(f"<data>{base64.b64encode(segment).decode()}</data>")
    fragments.append("</section>\n")
    return "\n".join(fragments)


def _drawing(device: Device) -> str:
    """The newest readings as a small line drawing, kept until the device has reported again."""
    n_readings = device.totals[METRICS[0]].count
    if device.drawing is None or device.drawing[0] != n_readings:
        newest = device.newest(DRAWN_READINGS)
        lines = (
            "<polyline points='%s'/>" % " ".join(f"{x},{row[column]:.1f}" for x, row in enumerate(newest))
            for column in range(1, 1 + len(METRICS))
        )
        device.drawing = (n_readings, f"<svg viewBox='0 0 {DRAWN_READINGS} 100'>{''.join(lines)}</svg>")
    return device.drawing[1]
