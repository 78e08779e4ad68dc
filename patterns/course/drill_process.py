"""The drilled service as a process that can be killed and started again."""

import asyncio
import os
import re
import secrets
import signal
import sys

from .. import models, state
from ..errors import CallerError
from ..service import identity
from .drilled_service import KEY

START_SECONDS = 60.0


class Service:
    """The service in a process of its own, always on the same port."""

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(32)
        self.keys = identity.Keys([self._secret.encode()])
        self.url, self._port = "", 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it listens. Raises CallerError (`not_set_up`) where it does not."""
        chosen = models.provider()
        own = {identity.VARIABLE: self._secret, KEY: chosen.key, "PATTERNS_STATE": str(state.folder())}
        if chosen.name == "standin":
            own["PATTERNS_STANDIN_URL"] = chosen.base_url
        log = state.file("service.log")
        with log.open("a") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"{__package__}.drilled_service", str(self._port),
                env={**os.environ, **own}, stdout=asyncio.subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            async for line in self._process.stdout:
                if found := re.search(rb"listens at (http://[\d.]+:(\d+))", line):
                    self.url, self._port = found[1].decode(), int(found[2])
                    return
        said = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise CallerError(f"The service did not start: {said}", f"The whole log is {log}.", "not_set_up")

    async def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 10)
            except TimeoutError:
                await self.kill()
