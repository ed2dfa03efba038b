#!/usr/bin/env python3
"""How much of RSS stays unexplained, on each CPython found and on a service of 2 GB.

Claim: at most 1 % of RSS or 2 MiB.
"""

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import PYTHON, REPOSITORY, TARGETS, mb, row, slackwater, target, title, verdict

VERSION = (
    "import sys; print('.'.join(map(str, sys.version_info[:3]))) if sys.version_info >= (3, 8) else None"
)


def main() -> None:
    title("Unexplained", "Python", "where", ">RSS", ">unexplained", ">share", "at most 1 % or 2 MiB")
    for name, where, interpreter, script in sorted(interpreters(), key=by_version):
        with target(script, "service", 150, interpreter=interpreter) as heap:
            report(name, where, heap.pid)
    with target("family.py", 4, 2000) as heap:
        report("3.11", f"master and 4 workers, {PYTHON}", heap.pid)


def interpreters():
    """Version, place, command and script of each interpreter: pyenv's, Debian's, those of the fixtures."""
    found = sorted(Path.home().glob(".pyenv/versions/*/bin/python3")) + sorted(
        Path("/usr/bin").glob("python3.[0-9]*")
    )
    for path in found:
        version = ask([path])
        if version and "-config" not in path.name:
            yield version, str(path).replace(str(Path.home()), "~"), [path], "shapes.py"
    for root in sorted((REPOSITORY / "fixtures/.cache").glob("*/complete")):
        root = root.parent
        shutil.copytree(TARGETS, root / "tmp/bench", dirs_exist_ok=True)
        for path in sorted((root / "usr/bin").glob("python3.[0-9]*")):
            command = ["chroot", root, Path("/usr/bin") / path.name]
            version = ask(command)
            if version and path.suffix[1:].isdigit():
                # Where it lies in the root; the folder bench/targets is not in its world.
                yield version, f"Debian {root.name}", command, Path("/tmp/bench/shapes.py")


def by_version(found: tuple) -> tuple:
    return tuple(map(int, found[0].split(".")))


def ask(command: list) -> str:
    answer = subprocess.run([*command, "-c", VERSION], capture_output=True, text=True, check=False)
    return answer.stdout.strip().replace("None", "")


def report(name: str, where: str, pid: int) -> None:
    service = slackwater("diagnose", "--pid", pid).document["service"]
    rss, unexplained = service["rss_bytes"], service["ledger"]["unexplained"]
    holds = unexplained <= max(0.01 * rss, 2 << 20)
    row(name, where, mb(rss), mb(unexplained), f"{100 * unexplained / rss:.2f} %", verdict(holds))


if __name__ == "__main__":
    main()
