"""The demo's service on a real server, for the services of the corpus that need one."""

import collections
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import stage

DEMO = pathlib.Path(__file__).resolve().parents[2] / "demo"
PROGRAMS = pathlib.Path(sys.executable).parent
START_SECONDS = 30
# Less than the demo's data, so that it is up in a moment.
SETTINGS = {"TELEMETRY_BACKLOG": "2048", "TELEMETRY_DEVICES": "160"}


Service = collections.namedtuple("Service", "pid url")


@contextlib.contextmanager
def gunicorn(*options, workers, threads):
    """Runs it on gunicorn."""
    command = ["gunicorn", "--no-control-socket", "--workers", workers, "--threads", threads, *options]
    with _running([*command, "--bind", "127.0.0.1:0", "telemetry.app:app"]) as service:
        yield service


@contextlib.contextmanager
def uvicorn():
    """Runs it on uvicorn, in one process."""
    with _running(["uvicorn", "--port", "0", "telemetry.asgi:app"]) as service:
        yield service


def load(url, threads, queries):
    """Loads it with a round of the demo's requests."""
    command = [sys.executable, DEMO / "load.py", "--quiet", "--url", url, "--rounds", "1", "--batches", "20"]
    command += ["--devices", SETTINGS["TELEMETRY_DEVICES"], "--threads", threads, "--queries", queries]
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def _running(command):
    command[0] = PROGRAMS / command[0]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=DEMO,
            env={**os.environ, **SETTINGS},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            service = Service(process.pid, _address(process, log))
            for _ in range(20):  # enough for each worker to have answered once
                urllib.request.urlopen(service.url + "/health", timeout=START_SECONDS).close()
            yield service
        finally:
            process.terminate()
            process.wait()


def _address(process, log):
    """Waits until the server has said where it listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        said = os.pread(log.fileno(), 1 << 16, 0).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        if found:
            return found[0]
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server does not start: " + said)
        stage.ends_within(0.05)
