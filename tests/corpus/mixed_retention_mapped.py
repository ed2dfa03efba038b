"""Two at once: a burst left slack behind, and maps pile up."""

import mmap

import stage

kept = stage.keep_some(70_000, 2000, 70)
SIZE = 150 * mmap.PAGESIZE
maps = []


def grow():
    area = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(b"x" * SIZE)
    maps.append(area)


stage.ready()
stage.every(0.1, grow)
