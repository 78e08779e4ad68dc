"""A server between `patterns` and the stand-in, on real loopback sockets: it passes on, and keeps what was asked.

with recording(monkeypatch) as asked:          # PATTERNS_STANDIN_URL points to it
    ...
asked.bodies("/chat/completions")              the bodies, byte by byte as they came over the wire
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from patterns import models

PIECE = 4_096
_OF_THE_HOP = ("connection", "keep-alive", "transfer-encoding", "host", "content-length", "date", "server")


@dataclass
class Asked:
    """What came over the wire: path and body of each request, oldest first."""

    requests: list[tuple[str, bytes]] = field(default_factory=list)

    def bodies(self, end: str = "") -> list[bytes]:
        return [body for path, body in self.requests if path.endswith(end)]


@contextmanager
def recording(environment: pytest.MonkeyPatch) -> Iterator[Asked]:
    target, asked = models.provider().base_url, Asked()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(target, asked))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    path = urlsplit(target).path
    environment.setenv("PATTERNS_STANDIN_URL", f"http://127.0.0.1:{server.server_port}{path}")
    try:
        yield asked
    finally:
        environment.delenv("PATTERNS_STANDIN_URL")
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handler(target: str, asked: Asked) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(target)
    assert address.hostname and address.port

    class PassOn(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked.requests.append((self.path, body))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_HOP}
            beyond = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
            try:
                beyond.request(self.command, self.path, body, headers)
                reply = beyond.getresponse()
                self.send_response(reply.status)
                for name, value in reply.getheaders():
                    if name.lower() not in _OF_THE_HOP:
                        self.send_header(name, value)
                self.send_header("connection", "close")
                self.end_headers()
                while piece := reply.read1(PIECE):
                    self.wfile.write(piece)
            except OSError:  # the reader left
                pass
            finally:
                beyond.close()
                self.close_connection = True

        do_GET = do_POST = do_PUT = _pass_on

        def log_message(self, format: str, *args: object) -> None:
            pass

    return PassOn
