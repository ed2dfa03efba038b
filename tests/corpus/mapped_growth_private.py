"""Private anonymous maps outside any allocator, as a just-in-time compiler makes them."""

import mmap

import stage

SIZE = 150 * mmap.PAGESIZE
maps = []


def grow():
    area = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(b"x" * SIZE)
    maps.append(area)


stage.ready()
stage.every(0.1, grow)
