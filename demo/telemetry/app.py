"""The service under WSGI: `gunicorn telemetry.app:app`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .api import MAX_BODY_BYTES, REASONS, Api

api = Api()


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if size > MAX_BODY_BYTES:
        start_response("413 Content Too Large", [("Content-Length", "0")])
        return []
    body = environ["wsgi.input"].read(size) if size else b""
    method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    response = api.answer(method, path, query, body)
    size = sum(map(len, response.body))
    headers = [("Content-Type", response.content_type), ("Content-Length", str(size))]
    if response.encoding:
        headers.append(("Content-Encoding", response.encoding))
    start_response(f"{response.status} {REASONS[response.status]}", headers)
    return response.body
