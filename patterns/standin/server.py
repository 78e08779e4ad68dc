"""The stand-in on a real loopback socket: in a thread of this process, or as a program of its own."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from dataclasses import dataclass

import uvicorn

from .app import StandIn
from .dials import Dials
from .generation import ConnectionCut

BACKLOG = 2048  # connections that may wait to be accepted

_lock = threading.Lock()
_running: "Server | None" = None


class PortInUse(OSError):
    """Somebody else listens there."""


@dataclass(slots=True)
class Server:
    """A running server. `base_url` is what an OpenAI client takes; `standin` holds the dials and logs of all keys."""

    base_url: str
    standin: StandIn
    _uvicorn: uvicorn.Server
    _thread: threading.Thread

    def stop(self) -> None:
        self._uvicorn.should_exit = True
        self._uvicorn.force_exit = True
        self._thread.join(timeout=5)


def start() -> str:
    """Start the process's own stand-in, once, on a free port of 127.0.0.1. Returns its base URL."""
    global _running
    with _lock:
        if _running is None or not _running._thread.is_alive():
            _running = serve_in_thread()
        return _running.base_url


def serve_in_thread(port: int = 0, dials: Dials | None = None) -> Server:
    """Start a further server of its own. Raises PortInUse."""
    listener = listen("127.0.0.1", port)
    standin = StandIn(dials)
    server = uvicorn.Server(_config(standin))
    thread = threading.Thread(target=_run, args=(server, listener), name="standin", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.002)
    return Server(_base_url(listener), standin, server, thread)


def serve(host: str, port: int, dials: Dials | None = None) -> None:
    """Serve until interrupted. Raises PortInUse."""
    listener = listen(host, port)
    keys = "any key that starts with 'standin'"
    print(f"The stand-in listens at {_base_url(listener)} ({keys}). Stop it with Ctrl-C.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # which comes once more after uvicorn has shut down
        _run(uvicorn.Server(_config(StandIn(dials))), listener)


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the socket says that it is TCP; left on, it holds every second
    # small write back for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # before this, a second server could still bind the same port
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else error
        raise PortInUse(
            f"Port {port} on {host} cannot be used ({reason}). "
            "Choose another with --port, or --port 0 for any free one."
        ) from None
    return listener


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _config(standin: StandIn) -> uvicorn.Config:
    return uvicorn.Config(
        standin.asgi,
        lifespan="off",
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        timeout_graceful_shutdown=1,
    )


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    # A cut connection is a dial, not an error of the server: uvicorn closes the socket and logs the exception.
    logging.getLogger("uvicorn.error").addFilter(_not_a_cut)
    # Not `server.run()`, which would choose the loop (uvloop where installed): one loop everywhere, the standard one.
    asyncio.run(server.serve(sockets=[listener]))


def _not_a_cut(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ConnectionCut)
