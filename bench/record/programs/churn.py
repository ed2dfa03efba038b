"""So many threads share a million allocations and as many frees, outside the interpreter's lock:
churn.py LIBRARY THREADS."""

import ctypes
import sys

from timed import measure, together

N_PAIRS = 1_000_000


def main():
    library, n_threads = ctypes.CDLL(sys.argv[1]), int(sys.argv[2])
    share = ctypes.c_long(N_PAIRS // n_threads)

    def run(loops):
        for _ in range(loops):
            together(n_threads, lambda: library.churn(share))

    measure(run)


main()
