"""The service under ASGI: `uvicorn telemetry.asgi:app`. Answers are made in worker threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .api import MAX_BODY_BYTES, Api, Response

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]

api = Api()


async def app(scope: dict, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = await _body(receive)
    if body is None:
        response = Response(413, "text/plain", [])
    else:
        query = scope["query_string"].decode("latin-1")
        response = await asyncio.to_thread(api.answer, scope["method"], scope["path"], query, body)
    size = sum(map(len, response.body))
    headers = [(b"content-type", response.content_type.encode()), (b"content-length", b"%d" % size)]
    if response.encoding:
        headers.append((b"content-encoding", response.encoding.encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    for piece in response.body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when it is larger than the service takes."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        part = message.get("body", [])
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
