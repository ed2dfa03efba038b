"""The demo's service on uvicorn after bursts of reports: nothing is asked of it any more."""

import server

with server.uvicorn() as service:
    server.load(service.url, threads=8, queries=60)
    server.stage.ready(service.pid)
    server.stage.hold()
