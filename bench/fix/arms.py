"""The arms: what a service is started with, by name. Nothing else differs between them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, NamedTuple

import libraries

RECIPE = "narenas:1,tcache:false,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true"


class Arm(NamedTuple):
    name: str
    what: str
    library: Callable[[], Path] | None
    settings: dict[str, str]

    def environment(self) -> dict[str, str]:
        preload = {"LD_PRELOAD": str(self.library())} if self.library else {}
        return {**preload, **self.settings}


MALLOC = {"PYTHONMALLOC": "malloc"}
LEAN_GLIBC = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "MALLOC_MMAP_THRESHOLD_": "131072",
}

ARMS = [
    Arm("glibc", "as it comes", None, {}),
    Arm("glibc tuned", " ".join(f"{name}={value}" for name, value in LEAN_GLIBC.items()), None, LEAN_GLIBC),
    Arm("jemalloc", "Debian's libjemalloc2, as it comes", libraries.jemalloc, {}),
    Arm("recipe", f"Debian's libjemalloc2, {RECIPE}", libraries.jemalloc, {"MALLOC_CONF": RECIPE}),
    Arm("mimalloc", f"{libraries.MIMALLOC_NAME}, as it comes", libraries.mimalloc, {}),
    Arm("tcmalloc", "Debian's libtcmalloc-minimal4 (gperftools 2.10), as it comes", libraries.tcmalloc, {}),
    Arm(
        "tcmalloc decommit",
        "the same, TCMALLOC_AGGRESSIVE_DECOMMIT=t PYTHONMALLOC=malloc",
        libraries.tcmalloc,
        {"TCMALLOC_AGGRESSIVE_DECOMMIT": "t", **MALLOC},
    ),
    Arm("slackwater", "as `slackwater run` starts it", libraries.slackwater, {}),
    Arm("slackwater again", "the same once more: a difference by chance", libraries.slackwater, {}),
    Arm(
        "slackwater pymalloc",
        "the same with `--pymalloc keep`: Python's own pools",
        libraries.slackwater,
        {"PYTHONMALLOC": "pymalloc"},
    ),
    Arm("slackwater malloc", "the same with `--pymalloc off`: no pools", libraries.slackwater, MALLOC),
]


def named(names: list[str]) -> list[Arm]:
    """The arms of these names; a text with semicolons describes one."""
    known = {arm.name: arm for arm in ARMS}
    return [known[name] if name in known else described(name) for name in names]


def described(text: str) -> Arm:
    """An arm for trying settings: `NAME;PRELOAD;KEY=VALUE;...`, PRELOAD one of ours, jemalloc or a path."""
    name, library, *settings = text.split(";")
    sources = {"ours": libraries.slackwater, "jemalloc": libraries.jemalloc, "": None}
    source = sources[library] if library in sources else (lambda: Path(library))
    return Arm(name, text, source, dict(setting.split("=", 1) for setting in settings))
