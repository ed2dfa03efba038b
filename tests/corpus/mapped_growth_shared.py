"""Shared anonymous maps, as libraries use them to talk to their workers, never unmapped."""

import mmap

import stage

SIZE = 150 * mmap.PAGESIZE
maps = []


def grow():
    area = mmap.mmap(-1, SIZE)
    area.write(b"x" * SIZE)
    maps.append(area)


stage.ready()
stage.every(0.1, grow)
