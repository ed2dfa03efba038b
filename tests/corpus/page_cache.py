"""Looks like a leak in a container's figure: a log that is only written. No page of it is resident here."""

import tempfile

import stage

live = [number * 1.5 for number in range(500_000)]
log = tempfile.TemporaryFile()


def write():
    log.write(b"x" * stage.MB)
    log.flush()
    if log.tell() > 150 * stage.MB:
        log.truncate(0)
        log.seek(0)


stage.ready()
stage.every(0.1, write)
