"""The stand-in's controls, from a notebook: turn its dials, and read its log of what was really generated.

On any other provider there is nothing to control. The functions say so, and the cell goes on with the real model.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from .. import models
from ..errors import CallerError

_direct = build_opener(ProxyHandler({}))  # the stand-in is near: no proxy stands in between


def has_dials() -> bool:
    """Whether the provider is the stand-in."""
    return models.provider().name == "standin"


@contextmanager
def dials(**values: Any) -> Iterator[bool]:
    """Turn dials for the duration of a `with` block, for this kernel's key only; afterwards they are as before.

    Yields whether there are dials to turn: what a cell claims about a fault holds only then. Raises CallerError for a
    dial that does not exist.
    """
    if not has_dials():
        print("(A real provider has no dials. This cell shows its fault on the stand-in only.)")
        yield False
        return
    before = _ask("GET", "dials")
    turn(**(before | values))
    try:
        yield True
    finally:
        turn(**before)


def turn(**values: Any) -> None:
    """Set the dials of this kernel's key; without arguments, all to rest."""
    _ask("PUT", "dials", values)


def provider_log() -> list[dict[str, Any]]:
    """The provider's own record of this kernel's requests, oldest first; empty on a provider that shows none.

    Fields as in `patterns.standin.app.Entry`: among them `ended`, `tokens_planned` and `tokens_sent`.
    """
    return _ask("GET", "log")["data"] if has_dials() else []


async def settled_log(patience: float = 2.0) -> list[dict[str, Any]]:
    """The provider's log once no request of this kernel runs any more, or after `patience` seconds."""
    until = time.monotonic() + patience
    while True:
        entries = provider_log()
        if not any(entry["ended"] == "running" for entry in entries) or time.monotonic() > until:
            return entries
        await asyncio.sleep(0.01)


async def requests_since(moment: float) -> int:
    """How many requests of this kernel have reached the provider since `moment` (Unix time).

    The log keeps only the latest thousand, so its length says nothing about what is new.
    """
    return sum(entry["started"] >= moment for entry in await settled_log())


def _ask(method: str, what: str, body: Any = None) -> Any:
    provider = models.provider()
    url = f"{provider.base_url.removesuffix('/v1')}/standin/{what}"
    headers = {"Authorization": f"Bearer {provider.key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with _direct.open(Request(url, data, headers, method=method), timeout=5) as response:
            return json.load(response)
    except HTTPError as error:
        message = json.load(error)["error"]["message"]
        raise CallerError(message, "See patterns/standin/dials.py for all dials.", "bad_request") from None
    except OSError as error:
        raise CallerError(
            f"The stand-in at {url} does not answer ({error}).", "Restart the kernel.", "not_set_up"
        ) from None
