"""Your own assistant over HTTP, as `python -m patterns.serve` does it for Acme. An exported folder calls these three.

    serve(build)            until it is interrupted
    smoke(build, question)  on a free port: one question as a client asks it, and what came back
    ask(build, question)    without HTTP

`build` makes the assistant: it is a coroutine function, because documents are embedded on the way.
"""

import argparse
import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

from . import models, state
from .errors import CallerError
from .events import Answer
from .your_own_assistant import Own

Build = Callable[[], Awaitable[Own]]

SMOKE_SECONDS = 120.0


def serve(build: Build) -> None:
    """Serve until interrupted; `--host` and `--port` of the command line say where. Raises PatternsError."""
    from .service import identity, server

    parser = argparse.ArgumentParser(description="Serve the assistant.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 takes any free one")
    options = parser.parse_args()
    mine = _built(build)
    keys = identity.keys_of_environment()
    demo = keys is None
    keys = keys or identity.keys_of_file(state.file("signing.key"))
    listener = server.listen(options.host, options.port)
    print(mine)
    print(models.notice())
    if demo:
        token = keys.sign(identity.Person(mine.user, mine.name))
        print(f"A demonstration: open {server.url(listener)}/login?token={token}")
    print(f"The assistant listens at {server.url(listener)}. Stop it with Ctrl-C.", flush=True)
    server.run(_app(mine, keys, demo), listener)


def smoke(build: Build, question: str) -> dict[str, Any]:
    """What the service answers to `question` over HTTP. Raises CallerError where the answer cites nothing."""
    from .service import identity, server

    mine = _built(build)
    keys = identity.keys_of_file(state.file("signing.key"))
    running = server.run_in_thread(_app(mine, keys, demo=False))
    try:
        token = keys.sign(identity.Person(mine.user, mine.name), SMOKE_SECONDS)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json", "accept": "application/json"}
        body = json.dumps({"text": question}).encode()
        request = urllib.request.Request(f"{running.url}/api/support", body, headers)
        with urllib.request.urlopen(request, timeout=SMOKE_SECONDS) as reply:
            told = json.load(reply)
    finally:
        running.stop()
    if not told.get("text") or not told.get("sources"):
        said = f"The service answered without a source: {told.get('text') or told}"
        raise CallerError(said, "Ask something that your documents answer.", "bad_request")
    return told


def ask(build: Build, question: str) -> Answer:
    """One answer, without HTTP."""

    async def run() -> Answer:
        try:
            return await (await build()).ask(question)
        finally:
            await models.close()

    return asyncio.run(run())


def _built(build: Build) -> Own:
    async def run() -> Own:
        try:
            return await build()
        finally:
            await models.close()  # the service has a loop of its own

    return asyncio.run(run())


def _app(mine: Own, keys: Any, demo: bool) -> Any:
    from .service import app

    return app.build(keys, mine.handler, mine.sources, demo)
