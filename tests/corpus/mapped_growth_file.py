"""Maps one segment file after the other and reads them all."""

import mmap
import tempfile

import stage

SIZE = 600_000 // mmap.PAGESIZE * mmap.PAGESIZE
segments = []


def roll():
    file = tempfile.TemporaryFile()
    file.write(b"x" * SIZE)
    file.flush()
    segment = mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ)
    sum(segment[position] for position in range(0, SIZE, mmap.PAGESIZE))
    segments.append((file, segment))


stage.ready()
stage.every(0.1, roll)
