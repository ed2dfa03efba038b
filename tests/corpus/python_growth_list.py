"""Appends to a history that nobody reads."""

import stage

history = []


def work():
    for number in range(2500):
        history.append({"number": number, "name": "event %d" % len(history)})


stage.ready()
stage.every(0.1, work)
