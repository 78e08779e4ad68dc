"""Checks for the exercises. Each runs the learner's function and looks at what it does, not at how it is written.

await check("first_words", first_words)
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from ..errors import PatternsError
from ..events import Answer, Handler, Message, TextDelta, Turn, answer
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


async def _aborted_early(run: Awaitable[Any], most: int) -> Any:
    """Run, and on the stand-in make sure that the provider generated at most `most` pieces and was then stopped."""
    before = len(control.provider_log())
    result = await run
    entries = (await control.settled_log())[before:]
    if control.has_dials():
        if not entries:
            raise NotYet("the provider saw no request.")
        last = entries[-1]
        if last["ended"] != "aborted":
            raise NotYet(
                f"the provider generated all {last['tokens_sent']} tokens. Close the stream when you have enough."
            )
        if last["tokens_sent"] > most:
            raise NotYet(
                f"the provider had sent {last['tokens_sent']} tokens before it was stopped; {most} are enough."
            )
    return result


def _assistant() -> Handler:
    from .. import complete_assistant

    return complete_assistant.build(through="start_here")


# 00 start here


@exercise
async def first_token_seconds(solution: Any) -> str:
    seconds = await _aborted_early(solution(_assistant(), Turn(QUESTION)), most=12)
    if not isinstance(seconds, float):
        raise NotYet(f"it returned {seconds!r}; seconds as a float are expected.")
    if not 0 < seconds < 30:
        raise NotYet(f"it returned {seconds:.2f} s, which is not between the request and the first piece.")
    return "The first word was timed, and the provider stopped after it."


# 01 streaming ux


@exercise
async def at_most(solution: Any) -> str:
    async def run() -> list[Any]:
        async with aclosing(solution(5)(_assistant())(Turn(QUESTION))) as events:
            return [event async for event in events]

    events = await _aborted_early(run(), most=12)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    if len(texts) != 5:
        raise NotYet(f"{len(texts)} pieces came through where 5 are allowed.")
    if not isinstance(events[-1], Answer):
        raise NotYet("the last event is not an Answer.")
    if events[-1].text != "".join(texts):
        raise NotYet("the Answer's text is not what the pieces say together.")
    short = await answer(solution(10_000)(_assistant()), Turn("hello"))
    if not short.text or not short.confident:
        raise NotYet("an answer that is short enough must come through unchanged.")
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
