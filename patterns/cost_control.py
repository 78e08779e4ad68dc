"""Cost control: what a request may cost is decided before it is spent, and what it did cost is written down.

The layers that notebook 08 puts around the assistant:

    recorded        one row in the ledger for each request, however it ends
    kill_switch     nothing goes on while its feature, its tenant or everything is switched off
    rate_limited    one person asks only so often
    cascade         the small model answers first, the large one where that is not sure (see `cascade.py`)
    summarised      old messages travel as a short summary (see `rolling_summary.py`)

Caps on dollars a day are in `budgets.py`: every model call passes them, whoever makes it. What the ledger says about
it all is in `spending_report.py`.
"""

import json
import logging
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from . import backend, ledger
from .cache_keys import PASSING_BY
from .errors import CallerError, LimitHit, PatternsError
from .events import Answer, ConfirmationRequired, Event, Failed, Handler, Layer, TextDelta, Turn, User

log = logging.getLogger(__name__)

REQUESTS, SECONDS = 30, 60.0  # that one person may make: more than anybody types


def recorded(inner: Handler) -> Handler:
    """Write one `ledger.Request` for each request: answered, failed, waiting for a confirmation, or left by its reader.

    The row is written before the last event goes out, so whoever has the answer finds it. A request that goes on after
    a confirmation is one row, the latest.
    """

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        watch = _Watch(turn)
        try:
            async with aclosing(inner(turn)) as events:
                async for event in events:
                    watch.see(event)
                    yield event
        except PatternsError as error:
            watch.end(error.code)
            raise
        except Exception:
            watch.end("crashed")
            raise
        finally:
            watch.end("aborted")  # the reader stopped or was cancelled; does nothing when the end is known

    return handle


class _Watch:
    """One request while it runs. `end` writes its row, once."""

    def __init__(self, turn: Turn) -> None:
        self._turn, self._started, self._clock = turn, time.time(), time.perf_counter()
        self._first = 0.0
        self._ended = False

    def see(self, event: Event) -> None:
        match event:
            case TextDelta():
                self._first = self._first or time.perf_counter() - self._clock
            case Answer():
                self.end(event.outcome, event.served, event.tier)
            case ConfirmationRequired():
                self.end("waiting")
            case Failed():
                self.end(event.code)
            case _:
                pass

    def end(self, outcome: str, served: str = "", tier: str = "") -> None:
        if self._ended:
            return
        self._ended, turn = True, self._turn
        row = ledger.Request(
            request_id=turn.request_id,
            started=self._started,
            trace_id=turn.trace_id,
            feature=turn.feature,
            tenant=turn.user.tenant,
            user=turn.user.id,
            served=served,
            tier=tier,
            outcome=outcome,
            first_token_seconds=self._first,
            seconds=time.perf_counter() - self._clock,
        )
        try:
            ledger.default().record(row)
        except CallerError:
            # An answer that was paid for must not turn into this error.
            log.exception("The request %s could not be recorded.", turn.request_id)


def kill_switch(inner: Handler) -> Handler:
    """Refuse a turn while "all", its feature or its tenant is switched off. Raises LimitHit (`switched_off`).

    The switch is read each time and kept nowhere, so it works at once, in every process. The assistant has this layer
    twice: where a request comes in, and around the model call, where it also stops the next step of a run.

        await backend.default().switch_off("feature:chat", "The answers are wrong since noon.")
    """

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        whats = ("all", f"feature:{turn.feature}", f"tenant:{turn.user.tenant}")
        reason = await backend.default().switched_off(whats)
        if reason is not None:
            raise LimitHit(
                f"This is switched off at the moment: {reason}", "Try again later, or ask for a person.", "switched_off"
            )
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event

    return handle


def rate_limited(limit: int = REQUESTS, seconds: float = SECONDS) -> Layer:
    """Let one person make `limit` requests in `seconds`; a place comes back every `seconds / limit`.

    Raises LimitHit (`rate_limit`), which says when to come back. Evals are not counted: a suite asks everything at once
    in the name of a few customers. So `Turn.feature` is for the server to set, never for a client.
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            counted = turn.feature not in PASSING_BY
            wait = await backend.default().take(rate_key(turn.user, limit, seconds), limit, seconds) if counted else 0.0
            if wait > 0:
                raise LimitHit(
                    f"More than {limit} requests in {seconds:g} seconds are not possible.",
                    f"Try again in {math.ceil(wait)} seconds.",
                    "rate_limit",
                    retry_after=wait,
                )
            async with aclosing(inner(turn)) as events:
                async for event in events:
                    yield event

        return handle

    return layer


def rate_key(user: User, limit: int, seconds: float) -> str:
    """Whose requests are counted together: those of one authenticated person.

    As JSON, so that no two people share a key, whatever is in their ids.
    """
    return f"requests {limit}/{seconds:g} {json.dumps([user.tenant, user.id])}"
