#!/usr/bin/env python3
"""The whole story in one go: a service that kept its memory, what it is, giving it back, and the fix.

Makes a virtual environment beside this file, builds Slackwater, starts the telemetry service on real
gunicorn, loads it, lets it idle, then runs `slackwater diagnose` and `slackwater trim` on it, and
`slackwater record` while it is loaded again. Then starts the same service under `slackwater run` and loads it
again. At last `slackwater lab` compares both by demo/lab.toml, or, with --plan article, the six arms of the
article and ours. Everything it starts is stopped at the end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

DEMO = Path(__file__).resolve().parent
REPOSITORY = DEMO.parent
VENV = DEMO / ".venv"
START_SECONDS = 90
IDLE_SECONDS = 5


class Failed(Exception):
    """A step of the demo did not work; the message says which and why."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--threads", type=int, default=8, help="threads of each worker")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of load")
    parser.add_argument("--server", choices=("gunicorn", "uvicorn"), default="gunicorn")
    parser.add_argument("--without-lab", action="store_true", help="only diagnose, trim, run and record")
    parser.add_argument("--plan", help="only run this plan of demo/, such as article")
    parser.add_argument("--venv-only", action="store_true", help="only make the virtual environment")
    args = parser.parse_args()
    # Ends through the code that stops the service, also where a shell had Ctrl-C ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        make_venv()
        if args.plan:
            experiment(build(), args.plan)
        elif not args.venv_only:
            demo(args)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


def demo(args: argparse.Namespace) -> None:
    slackwater = build()
    with service(args) as (master, url):
        load_and_idle(url, args.rounds)
        show(slackwater, "diagnose", "--pid", str(master))
        predicted = trimmable_bytes(slackwater, master)
        before = resident_bytes(master)
        show(slackwater, "trim", "--pid", str(master))
        after = resident_bytes(master)
        step("the same service, not restarted: is every answer still right?")
        few = ["--quiet", "--rounds", "1", "--batches", "20", "--queries", "40"]
        run([sys.executable, DEMO / "load.py", "--url", url, *few])
        print("  60 of 60")
        who_allocates(slackwater, master, url)

    with service(args, [slackwater, "run", "--"]) as (master, url):
        load_and_idle(url, args.rounds)
        governed = resident_bytes(master)
        show(slackwater, "verify", "--pid", str(master), "--expect", "slackwater")

    step("result: RSS of each process, read from /proc, not from Slackwater")
    table(before, predicted, after)
    kept, fixed = sum(before.values()), sum(governed.values())
    print(f"  {kept / 1e6:.0f} MB idle on glibc, {fixed / 1e6:.0f} MB idle under slackwater run")
    if fixed > kept / 2:
        raise Failed("slackwater run did not halve the idle service")
    if not args.without_lab:
        experiment(slackwater, "lab")


def who_allocates(slackwater: Path, master: int, url: str) -> None:
    """Records the running service, all its workers at once, while it is loaded."""
    (REPOSITORY / "out").mkdir(exist_ok=True)
    capture = os.path.relpath(REPOSITORY / "out/demo.slackwater")
    words = ["record", "--pid", str(master), "--output", capture, "--force"]
    step(f"{shlex.join(['slackwater', *words])}  # while it is loaded, then Ctrl-C")
    recorder = subprocess.Popen([slackwater, *words])
    try:
        run([sys.executable, DEMO / "load.py", "--url", url, "--quiet", "--rounds", "1"])
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
    if recorder.returncode != 0:
        raise Failed(f"slackwater record ended with {recorder.returncode}")
    show(slackwater, "table", "--peak", "--limit", "8", capture)
    page = os.path.relpath(REPOSITORY / "out/demo.html")
    show(slackwater, "flamegraph", "--peak", "--force", "--output", page, capture)


def experiment(slackwater: Path, plan: str) -> None:
    """`slackwater lab run` on a plan of this folder; the page is left in out/."""
    result = REPOSITORY / f"out/{plan}.lab"
    step(f"slackwater lab run demo/{plan}.toml")
    here = {**os.environ, "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}"}
    run([slackwater, "lab", "run", DEMO / f"{plan}.toml", "--output", result, "--force"], env=here)
    print(f"  open {result.relative_to(REPOSITORY)}/report.html")


def load_and_idle(url: str, rounds: int) -> None:
    """Bursts, every answer checked, then time in which memory could come back."""
    step(f"load: {rounds} rounds of bursts, every answer checked")
    run([sys.executable, DEMO / "load.py", "--url", url, "--rounds", str(rounds)])
    step(f"idle for {IDLE_SECONDS} s: no request is being served from here on")
    time.sleep(IDLE_SECONDS)


def make_venv() -> None:
    """A virtual environment with exactly what requirements.txt lists."""
    wanted = (DEMO / "requirements.txt").read_text()
    stamp = VENV / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    step("virtual environment in demo/.venv, packages from PyPI")
    run([sys.executable, "-m", "venv", "--clear", VENV])
    quiet = ["--quiet", "--disable-pip-version-check"]
    run([VENV / "bin/pip", "install", *quiet, "-r", DEMO / "requirements.txt"])
    stamp.write_text(wanted)


def build() -> Path:
    """The binary, with the library beside it: the one that SLACKWATER names, or this repository's."""
    if "SLACKWATER" in os.environ:
        return Path(os.environ["SLACKWATER"]).resolve()
    step("make build")
    run(["make", "--silent", "build"], cwd=REPOSITORY)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return (REPOSITORY / target / "release/slackwater").resolve()


@contextmanager
def service(args: argparse.Namespace, starter: Sequence = ()) -> Iterator[tuple[int, str]]:
    """The running service, as its supervisor's pid and its address; stopped on the way out."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if args.server == "gunicorn":
        command = [VENV / "bin/gunicorn", "--workers", args.workers, "--threads", args.threads]
        command += ["--bind", f"127.0.0.1:{port}", "--no-control-socket", "telemetry.app:app"]
    else:
        command = [VENV / "bin/uvicorn", "--workers", args.workers, "--port", port]
        command += ["--log-level", "warning", "telemetry.asgi:app"]
    command = [str(word) for word in (*starter, *command)]
    names = {str(VENV / "bin" / args.server): args.server, str(next(iter(starter), "")): "slackwater"}
    step(shlex.join([names.get(word, word) for word in command]))
    with tempfile.TemporaryFile() as log:
        # Its own session: Ctrl-C reaches this script, which then stops the service in order.
        server = subprocess.Popen(command, cwd=DEMO, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_up(server, port, args.workers, log)
            yield server.pid, f"http://127.0.0.1:{port}"
        finally:
            stop(server)


def wait_until_up(server: subprocess.Popen, port: int, n_workers: int, log) -> None:
    """Until the service answers and every worker has restored its data."""
    deadline = time.monotonic() + START_SECONDS
    settled = 0
    while settled < 3:
        if server.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            raise Failed(f"the service does not start:\n{log.read().decode(errors='replace')[-2000:]}")
        used = cpu_ticks(server.pid)
        time.sleep(0.5)
        busy = cpu_ticks(server.pid) - used > 5
        settled = settled + 1 if answers(port) and len(tree(server.pid)) > n_workers and not busy else 0


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def stop(server: subprocess.Popen) -> None:
    """Asks the service to end, and makes it end when it does not."""
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)  # whatever is left of its session
    server.wait()


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    below = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            for child in task.read_text().split():
                below += tree(int(child))
    return [pid, *below]


def cpu_ticks(pid: int) -> int:
    """Processor time of the whole service so far."""
    total = 0
    for process in tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def resident_bytes(pid: int) -> dict[int, int]:
    """RSS of every process of the service."""
    sizes = {}
    for process in tree(pid):
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        found = re.search(r"^Rss:\s+(\d+) kB", rollup, re.MULTILINE)
        sizes[process] = int(found[1]) * 1024 if found else 0
    return sizes


def trimmable_bytes(slackwater: Path, pid: int) -> dict[int, int]:
    """What `slackwater diagnose` says that a trim would give back, per process."""
    answer = subprocess.run(
        [slackwater, "diagnose", "--pid", str(pid), "--json"], stdout=subprocess.PIPE, check=False
    )
    # Exit code 1 would be a threshold the user set, and there is none here.
    if answer.returncode != 0:
        raise Failed(f"slackwater diagnose --json ended with {answer.returncode}")
    return {process["pid"]: process["trimmable_bytes"] for process in json.loads(answer.stdout)["processes"]}


def table(before: dict[int, int], predicted: dict[int, int], after: dict[int, int]) -> None:
    titles = "".join(f" {title:>11}" for title in ("before", "predicted", "after", "given back"))
    print(f"  {'pid':>8}{titles} {'error':>9}")
    total = [0, 0, 0]
    for pid in sorted(before):
        row = [before[pid], before[pid] - predicted.get(pid, 0), after.get(pid, 0)]
        total = [sum(pair) for pair in zip(total, row)]
        print_row(str(pid), *row)
    print_row("total", *total)
    print(
        f"\n  {(total[0] - total[2]) / 1e6:.0f} MB given back, {(total[0] - total[1]) / 1e6:.0f} MB predicted"
    )
    if total[0] - total[2] < 100e6:
        raise Failed("the service had little to give back; was the load cut short?")


def print_row(name: str, before: int, predicted: int, after: int) -> None:
    sizes = "".join(f" {size / 1e6:>8.0f} MB" for size in (before, predicted, after, before - after))
    error = f"{100 * (predicted - after) / (before - after):+.1f} %" if before - after > 2 << 20 else ""
    print(f"  {name:>8}{sizes} {error:>9}")


def show(slackwater: Path, *words: str) -> None:
    step(shlex.join(["slackwater", *words]))
    run([slackwater, *words])


def run(command: list, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    sys.stdout.flush()
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, check=False)
    if done.returncode != 0:
        raise Failed(f"{Path(command[0]).name} ended with {done.returncode}")


def step(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"\n{bold}$ {text}{plain}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
