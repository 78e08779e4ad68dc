"""The service on a socket: uvicorn, and what it does not do about connections by itself.

uvicorn waits for ever for a request that never comes. Here a connection that has not sent the whole head of a request
within HEAD_SECONDS is closed, and so is one whose head is longer than MAX_HEAD.
"""

import asyncio
import contextlib
import resource
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import CallerError

BACKLOG = 2_048
HEAD_SECONDS = 10.0
MAX_HEAD = 16 * 1024  # bytes: the request line and all headers
KEEP_ALIVE_SECONDS = 15
UNACKNOWLEDGED_MS = 20_000  # a client that has vanished without a word acknowledges nothing
FILES = 8_192  # sockets and files that the process asks for


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with a limit on the head of a request: in time and in size."""

    _head = 0
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._head += len(data)
            if self._waiting is None:
                self._wait()
            if self._head > MAX_HEAD and self._is_head(data):
                self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
                self.transport.close()
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._arrived()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def _is_head(self, data: bytes) -> bool:
        return self._head - len(data) + data.find(b"\r\n\r\n") % (1 << 62) > MAX_HEAD

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _arrived(self) -> None:
        self._head = 0
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


@dataclass(slots=True)
class Running:
    """A server in a thread of this process."""

    url: str
    _server: uvicorn.Server
    _thread: threading.Thread

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)


def listen(host: str, port: int) -> socket.socket:
    """Raises CallerError (`bad_request`) for an address that cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the socket says that it is TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise CallerError(
            f"Port {port} on {host} cannot be used: {error}.", "Choose another with --port.", "bad_request"
        ) from None
    return listener


def url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(app: Any, listener: socket.socket) -> None:
    """Serve until interrupted."""
    ask_for_files()
    with contextlib.suppress(KeyboardInterrupt):  # which comes once more after uvicorn has shut down
        asyncio.run(uvicorn.Server(_config(app)).serve(sockets=[listener]))


def run_in_thread(app: Any) -> Running:
    """Serve on a free port of 127.0.0.1 until `stop`."""
    ask_for_files()
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(_config(app))
    coroutine = server.serve(sockets=[listener])
    thread = threading.Thread(target=asyncio.run, args=(coroutine,), name="service", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.002)
    return Running(url(listener), server, thread)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )


def ask_for_files() -> None:
    """Every connection is an open file, and the limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
