"""Checks for the exercises. Each runs the learner's function and looks at what it does, not at how it is written.

await check("first_words", first_words)
"""

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel

from .. import schemas, structured_output
from ..errors import PatternsError
from ..events import Answer, Event, Handler, Message, TextDelta, Turn, answer
from . import control


class NotYet(Exception):
    """The exercise is not solved; the message says what was seen and what was expected."""


Checker = Callable[[Any], Awaitable[str]]
_CHECKERS: dict[str, Checker] = {}


def exercise(checker: Checker) -> Checker:
    """Register a check under its function's name. It returns what to say on success, and raises NotYet."""
    _CHECKERS[checker.__name__] = checker
    return checker


async def check(name: str, solution: Any) -> None:
    """Check a solution and print one line. Mistakes in it, whatever they raise, become that line."""
    try:
        print(f"✓ {await _CHECKERS[name](solution)}")
    except NotYet as reason:
        print(f"○ Not yet: {reason}")
    except NotImplementedError:
        print("○ Not yet: the function still raises NotImplementedError. Write its body and run the cell again.")
    except PatternsError as error:
        print(f"○ Not yet: {error}")
    except Exception as error:
        print(f"○ Not yet: it raised {type(error).__name__}: {error}")


QUESTION = "Explain step by step how returns and refunds work."


class _Watched:
    """The bare assistant, watched: when its first piece came, and its streams held, so that none closes by accident."""

    def __init__(self) -> None:
        self._streams: list[Any] = []
        self.first_token: float | None = None

    def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
        from .. import complete_assistant

        stream = self._follow(complete_assistant.build(through="start_here"), turn)
        self._streams.append(stream)
        return stream

    async def _follow(self, handler: Handler, turn: Turn) -> AsyncGenerator[Event, None]:
        started = time.perf_counter()
        async with aclosing(handler(turn)) as events:
            async for event in events:
                if self.first_token is None and isinstance(event, TextDelta):
                    self.first_token = time.perf_counter() - started
                yield event

    async def let_go(self) -> None:
        for stream in self._streams:
            await stream.aclose()


async def _stops_early(run: Awaitable[Any], watched: _Watched, most: int) -> Any:
    """Run, and on the stand-in make sure that the provider sent at most `most` pieces and was then stopped."""
    before = {entry["request_id"] for entry in control.provider_log()}
    try:
        result = await run
        entries = [entry for entry in await control.settled_log(patience=1.0) if entry["request_id"] not in before]
    finally:
        await watched.let_go()
    if not control.has_dials():
        return result
    if not entries:
        raise NotYet("the provider saw no request.")
    last = entries[-1]
    if last["ended"] == "running":
        raise NotYet(
            "the provider goes on generating. Close the stream when you have enough: `async with aclosing(...)`."
        )
    if last["ended"] != "aborted":
        raise NotYet(f"the provider generated all {last['tokens_sent']} tokens. Close the stream when you have enough.")
    if last["tokens_sent"] > most:
        raise NotYet(f"the provider had sent {last['tokens_sent']} tokens before it was stopped; {most} are enough.")
    return result


# 00 start here


@exercise
async def first_token_seconds(solution: Any) -> str:
    watched = _Watched()
    seconds = await _stops_early(solution(watched, Turn(QUESTION)), watched, most=30)
    if not isinstance(seconds, float):
        raise NotYet(f"it returned {seconds!r}; seconds as a float are expected.")
    if watched.first_token is None:
        raise NotYet("it did not wait for a piece of text.")
    if abs(seconds - watched.first_token) > 0.05 + 0.2 * watched.first_token:
        raise NotYet(f"it returned {seconds:.2f} s, and the first piece came after {watched.first_token:.2f} s.")
    return "The first word was timed, and the provider stopped after it."


# 01 streaming ux


@exercise
async def at_most(solution: Any) -> str:
    watched = _Watched()

    async def run() -> list[Any]:
        async with aclosing(solution(5)(watched)(Turn(QUESTION))) as events:
            return [event async for event in events]

    events = await _stops_early(run(), watched, most=30)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    if len(texts) != 5:
        raise NotYet(f"{len(texts)} pieces came through where 5 are allowed.")
    if not isinstance(events[-1], Answer):
        raise NotYet("the last event is not an Answer.")
    if events[-1].text != "".join(texts):
        raise NotYet("the Answer's text is not what the pieces say together.")

    async def three_words(turn: Turn) -> AsyncGenerator[Event, None]:
        for word in ("one ", "two ", "three"):
            yield TextDelta(word)
        yield Answer(text="one two three", tier="large")

    for most in (3, 10):
        whole = await answer(solution(most)(three_words), Turn("?"))
        if whole != Answer(text="one two three", tier="large"):
            raise NotYet(f"an answer of 3 pieces must come through unchanged where {most} are allowed.")
    return "Five pieces, an honest Answer, and a provider that stopped."


@exercise
async def cap_characters(solution: Any) -> str:
    passed_on: list[tuple[Message, ...]] = []

    async def inner(turn: Turn) -> Any:
        passed_on.append(turn.history)
        yield Answer(text="")

    history = tuple(Message("user" if at % 2 == 0 else "assistant", "x" * (at + 1)) for at in range(10))
    for characters, kept in ((0, 0), (9, 0), (10, 1), (19, 2), (26, 2), (27, 3), (1_000, 10)):
        await answer(solution(characters)(inner), Turn("hello", history=history))
        expected = history[len(history) - kept :]
        if passed_on[-1] != expected:
            raise NotYet(
                f"with {characters} characters, the newest {kept} of 10 messages fit, not {len(passed_on[-1])}."
            )
    return "The newest messages that fit, in their order."


# 02 structured output

REFUND = {"reasoning": "It came broken.", "decision": "refund", "amount": 49.9}
REFUND_ALSO_GOOD = ({"decision": "partial_refund", "amount": 10}, {"decision": "refuse", "amount": None})
REFUND_BAD = (
    ({"decision": "refund", "amount": None}, "a refund without an amount"),
    ({"decision": "partial_refund", "amount": None}, "a partial refund without an amount"),
    ({"decision": "refuse", "amount": 5}, "a refusal with an amount"),
    ({"amount": 0}, "a refund of 0"),
    ({"amount": -5}, "a refund of -5"),
    ({"decision": "perhaps"}, "the decision 'perhaps'"),
    ({"reasoning": "x" * 301}, "a reasoning of 301 characters"),
)


@exercise
async def refund_model(solution: Any) -> str:
    model = solution()
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise NotYet(f"it returned {model!r}; a Pydantic model class is expected.")
    schemas.portable(model)
    if list(model.model_fields) != list(REFUND):
        raise NotYet(f"the fields are {', '.join(model.model_fields)}; expected, in this order: {', '.join(REFUND)}.")
    for change in ({}, *REFUND_ALSO_GOOD):
        try:
            structured_output.read(model, json.dumps(REFUND | change))
        except structured_output.InvalidReply as error:
            raise NotYet(f"it refuses {REFUND | change}: {error.complaint}.") from None
    for change, what in REFUND_BAD:
        try:
            structured_output.read(model, json.dumps(REFUND | change))
        except structured_output.InvalidReply as error:
            if "amount" in change and "decision" in change and "amount" not in error.complaint:
                raise NotYet(f"the complaint about {what} does not say what is wrong with the amount.") from None
        else:
            raise NotYet(f"it accepts {what}.")
    return "Portable on the wire, and strict at the boundary."


LANDING = {"category": "returns", "confidence": 0.92, "tags": ["hub", "broken"], "note": "Money, please.", "sure": True}


@exercise
async def landed(solution: Any) -> str:
    text = json.dumps(LANDING)
    read = 0

    def one_by_one(reply: str) -> Iterator[str]:
        nonlocal read
        for read, letter in enumerate(reply, 1):
            yield letter

    came: list[tuple[str, Any]] = []
    for name, value in solution(one_by_one(text)):
        if name in dict(came):
            raise NotYet(f"{name} came twice: first {dict(came)[name]!r}, then {value!r}.")
        if name not in LANDING or value != LANDING[name]:
            raise NotYet(f"{name} came as {value!r}, and the whole reply says {LANDING.get(name)!r}.")
        came.append((name, value))
        position = list(LANDING).index(name)
        if position + 2 < len(LANDING) and read >= text.index(json.dumps(list(LANDING)[position + 2])):
            raise NotYet(f"{name} came after {read} of {len(text)} characters; it was complete long before.")
    if came != list(LANDING.items()):
        raise NotYet(f"these came: {', '.join(dict(came))}; the reply has {', '.join(LANDING)}.")
    for end, missing in ((text.index('"broken"'), "tags"), (len(text) - 1, "sure")):
        cut = [name for name, _ in solution(one_by_one(text[:end]))]
        if missing in cut:
            raise NotYet(f"a reply that is cut off in the middle ({text[:end][-24:]!r}) has no complete {missing}.")
    return "Each field once, when it is complete, and nothing of a reply that was cut off."
