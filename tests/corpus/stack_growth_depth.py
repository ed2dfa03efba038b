"""A recursion that goes deeper with every request, in one thread that never comes back up."""

import threading

import stage

steps = threading.Semaphore(0)


def descend(depth):
    # Through C at each level: a call from Python to Python takes no stack since 3.11.
    return depth and [*map(descend, [depth - 1])]


def dive(depth):
    if depth % 40 == 0:
        steps.acquire()
    return [*map(dive, [depth + 1])]


def worker():
    threading.current_thread()
    dive(1)


if __name__ == "__main__":
    import sys

    sys.setrecursionlimit(1_000_000)
    threading.stack_size(256 << 20)
    threading.Thread(target=worker, daemon=True).start()
    stage.ready()
    stage.every(0.05, lambda: steps.release(8))
    stage.leave()
