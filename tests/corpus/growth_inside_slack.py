"""Grows into memory that an earlier burst left free: RSS stands still, the live heap does not."""

import stage

kept = stage.keep_some(70_000, 2000, 70)
history = []


def work():
    history.extend(bytes(1900) for _ in range(250))


stage.ready()
stage.every(0.1, work)
