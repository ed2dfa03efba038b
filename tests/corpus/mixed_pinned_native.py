"""Two at once: holes in every page of the heap, and a C library that leaks large buffers."""

import stage

libc = stage.c_library()
kept = stage.keep_some(110_000, 960, 4)


def leak():
    libc.memset(libc.malloc(600_000), 1, 600_000)


stage.ready()
stage.every(0.1, leak)
