"""Makes fresh slack on every `fill`: `slack.py SHAPE MEGABYTES`."""

import sys

import control
import shapes


def fill():
    getattr(shapes, sys.argv[1])(int(float(sys.argv[2]) * 1e6))
    return "filled"


if __name__ == "__main__":
    control.obey(fill=fill)
