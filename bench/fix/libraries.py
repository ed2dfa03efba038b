"""Where the allocators of the arms are: Debian's, ours, and mimalloc 3 built from its crate."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

FIX = Path(__file__).resolve().parent
REPOSITORY = FIX.parents[1]
CACHE = FIX / ".cache"
DEBIAN = Path("/usr/lib/x86_64-linux-gnu")
MIMALLOC_CRATE = "libmimalloc-sys"
MIMALLOC_CRATE_VERSION = "0.1.49"  # carries mimalloc 3.3.2
MIMALLOC_NAME = "mimalloc 3.3.2"


def slackwater() -> Path:
    """The one that SLACKWATER_LIBRARY names, or the one beside the built binary."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    built = REPOSITORY / target / "release/libslackwater_alloc.so"
    return existing(Path(os.environ.get("SLACKWATER_LIBRARY", built)), "`make build` makes it")


def jemalloc() -> Path:
    return existing(DEBIAN / "libjemalloc.so.2", "apt-get install libjemalloc2")


def tcmalloc() -> Path:
    return existing(DEBIAN / "libtcmalloc_minimal.so.4", "apt-get install libtcmalloc-minimal4")


def mimalloc() -> Path:
    library = CACHE / f"libmimalloc-{MIMALLOC_CRATE_VERSION}.so"
    if not library.exists():
        build_mimalloc(library)
    return library


def build_mimalloc(library: Path) -> None:
    """From the crate's sources, as mimalloc's own build makes its shared library in release mode."""
    project = CACHE / "mimalloc"
    shutil.rmtree(project, ignore_errors=True)
    (project / "src").mkdir(parents=True)
    (project / "src/lib.rs").touch()
    (project / "Cargo.toml").write_text(
        '[workspace]\n[package]\nname = "mimalloc-source"\nversion = "0.0.0"\nedition = "2021"\n'
        f'[dependencies]\n{MIMALLOC_CRATE} = "={MIMALLOC_CRATE_VERSION}"\n'
    )
    vendored = ["cargo", "vendor", "--quiet", "--manifest-path", project / "Cargo.toml", project / "vendor"]
    subprocess.run(vendored, check=True, stdout=subprocess.DEVNULL, cwd=project)
    crate = project / "vendor" / MIMALLOC_CRATE
    source = crate / "c_src/mimalloc/v3"
    flags = ["-O3", "-DNDEBUG", "-DMI_MALLOC_OVERRIDE", "-DMI_SHARED_LIB", "-DMI_SHARED_LIB_EXPORT"]
    flags += ["-fPIC", "-shared", "-fvisibility=hidden", "-ftls-model=initial-exec", "-fno-builtin-malloc"]
    unfinished = library.with_suffix(".part")
    command = ["cc", *flags, f"-I{source}/include", source / "src/static.c", "-o", unfinished, "-lpthread"]
    subprocess.run(command, check=True)
    unfinished.rename(library)


def existing(library: Path, remedy: str) -> Path:
    if not library.exists():
        raise SystemExit(f"error: {library} is not there\nhint: {remedy}")
    return library
