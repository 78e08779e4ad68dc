"""Checks for the exercises. Each runs the learner's function and looks at what it does, not at how it is written.

await check("first_words", first_words)
"""

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel

from .. import acme, acme_tools, ranking, schemas, structured_output, tools
from ..errors import CallerError, PatternsError
from ..events import Answer, Document, Event, Handler, Message, TextDelta, Turn, answer
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
        read = 0
        for letter in reply:
            read += 1
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


# 03 tool use

CANCELLABLE = (("C-0002", "H-100108"), ("C-0009", "h-100109"), ("C-0041", "K-100109"))
TOO_LATE = (("C-0001", "H-100098"), ("C-0011", "H-100085"))


@exercise
async def cancel_order(solution: Any) -> str:
    made = solution()
    if not isinstance(made, tools.Tool):
        raise NotYet(f"it returned {made!r}; a function under @tool(...) is expected.")
    if made.effect != "write":
        raise NotYet(f'its effect is "{made.effect}". Cancelling changes something: the customer must say yes first.')
    if list(made.arguments.model_fields) != ["order_id"]:
        raise NotYet(
            f"the model fills {', '.join(made.arguments.model_fields)}; it may fill order_id, and nothing else."
        )
    if "H-100108" not in made.asks({"order_id": "H-100108"}):
        raise NotYet("the question to the customer does not name the order.")
    foreign = await _cancelled(made, "C-0001", "H-100108")
    missing = await _cancelled(made, "C-0001", "H-199999")
    if "error" not in foreign or "error" not in missing:
        raise NotYet("C-0001 could cancel an order that is not in this account.")
    if foreign["error"] != missing["error"]:
        raise NotYet(
            "the errors tell somebody else's order from one that does not exist: its number is worth guessing."
        )
    for customer, order_id in TOO_LATE:
        if "error" not in await _cancelled(made, customer, order_id):
            raise NotYet(f"{order_id} could be cancelled, and it is {acme.orders()[order_id]['status']}.")
    for customer, order_id in CANCELLABLE:
        result = await _cancelled(made, customer, order_id)
        if isinstance(result, dict) and "error" in result:
            raise NotYet(f"{order_id} belongs to {customer} and is not shipped, and yet: {result['message']}")
    return "Only the customer's own orders, only before they are shipped, and only after a yes."


async def _cancelled(made: tools.Tool, customer: str, order_id: str) -> Any:
    """The tool's result, and the check that the desk has the cancellation exactly when it is no error."""
    before = len(acme_tools.desk().work("cancellation"))
    turn = Turn("", acme.user(customer))
    result = await tools.run(made, made.arguments(order_id=order_id), turn)
    left = acme_tools.desk().work("cancellation")[before:]
    wrong = isinstance(result, dict) and result.get("error")
    if wrong == "tool_failed":
        raise NotYet(f"it failed for {order_id} of {customer}. Raise a CallerError that says what is wrong.")
    if wrong and left:
        raise NotYet(f"it refused {order_id}, and left the cancellation on the desk all the same.")
    if not wrong and [one.customer for one in left] != [customer]:
        raise NotYet(f'after cancelling {order_id}, desk().work("cancellation") has {len(left)} more; expected 1.')
    return result


LONG = [{"id": f"H-{number}", "status": "delivered" * (number % 4)} for number in range(200_000, 200_060)]


@exercise
async def paged(solution: Any) -> str:
    limit = 400
    first = solution(LONG, 1, limit)
    if not isinstance(first, dict) or not {"items", "page", "pages"} <= first.keys():
        raise NotYet(f"it returned {str(first)[:80]}; a dict with items, page and pages is expected.")
    seen: list[Any] = []
    for page in range(1, first["pages"] + 1):
        shown = solution(LONG, page, limit)
        if len(json.dumps(shown)) > limit:
            raise NotYet(f"page {page} has {len(json.dumps(shown))} characters of JSON; {limit} are allowed.")
        if (shown["page"], shown["pages"]) != (page, first["pages"]):
            raise NotYet(f"page {page} says that it is page {shown['page']} of {shown['pages']}.")
        seen += shown["items"]
    if seen != LONG:
        raise NotYet(f"all pages together have {len(seen)} items; each of the {len(LONG)} must come once, in order.")
    if first["pages"] > 16:
        raise NotYet(f"it makes {first['pages']} pages; fill each page as far as the limit allows.")
    for page in (0, first["pages"] + 1):
        beyond = solution(LONG, page, limit)
        if not isinstance(beyond, dict) or not {"error", "message", "next_step"} <= beyond.keys():
            raise NotYet(f"page {page} does not exist: answer with tools.failed(code, message, next_step).")
    if solution([], 1, limit).get("pages") != 1:
        raise NotYet("an empty list has one page, which is empty.")
    return "Every item once, each page within the limit, and an error that says which pages there are."


# 04 rag

RANKINGS: tuple[tuple[list[list[str]], str], ...] = (
    ([["a", "b", "c"]], "one list stays as it is"),
    ([["a", "b", "c"], ["c", "b", "d"]], "c is first in one list and third in the other, b is second twice"),
    ([["x", "b", "c", "a"], ["y", "d", "e", "a"]], "a is fourth in both, which counts for more the larger k is"),
    ([["a", "b"], ["b", "a"]], "a tie: the one that was met first comes first"),
    ([["a"], []], "a search that found nothing has no say"),
    ([], "no list at all"),
)


@exercise
async def rank_fusion(solution: Any) -> str:
    for k in (60, 1):
        for rankings, why in RANKINGS:
            expected = [found for found, _ in ranking.fuse(*rankings, k=k)]
            given = solution(rankings, k)
            if list(given) != expected:
                raise NotYet(f"{rankings} with k={k} gave {given!r}, and {expected} is right: {why}.")
    return "One list out of many, by ranks alone."


@exercise
async def only_given(solution: Any) -> str:
    documents = tuple(Document(name, "Title", "Text") for name in ("a#1", "b#2"))
    text = "The fee is $5."

    def served(*cited: str) -> Answer:
        end = solution(Answer(text=text, cited_chunk_ids=cited, confident=True), documents)
        if not isinstance(end, Answer):
            raise NotYet(f"it returned {end!r}; an Answer is expected.")
        return end

    for cited, kept in (
        (("b#2", "a#1"), ("b#2", "a#1")),
        (("a#1", "x#9", "a#1"), ("a#1",)),
        (("A#1", "b#2"), ("b#2",)),
    ):
        end = served(*cited)
        if end.cited_chunk_ids != kept:
            raise NotYet(
                f"of {cited} it keeps {end.cited_chunk_ids}, and {kept} was given, each once and in its order."
            )
        if end.text != text or not end.confident:
            raise NotYet(f"an answer that cites {cited} rests on {kept}: its text and its confidence stay.")
    invented = served("x#9")
    if invented.cited_chunk_ids:
        raise NotYet("x#9 was never given to the model, and it is still cited.")
    if text in invented.text:
        raise NotYet("all sources were invented, so the text may be as well: do not serve it.")
    for end, what in ((invented, "whose sources were all invented"), (served(), "without any source")):
        if end.confident:
            raise NotYet(f"an answer {what} is not confident.")
    if served().text != text:
        raise NotYet("an answer that cites nothing invented nothing: its text stays, without confidence.")
    return "Only what was given is cited, and nothing invented is served."


# 05 agent loop


def _asks(*calls: tuple[str, str]) -> dict[str, Any]:
    functions = [{"name": name, "arguments": arguments} for name, arguments in calls]
    wired = [{"id": f"c{at}", "type": "function", "function": one} for at, one in enumerate(functions)]
    return {"role": "assistant", "content": None, "tool_calls": wired}


ORDER_1, ORDER_2 = ("order_lookup", '{"order_id": "H-1"}'), ("order_lookup", '{"order_id": "H-2"}')
BROKEN = ("search", '{"query"')
RESULT = {"role": "tool", "tool_call_id": "c0", "content": "{}"}
PLAN = {"role": "system", "content": "The plan: look up H-1."}
REPEATED: tuple[tuple[str, list[dict[str, Any]], list[int]], ...] = (
    ("one call, and none before it", [_asks(ORDER_1)], []),
    ("the same call in two messages", [_asks(ORDER_1), RESULT, _asks(ORDER_1)], [0]),
    ("the same tool with another order", [_asks(ORDER_1), RESULT, _asks(ORDER_2)], []),
    ("the same arguments for another tool", [_asks(ORDER_1), RESULT, _asks(("cancel_order", ORDER_1[1]))], []),
    ("the same call three times in one message", [_asks(ORDER_1, ORDER_1, ORDER_1)], [1, 2]),
    ("a call of the message before the last", [_asks(ORDER_2), RESULT, _asks(ORDER_1), RESULT, _asks(ORDER_2)], [0]),
    (
        "the same arguments in another order",
        [_asks(("search", '{"query": "a", "page": 1}')), RESULT, _asks(("search", '{"page":1,"query":"a"}'))],
        [0],
    ),
    (
        "arguments that are no JSON",
        [_asks(("search", '{"query"')), RESULT, _asks(("search", '{"query"'), ORDER_1)],
        [0],
    ),
    ("results at the end", [_asks(ORDER_1), RESULT, _asks(ORDER_2, ORDER_1), RESULT], [1]),
    ("a message without calls first", [PLAN, _asks(ORDER_1), RESULT, _asks(ORDER_2, ORDER_1)], [1]),
)


@exercise
async def repeated(solution: Any) -> str:
    for what, exchange, expected in REPEATED:
        found = solution(exchange)
        if found is None or sorted(found) != expected:
            raise NotYet(f"{what}: it returned {found!r}; {expected} is expected.")
    return "Every call that was made before, however it is written."


@exercise
async def circuit(solution: Any) -> str:
    healthy, ran = True, 0

    @tools.tool
    def stock(item: str) -> str:
        """How many of an item there are."""
        nonlocal ran
        ran += 1
        if not healthy:
            raise CallerError("The stock system does not answer.", "Go on without it.", "unreachable")
        return f"12 of {item}"

    guarded, other = solution(stock, 3), solution(stock, 2)
    if not isinstance(guarded, tools.Tool) or guarded.wire != stock.wire:
        raise NotYet("it must return a tool with the same name, description and arguments.")

    async def calls(made: tools.Tool, works: bool, times: int) -> list[str]:
        nonlocal healthy
        healthy = works
        results = [await tools.run(made, made.arguments(item="hub"), Turn("")) for _ in range(times)]
        return [one["error"] if isinstance(one, dict) else str(one) for one in results]

    if await calls(guarded, True, 5) != ["12 of hub"] * 5:
        raise NotYet("a tool that works must give its result, as often as it is asked.")
    if (said := await calls(guarded, False, 2)) != ["unreachable"] * 2:
        raise NotYet(f"two failures must reach the model as they are (unreachable); it heard {', '.join(said)}.")
    if await calls(guarded, True, 1) != ["12 of hub"]:
        raise NotYet("after two failures of three, the tool must still run.")
    if await calls(guarded, False, 2) != ["unreachable"] * 2 or await calls(guarded, True, 1) != ["12 of hub"]:
        raise NotYet("a success starts the count anew: two failures, a success, two failures are not three in a row.")
    before = ran
    said = await calls(guarded, False, 5)
    if ran - before != 3:
        raise NotYet(f"of five calls to a tool that fails, {ran - before} ran it; expected 3.")
    if said[3:] != ["circuit_open"] * 2:
        raise NotYet(f"after three failures the model heard {said[3]}; circuit_open is expected.")
    if await calls(other, False, 3) != ["unreachable", "unreachable", "circuit_open"]:
        raise NotYet("a second circuit, with most=2, must count for itself and open after two failures.")
    return "Three failures in a row open it, a success starts anew, and each tool counts for itself."
