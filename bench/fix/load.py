#!/usr/bin/env python3
"""Sends HTTP requests when they are due, whatever became of those before (an open model).

Reads one JSON object from standard input: `port`, and `requests`, a list of [second, path, body or null].
Writes one: a latency for each, counted from when it was due and not from when it could be sent; how late
sending began; the errors; and a checksum over all answers in the order of the requests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib

PATIENCE_SECONDS = 60.0


async def main() -> None:
    plan = json.load(sys.stdin)
    loop = asyncio.get_running_loop()
    started = loop.time() + 0.05
    answers = await asyncio.gather(
        *(one(plan["port"], started + second, path, body) for second, path, body in plan["requests"])
    )
    checksum, latencies, late, errors = 0, [], [], []
    for body, latency, lateness, error in answers:
        checksum = zlib.crc32(body, checksum)
        latencies.append(latency)
        late.append(lateness)
        if error:
            errors.append(error)
    said = {"latencies": latencies, "late": late, "errors": errors, "checksum": checksum}
    json.dump({**said, "seconds": loop.time() - started}, sys.stdout)


async def one(port: int, due: float, path: str, body: str | None) -> tuple[bytes, float, float, str]:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(due - loop.time())
    lateness = loop.time() - due
    try:
        answer = await asyncio.wait_for(exchange(port, path, body), PATIENCE_SECONDS)
        error = ""
    except (OSError, ValueError, asyncio.TimeoutError) as reason:
        answer, error = b"", f"{path}: {type(reason).__name__}: {reason}"
    return answer, loop.time() - due, lateness, error


async def exchange(port: int, path: str, body: str | None) -> bytes:
    """A connection of its own, so that every worker gets its share."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        payload = (body or "").encode()
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        writer.write(head.encode() + payload)
        answer = await reader.read()
        while chunk := await reader.read(1 << 20):
            answer += chunk
    finally:
        writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise ValueError(f"answered with {head[:60]!r}")
    return content


if __name__ == "__main__":
    asyncio.run(main())
