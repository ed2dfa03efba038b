"""The demo's service on gunicorn, loaded before the fork, freshly started and idle."""

import server

with server.gunicorn("--preload", workers=2, threads=4) as service:
    server.stage.ready(service.pid)
    server.stage.hold()
