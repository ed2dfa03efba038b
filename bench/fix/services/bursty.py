"""The bursty service: reports built from large structures, by many threads at once.

`GET /?n=ROWS&seed=SEED` makes rows, writes them as JSON, reads them back, renders an attachment of
blocks of every size, and answers with a checksum of it all. A summary of each answer is kept.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl

from live import Kept

WORDS = ("pump", "valve", "meter", "relay", "gauge", "motor", "panel", "probe")
kept = Kept(capacity=20)


def rows(n_rows: int, dice: random.Random) -> list[dict]:
    return [
        {
            "id": number,
            "name": f"{WORDS[number % 8]}-{number:06}",
            "site": {"lat": number * 0.001, "lon": -number * 0.002, "zone": WORDS[number % 5]},
            "values": [number, number * 0.5, dice.random()],
            "note": "x" * (number % 97),
        }
        for number in range(n_rows)
    ]


def attachment(n_rows: int, dice: random.Random) -> list[bytes]:
    """Blocks from hundreds of bytes to hundreds of kilobytes: what rendering and compressing leave."""
    blocks, left = [], n_rows * 7000
    while left > 0:
        size = int(400 * 2 ** (10 * dice.random()))
        blocks.append(bytes([size & 255]) * size)
        left -= size
    return blocks


def summary(made: list[dict], blocks: list[bytes]) -> dict:
    """About 0.4 MB of small and middling objects."""
    return {
        "names": {row["name"]: dict(row["site"]) for row in made[:700]},
        "blocks": [bytes(block[:1500]) for block in blocks[:120]],
    }


def answer(n_rows: int, seed: int) -> dict:
    dice = random.Random(seed)
    made = rows(n_rows, dice)
    text = json.dumps(made)
    body = text.encode()
    back = json.loads(body)
    blocks = attachment(n_rows, dice)
    checksum = zlib.crc32(body)
    for block in blocks:
        checksum = zlib.crc32(block[:64], checksum)
    kept.keep(seed, summary(back, blocks))
    return {"rows": len(back), "checksum": checksum}


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    asked = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    body = json.dumps(answer(int(asked["n"]), int(asked["seed"]))).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def small(key: int) -> dict:
    dice = random.Random(key)
    return summary(rows(700, dice), [b"%d" % n + b"y" * 1500 for n in range(120)])


kept.fill_if_asked(small)
