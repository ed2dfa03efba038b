"""What every service of the corpus does besides its own behaviour: say that it is ready, and end."""

import os
import select
import sys

PAGE = 4096
MB = 1_000_000


def ready(pid=None):
    """Says that the state the service is about is in place, and which process to look at if not this one."""
    os.write(1, b"ready\n" if pid is None else b"ready %d\n" % pid)


def ends_within(seconds):
    """Waits that long; true when standard input was closed meanwhile."""
    readable, _, _ = select.select([0], [], [], seconds)
    return bool(readable) and not os.read(0, 4096)


def hold():
    """Does nothing until standard input is closed."""
    while not ends_within(3600):
        pass


def every(seconds, step):
    """Takes a step again and again, with a pause after each, until standard input is closed."""
    while True:
        step()
        if ends_within(seconds):
            return


def leave():
    """Ends at once: threads that wait for ever must not keep the process."""
    sys.stdout.flush()
    os._exit(0)


def c_library(name=None):
    """A C library by way of ctypes, by default what the program itself is linked to."""
    import ctypes

    libc = ctypes.CDLL(name)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.restype = None
    libc.free.argtypes = [ctypes.c_void_p]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    return libc


def keep_some(count, size, one_in):
    """Makes `count` byte strings of `size` bytes and drops all but each `one_in`-th."""
    blocks = [bytes(size) for _ in range(count)]
    return blocks[::one_in]


def in_threads(n_threads, work):
    """Runs `work(number)` in threads that stay alive for ever after; returns when all are done with it."""
    import threading

    done = threading.Barrier(n_threads + 1)
    working = threading.Barrier(n_threads)

    def body(number):
        working.wait()
        work(number)
        done.wait()
        threading.Event().wait()

    for number in range(n_threads):
        threading.Thread(target=body, args=(number,), daemon=True).start()
    done.wait()
