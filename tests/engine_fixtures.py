"""A test with `engine` runs once an engine. A module that wants these says `pytest_plugins = ["engine_fixtures"]`.

There is one Redis a session, on a free port, in a folder of its own, and it is empty for each test.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from engines import ENGINES, Engine, RedisServer, redis_binary


@pytest.fixture(scope="session")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def redis_server(running_redis: RedisServer) -> RedisServer:
    running_redis.do("flushall")
    return running_redis


@pytest.fixture
def mortal_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own, to kill and to pause."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(redis_binary(), folder)
    yield server
    with suppress(ProcessLookupError):
        server.go_on()
    server.kill()


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.delenv("PATTERNS_REDIS_URL", raising=False)
    if request.param == "redis":
        monkeypatch.setenv("PATTERNS_REDIS_URL", request.getfixturevalue("redis_server").url)
    made = Engine(request.param)
    yield made
    await made.close()
