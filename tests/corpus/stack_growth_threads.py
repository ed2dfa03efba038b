"""Starts a thread per job; each has worked deep down its stack, and waits for ever."""

import threading

import stage


def descend(depth):
    # Through C at each level: a call from Python to Python takes no stack since 3.11.
    return depth and [*map(descend, [depth - 1])]


def job():
    descend(150)
    threading.Event().wait()


def start():
    for _ in range(6):
        threading.Thread(target=job, daemon=True).start()


if __name__ == "__main__":
    stage.ready()
    stage.every(0.1, start)
    stage.leave()
