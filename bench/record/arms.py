"""How a program is started to be recorded, by whom, and what runs beside it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench import SLACKWATER


class Arm(NamedTuple):
    """One way to run a program. Those that slow it down have their turn in every second round."""

    name: str
    ours: tuple[str, ...] | None = None
    memray: tuple[str, ...] | None = None
    slow: bool = False

    def command(self, python: Path, capture: Path, program: list[str]) -> list[str]:
        """The whole command."""
        plain = [str(python), *program]
        if self.ours is not None:
            return [str(SLACKWATER), "-q", "record", "-f", "-o", str(capture), *self.ours, "--", *plain]
        if self.memray is not None:
            memray = [str(python), "-m", "memray", "run", "-q", "-f", "-o", str(capture)]
            return [*memray, *self.memray, *program]
        return plain


NONE = Arm("none")
AGAIN = Arm("none again")
SAMPLED = Arm("sampled", ours=())
EXACT = Arm("exact", ours=("--exact",), slow=True)
EXACT_NATIVE = Arm("exact --native", ours=("--exact", "--native"), slow=True)
MEMRAY = Arm("memray", memray=(), slow=True)
MEMRAY_NATIVE = Arm("memray --native", memray=("--native",), slow=True)
EXACT_OBJECTS = Arm("exact, Python's allocators", ours=("--exact", "--python-allocators"), slow=True)
MEMRAY_OBJECTS = Arm("memray, Python's allocators", memray=("--trace-python-allocators",), slow=True)

ARMS = [NONE, AGAIN, SAMPLED, EXACT, EXACT_NATIVE, MEMRAY, MEMRAY_NATIVE]
OBJECT_ARMS = [EXACT_OBJECTS, MEMRAY_OBJECTS]
