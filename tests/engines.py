"""The engines that a backend runs on, for the tests of the backend and of budgets. Fixtures: `engine_fixtures.py`."""

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from patterns import backend, state, store
from patterns.backend.redis import Redis
from patterns.backend.sqlite import SQLite

ENGINES = ("sqlite", "redis")


def redis_binary() -> str:
    found = shutil.which("redis-server")
    if found is None and os.environ.get("CI"):
        pytest.fail("There is no redis-server. On Debian and Ubuntu: apt install redis-server")
    if found is None:
        pytest.skip("needs redis-server (on Debian and Ubuntu: apt install redis-server)")
    return found


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class RedisServer:
    """A Redis of our own, which keeps what it has when it is killed and started again."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = {"--bind": "127.0.0.1", "--port": str(self.port), "--dir": str(self._folder), "--save": ""}
        options |= {"--appendonly": "yes", "--appendfsync": "no", "--logfile": "redis.log"}
        command = [self._binary, *(word for option in options.items() for word in option)]
        self.process = subprocess.Popen(command)
        self.do("ping")

    def do(self, *command: str) -> object:
        """Run a command, as soon as the server is there."""
        until = time.monotonic() + 30
        while True:
            with redis.Redis(port=self.port) as client:
                try:
                    return client.execute_command(*command)
                except redis.ConnectionError:
                    if self.process.poll() is not None or time.monotonic() > until:
                        raise
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@dataclass
class Engine:
    """Where a backend keeps what it has. `open` gives a handle of its own, as another process would have."""

    name: str
    clock: Clock = field(default_factory=Clock)
    opened: list[SQLite | Redis] = field(default_factory=list)

    def open(self, own_clock: bool = True) -> backend.Backend:
        if self.name == "sqlite":
            path = state.folder() / "backend.sqlite3"
            self.opened.append(SQLite(path, self.clock) if own_clock else SQLite(path))
        else:
            self.opened.append(Redis(os.environ["PATTERNS_REDIS_URL"], self.clock if own_clock else None))
        return self.opened[-1]

    async def close(self) -> None:
        for one in self.opened:
            if isinstance(one, Redis):
                await one.close()
            else:
                one.close()
        self.opened.clear()
        store.close_under(state.folder())
        await backend.close()
