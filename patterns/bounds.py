"""Bounds of a run that no layer can pass, because they stand directly around the model call.

A step is taken before the call, in one atomic write, so that several workers on one run cannot take more than there
are. The money is counted in the ledger. Repairs and retries count like every other call, and so does what was spent
before a restart.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from . import checkpoints, ledger, models
from .errors import LimitHit
from .events import Event, Handler, Layer, Turn
from .token_counts import MOST_TOKENS_AN_IMAGE


@dataclass(frozen=True, slots=True)
class Caps:
    """Bounds of one run. `steps` are model calls, `dollars` the price of all of them, `seconds` wall-clock time
    without the waiting for people."""

    steps: int = 6
    calls_per_step: int = 4
    dollars: float = 0.25
    seconds: float = 60.0


CAPS = Caps()


def bounded(caps: Caps = CAPS, max_tokens: int = 1_000) -> Layer:
    """Refuse a model call that would pass the run's cap on steps or on dollars.

    What a call may cost at most is known before it: the prompt that it reads, and `max_tokens` that it writes. Where
    the price of the model is not known, only the steps are capped. Raises LimitHit (`steps`, `dollars`).
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            dearest = models.provider().tier("large").cost(_longest_prompt(turn), max_tokens) or 0.0
            if dollars_spent(turn) + dearest > caps.dollars:
                raise LimitHit(
                    f"The next model call could pass the run's cap of ${caps.dollars:.2f}.",
                    "Hand over to a person.",
                    "dollars",
                )
            if not checkpoints.default().take_step(turn.trace_id, caps.steps):
                raise LimitHit(f"The run has used its {caps.steps} model calls.", "Hand over to a person.", "steps")
            async with aclosing(inner(turn)) as events:
                async for event in events:
                    yield event

        return handle

    return layer


INSTRUCTIONS_CHARACTERS = 2_000  # what the prompt holds beside the turn: instructions, and the schema of the answer


def _longest_prompt(turn: Turn) -> int:
    """Tokens that the prompt of this turn has at most. Two characters a token: few texts in Latin script have fewer."""
    said = [turn.text, *(message.text for message in turn.history), *(one.text + one.title for one in turn.documents)]
    characters = sum(map(len, said)) + len(json.dumps(turn.exchange)) + len(json.dumps(turn.tools))
    return (characters + INSTRUCTIONS_CHARACTERS) // 2 + MOST_TOKENS_AN_IMAGE * len(turn.images)


def steps_used(turn: Turn) -> int:
    """Model calls of this run so far, those of before a restart included."""
    return checkpoints.default().steps(turn.trace_id)


def dollars_spent(turn: Turn) -> float:
    return ledger.total(ledger.default().calls(trace_id=turn.trace_id))
