"""The task service: celery's pre-forked pool, messages and results in a directory.

A task reads records, groups them, and writes them again in two forms.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
from collections import defaultdict
from pathlib import Path

from celery import Celery
from live import Kept

FOLDER = Path(os.environ["TASKS_FOLDER"])
app = Celery("tasks", broker="filesystem://", backend=f"file://{FOLDER}/results")
app.conf.update(
    broker_transport_options={
        "data_folder_in": f"{FOLDER}/messages",
        "data_folder_out": f"{FOLDER}/outbox",
        "control_folder": f"{FOLDER}/control",
        "polling_interval": 0.01,
    },
    worker_prefetch_multiplier=4,
    task_ignore_result=False,
)
kept = Kept(capacity=40)


def records(n_records: int, seed: int) -> list[dict]:
    dice = random.Random(seed)
    return [
        {
            "id": number,
            "owner": f"owner-{dice.randrange(200)}",
            "amount": dice.random() * 100,
            "note": "n" * (number % 60),
        }
        for number in range(n_records)
    ]


def by_owner(made: list[dict]) -> dict[str, list[float]]:
    owners = defaultdict(list)
    for record in made:
        owners[record["owner"]].append(record["amount"])
    return dict(owners)


def summary(owners: dict[str, list[float]]) -> dict[str, list[float]]:
    return {owner: amounts[:20] for owner, amounts in owners.items()}


@app.task(name="export")
def export(n_records: int, seed: int) -> dict:
    made = json.loads(json.dumps(records(n_records, seed)))
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=["id", "owner", "amount", "note"])
    writer.writeheader()
    writer.writerows(made)
    packed = gzip.compress(table.getvalue().encode(), compresslevel=1, mtime=0)
    owners = by_owner(made)
    kept.keep(seed, summary(owners))
    return {"records": len(made), "bytes": len(packed), "owners": len(owners)}


kept.fill_if_asked(lambda seed: summary(by_owner(records(4000, seed))))
