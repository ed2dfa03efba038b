"""Bursts in eight threads, each in an arena of its own: what is kept lies between what is not."""

import stage

kept = {}


def burst(number):
    kept[number] = stage.keep_some(2000, 8000, 100)


stage.in_threads(8, burst)
stage.ready()
stage.hold()
stage.leave()
