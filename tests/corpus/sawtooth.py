"""Looks like a leak while it climbs: batches pile up and are flushed again and again."""

import stage

batches = []


def collect():
    if len(batches) >= 15:
        batches.clear()
    batches.append(bytearray(2 * stage.MB))


stage.ready()
stage.every(0.1, collect)
