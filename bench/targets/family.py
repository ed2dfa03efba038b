"""A master and forked workers that share some memory and hold more each: `family.py WORKERS MEGABYTES`."""

import os
import sys

import control
import shapes

n_workers, size = int(sys.argv[1]), int(float(sys.argv[2]) * 1e6)
shapes.pools(size // 20)
report, done = os.pipe()
alive, until = os.pipe()
for _ in range(n_workers):
    if os.fork() == 0:
        os.close(until)
        shapes.service(size // n_workers)
        os.write(done, b".")
        os.read(alive, 1)
        os._exit(0)
for _ in range(n_workers):
    os.read(report, 1)
control.obey()
