"""As much of pyperf as the benchmarks of pyperformance call. Theirs starts a process for each value; here the
one process that is recorded does the work."""

import argparse
import time

from timed import measure

perf_counter = time.perf_counter


def python_implementation():
    return "cpython"


class Runner:
    def __init__(self, **_):
        self.argparser = argparse.ArgumentParser()
        self.metadata = {}

    def parse_args(self):
        return self.argparser.parse_args()

    def bench_func(self, _name, function, *arguments, **_):
        def run(loops):
            for _ in range(loops):
                function(*arguments)

        measure(run)

    def bench_time_func(self, _name, function, *arguments, **_):
        measure(lambda loops: function(loops, *arguments))
