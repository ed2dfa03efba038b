"""A benchmark of pyperformance, in this process: benchmark.py NAME [ARGUMENT]..."""

import runpy
import sys
from pathlib import Path

import pyperf  # the one beside this file
import pyperformance

assert Path(pyperf.__file__).resolve().parent == Path(__file__).resolve().parent
# memray has imported it, with the accelerator that one of the benchmarks does without.
sys.modules.pop("pickle", None)
folder = Path(pyperformance.__file__).parent / "data-files/benchmarks" / ("bm_" + sys.argv[1])
sys.argv[:2] = [str(folder / "run_benchmark.py")]
sys.path.append(str(folder))
runpy.run_path(sys.argv[0], run_name="__main__")
