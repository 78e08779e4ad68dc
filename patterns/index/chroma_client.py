"""Which Chroma holds the vectors of large tenants: files of this machine, a server, or Chroma Cloud. One setting each.

    (nothing)                files in the folder of the index
    PATTERNS_CHROMA_URL      a server: http://127.0.0.1:8000 is one that `chroma run --path FOLDER --port 8000` started
    PATTERNS_CHROMA_CLOUD=1  Chroma Cloud, with CHROMA_API_KEY; where a key has several, CHROMA_TENANT, CHROMA_DATABASE

Whoever reaches a server that `chroma run` has started can read and delete everything in it: it asks for no password.
Keep it on a private network. What is sent to it, or to Chroma Cloud, are vectors, ids, languages and access tags: never
the text of a document.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import CallerError, ProviderError

URL, CLOUD, KEY = "PATTERNS_CHROMA_URL", "PATTERNS_CHROMA_CLOUD", "CHROMA_API_KEY"
READ_SECONDS, WRITE_SECONDS = 1.0, 60.0  # for one exchange; a batch of vectors takes seconds
KNOCK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where a Chroma listens. `cloud`: it is Chroma Cloud, and the rest is not used."""

    host: str
    port: int
    ssl: bool
    cloud: bool = False

    def __str__(self) -> str:
        return "Chroma Cloud" if self.cloud else f"The Chroma server at {self.host}:{self.port}"


def of_environment() -> Server | None:
    """The server that is set, or None for files. Raises CallerError (`not_set_up`)."""
    url, cloud = os.environ.get(URL, ""), os.environ.get(CLOUD, "") not in ("", "0")
    if cloud and url:
        raise CallerError(f"{URL} and {CLOUD} are both set.", "Unset one of them.", "not_set_up")
    if cloud:
        if not os.environ.get(KEY):
            raise CallerError(f"{CLOUD} is set, and {KEY} is not.", f"Set {KEY} to your key.", "not_set_up")
        return Server("api.trychroma.com", 443, True, cloud=True)
    if not url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 8000)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError
        if parts.username or parts.password or parts.query:
            raise ValueError
    except ValueError:
        raise CallerError(
            f"{URL} is not the address of a Chroma server.", "Write it like http://127.0.0.1:8000.", "not_set_up"
        ) from None
    return Server(parts.hostname, port, parts.scheme == "https")


def connect(server: Server, seconds: float) -> Any:
    """A client whose exchanges take `seconds` at most. Wrap the call in `trouble`."""
    import chromadb
    import httpx
    from chromadb.config import Settings

    _knock(server)
    settings = Settings(anonymized_telemetry=False)
    if server.cloud:
        # 1.5.9 checks that the variable is there, and then sends "None" unless the key is given.
        client: Any = chromadb.CloudClient(api_key=os.environ[KEY], settings=settings)
    else:
        client = chromadb.HttpClient(server.host, server.port, server.ssl, settings=settings)
    # Chroma's client waits for ever and has no setting for it; a service must not.
    client._server._session.timeout = httpx.Timeout(seconds)
    return client


def close(client: Any) -> None:
    """Close a client of `connect`. Its own `close` leaves the connections of both its sessions open."""
    for one in (client, client._admin_client):
        one._server._session.close()
    client.close()


def _knock(server: Server) -> None:
    """Raises OSError or httpx.TransportError. The client's constructor waits for ever where nobody answers."""
    if server.cloud:
        socket.create_connection((server.host, server.port), KNOCK_SECONDS).close()
        return
    import httpx

    host = f"[{server.host}]" if ":" in server.host else server.host
    # trust_env: a proxy of the environment is for the world outside.
    with httpx.Client(timeout=KNOCK_SECONDS, trust_env=False) as http:
        http.get(f"{'https' if server.ssl else 'http'}://{host}:{server.port}/api/v2/heartbeat").raise_for_status()


@contextmanager
def trouble(server: Server) -> Iterator[None]:
    """Turn what Chroma, HTTP and sockets say into one sentence.

    Raises ProviderError (`unreachable`) and CallerError (`wrong_key`).
    """
    try:
        yield
    except (CallerError, ProviderError):
        raise
    except Exception as error:
        import httpx
        from chromadb.errors import AuthorizationError, ChromaAuthError, ChromaError

        if isinstance(error, (AuthorizationError, ChromaAuthError)):
            raise CallerError(
                f"{server} refuses the key.", f"Set {KEY} to one that it accepts.", "wrong_key"
            ) from error
        # chromadb raises a bare Exception for an answer that it cannot read, and ValueError where it cannot connect.
        known = (ChromaError, httpx.HTTPError, OSError, ValueError)
        if not isinstance(error, known) and type(error) is not Exception:
            raise
        said = "it took too long" if isinstance(error, (httpx.TimeoutException, TimeoutError)) else str(error)[:300]
        way = "Try again later" if server.cloud else "Start it again with `chroma run`"
        unset = CLOUD if server.cloud else URL
        raise ProviderError(
            f"{server} does not answer as it should: {said or type(error).__name__}.",
            f"{way}, or unset {unset} to use files on this machine. Then sync once: nothing is embedded again.",
            "unreachable",
            transient=True,
        ) from error
