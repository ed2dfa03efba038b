"""Named shared memory, one block per job, never released."""

from multiprocessing import shared_memory

import stage

blocks = []


def job():
    block = shared_memory.SharedMemory(create=True, size=600_000)
    block.buf[:] = b"x" * block.size
    block.unlink()
    blocks.append(block)


stage.ready()
stage.every(0.1, job)
stage.leave()
