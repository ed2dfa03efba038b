"""What the targets share: say ready, obey lines, answer each with one line."""

import ctypes
import os
import re
import sys

libc = ctypes.CDLL(None)


def rss_bytes():
    """Our own RSS, as the page tables have it, read without touching the heap more than needed."""
    with open("/proc/self/smaps_rollup", "rb") as rollup:
        return int(re.search(rb"Rss:\s+(\d+) kB", rollup.read()).group(1)) * 1024


def trim():
    """Calls malloc_trim(0) and says how much RSS fell."""
    before = rss_bytes()
    libc.malloc_trim(0)
    return str(before - rss_bytes())


def obey(**commands):
    """Says ready, then answers each command by what its function returns, until the input ends."""
    commands.setdefault("trim", trim)
    os.write(1, b"ready\n")
    for line in iter(sys.stdin.readline, ""):
        answer = commands[line.strip()]()
        os.write(1, (str(answer) + "\n").encode())
    os._exit(0)
