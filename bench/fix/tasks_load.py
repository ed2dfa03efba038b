#!/usr/bin/env python3
"""Sends celery tasks when they are due, like load.py does requests; the same words in and out.

A request is [second, number of records, seed]. A task is done when its result is in its file, whose
time stamp is what its latency is counted to.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "services"))
from tasks import FOLDER, app

PATIENCE_SECONDS = 60.0


def main() -> None:
    plan = json.load(sys.stdin)
    with app.producer_pool.acquire(block=True) as producer:
        producer.connection.ensure_connection()
        started = time.time() + 0.05
        sent, late = [], []
        for second, n_records, seed in plan["requests"]:
            time.sleep(max(0.0, started + second - time.time()))
            late.append(time.time() - started - second)
            sent.append(app.send_task("export", (n_records, seed), producer=producer).id)
            deliver()
    checksum, latencies, errors, ended = 0, [], [], started
    for (second, n_records, seed), task in zip(plan["requests"], sent):
        file = FOLDER / "results" / f"celery-task-meta-{task}"
        while not done(file):
            if time.time() > started + second + PATIENCE_SECONDS:
                raise SystemExit(f"error: no result of export({n_records}, {seed})")
            time.sleep(0.01)
        said = json.loads(file.read_text())
        if said["status"] != "SUCCESS" or said["result"]["records"] != n_records:
            errors.append(f"export({n_records}, {seed}): {said['status']} {said['result']}")
        checksum = zlib.crc32(json.dumps(said["result"], sort_keys=True).encode(), checksum)
        finished = file.stat().st_mtime
        ended = max(ended, finished)
        latencies.append(finished - started - second)
        os.unlink(file)
    said = {"latencies": latencies, "late": late, "errors": errors, "checksum": checksum}
    json.dump({**said, "seconds": ended - started}, sys.stdout)


def deliver() -> None:
    """Into the workers' folder in one step: they would take a message that is still being written."""
    for message in (FOLDER / "outbox").iterdir():
        message.rename(FOLDER / "messages" / message.name)


def done(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


if __name__ == "__main__":
    main()
