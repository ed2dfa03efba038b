"""Work of five kinds: own.py KIND."""

import json
import sys

from timed import measure, together

DOCUMENT = json.dumps([{"id": i, "name": "x" * (i % 50), "v": [1.5, 2, 3]} for i in range(2000)])


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def recursive():
    """Calls, and no allocation."""
    fib(20)


def parse():
    """Many small objects, few of which reach malloc."""
    json.loads(DOCUMENT)


def blocks():
    """Each line allocates, on a short stack."""
    for i in range(5000):
        bytes(2000 + i % 3000)


def deep(n):
    block = bytes(1000)
    return deep(n - 1) if n else block


def deep_blocks():
    """Each call allocates, 700 deep."""
    deep(700)


def threads():
    """Eight threads allocate by turns."""

    def work():
        for i in range(600):
            bytes(2000 + i % 999)

    together(8, work)


def main():
    sys.setrecursionlimit(3000)
    work = globals()[sys.argv[1]]

    def run(loops):
        for _ in range(loops):
            work()

    measure(run)


main()
