"""Threads free all they had, at the ends of their arenas; a high trim threshold keeps those ends."""

import stage


def burst(_number):
    stage.keep_some(2500, 8000, 2500)


stage.in_threads(6, burst)
stage.ready()
stage.hold()
stage.leave()
