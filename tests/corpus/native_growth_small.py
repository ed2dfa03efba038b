"""A C library forgets to free its small buffers."""

import stage

libc = stage.c_library()


def leak():
    for _ in range(250):
        libc.memset(libc.malloc(2000), 1, 2000)


stage.ready()
stage.every(0.1, leak)
