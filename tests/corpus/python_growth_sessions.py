"""An HTTP server that opens a session for each visitor and closes none."""

import http.client
import http.server
import threading
import uuid

import stage

sessions = {}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = uuid.UUID(int=len(sessions)).hex
        sessions[name] = {
            "visitor": name,
            "seen": [name[:8]] * 100,
            "basket": {n: str(n * 999) for n in range(100)},
        }
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()


def visit():
    for _ in range(20):
        client = http.client.HTTPConnection(*server.server_address)
        client.request("GET", "/")
        client.getresponse().read()
        client.close()


visit()
stage.ready()
stage.every(0.1, visit)
stage.leave()
