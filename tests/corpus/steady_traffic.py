"""A threading HTTP server that answers its own client: every request is freed when it is answered."""

import http.client
import http.server
import json
import threading

import stage


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps([{"number": number, "name": "row %d" % number} for number in range(200)]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()


def ask():
    for _ in range(5):
        client = http.client.HTTPConnection(*server.server_address)
        client.request("GET", "/")
        json.loads(client.getresponse().read())
        client.close()


for _ in range(20):
    ask()
stage.ready()
stage.every(0.1, ask)
stage.leave()
