"""Looks like a leak for two seconds: a cache warms up and is then full for good."""

import stage

cache = {}


def warm():
    for _ in range(4000):
        if len(cache) < 40_000:
            cache[len(cache)] = "entry %d" % len(cache) * 40


stage.ready()
stage.every(0.2, warm)
