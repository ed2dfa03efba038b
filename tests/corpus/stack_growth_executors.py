"""Makes an executor per request and shuts none down."""

import concurrent.futures

import stage
from stack_growth_threads import descend

executors = []


def request():
    executor = concurrent.futures.ThreadPoolExecutor()
    executor.submit(descend, 150).result()
    executors.append(executor)


def serve():
    for _ in range(6):
        request()


stage.ready()
stage.every(0.1, serve)
stage.leave()
