"""A stand-in on a real socket for the whole session; each test has a key, and so dials and a log, of its own."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
import pytest
from standin_requests import FAST, Log, Turn

from patterns.standin.dials import Dials
from patterns.standin.server import Server, serve_in_thread

NO_TLS = False  # plain HTTP: loading certificates would take 20 ms a client


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    running = serve_in_thread(dials=Dials(time_to_first_token=0, tokens_per_second=1e6))
    yield running
    running.stop()


@pytest.fixture
def key() -> str:
    return f"standin-{uuid.uuid4()}"


@pytest.fixture
def http(server: Server, key: str) -> Iterator[httpx2.Client]:
    """For where bytes, headers or bodies that no SDK would send matter."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=server.base_url, headers=headers, timeout=30, verify=NO_TLS) as client:
        yield client


@pytest.fixture
def client(server: Server, key: str) -> Iterator[openai.OpenAI]:
    inner = openai.DefaultHttpxClient(verify=NO_TLS)
    with openai.OpenAI(base_url=server.base_url, api_key=key, max_retries=0, timeout=30, http_client=inner) as client:
        yield client


@pytest.fixture
async def aclient(server: Server, key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    inner = openai.DefaultAsyncHttpxClient(verify=NO_TLS)
    async with openai.AsyncOpenAI(
        base_url=server.base_url, api_key=key, max_retries=0, timeout=30, http_client=inner
    ) as client:
        yield client


@pytest.fixture
def turn(server: Server, http: httpx2.Client) -> Turn:
    """Turn this test's dials: `turn(rate_limited=0.5)`. What is not named is at rest, except that speed stays high."""

    def put(**dials: Any) -> None:
        http.put(server.base_url.replace("/v1", "/standin/dials"), json=FAST | dials).raise_for_status()

    return put


@pytest.fixture
def log(server: Server, http: httpx2.Client) -> Log:
    """The provider's log of this test's key, oldest first, once nothing runs any more (or after a second).

    A client may have read the last byte a moment before the provider has written down that it was the last.
    """

    def read() -> list[dict[str, Any]]:
        until = time.monotonic() + 1
        while True:
            entries = http.get(server.base_url.replace("/v1", "/standin/log")).raise_for_status().json()["data"]
            if not any(entry["ended"] == "running" for entry in entries) or time.monotonic() > until:
                return entries
            time.sleep(0.005)

    return read
