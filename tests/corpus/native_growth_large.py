"""A C library forgets to free its large buffers, each a map of its own."""

import stage

libc = stage.c_library()


def leak():
    libc.memset(libc.malloc(600_000), 1, 600_000)


stage.ready()
stage.every(0.1, leak)
