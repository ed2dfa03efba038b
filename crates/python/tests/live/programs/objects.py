# Objects of known sizes, and the interpreter's own statistics of its allocator.
#
# The statistics are true only for the moment at which they are printed, so what follows them, the
# wait for the next command, must not allocate: a bound method that reads into a buffer made before.
import io
import os
import sys

os.dup2(1, 2)  # The statistics come as answers.

try:
    import ctypes

    # Everything is resident from now on, so that resident bytes can be held to the statistics.
    locked = ctypes.CDLL(None).mlockall(3) == 0
    del ctypes
except (ImportError, OSError):
    locked = False

COUNT = 60000
kept = [None] * COUNT


def plant():
    for index in range(COUNT):
        kept[index] = bytes(index % 13 * 37 + 1)


def thin_out():
    for index in range(COUNT):
        if index % 100:
            kept[index] = None


def cycle():
    statistics = sys._debugmallocstats
    wait = io.FileIO(0, closefd=False).readinto
    buffer = bytearray(1)
    ready(int(locked))
    while wait(buffer):
        command = buffer[0]
        if command == 112:  # p
            plant()
        elif command == 116:  # t
            thin_out()
        elif command == 115:  # s
            statistics()


cycle()
