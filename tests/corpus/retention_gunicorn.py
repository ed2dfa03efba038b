"""The demo's service on gunicorn after bursts of reports: nothing is asked of it any more."""

import server

with server.gunicorn(workers=2, threads=6) as service:
    server.load(service.url, threads=12, queries=60)
    server.stage.ready(service.pid)
    server.stage.hold()
