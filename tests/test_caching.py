"""Nobody is served what was made for somebody else, nothing that failed is served twice, and a crowd is one call."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from patterns import acme, backend, cache_keys, caching, metrics, models, singleflight
from patterns.cache_keys import Freshness
from patterns.chunking import sections
from patterns.core import model_call, support_prompt
from patterns.course import control, exercises
from patterns.documents import Article
from patterns.errors import CallerError, PatternsError, ProviderError
from patterns.events import (
    Answer,
    ConfirmationRequired,
    Event,
    Handler,
    Message,
    Partial,
    Reset,
    Status,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    User,
    answer,
)
from patterns.index import Index
from patterns.kept_answers import age

QUESTION = "How long is the warranty?"
OUTAGE = ProviderError("The provider does not answer.", "Try again.", "overloaded", transient=True)


class Inner:
    """A handler that says what a test gives it, one script a call, the last one ever after; and counts."""

    def __init__(self, *scripts: Sequence[Event | Exception]) -> None:
        self.scripts = scripts or ([TextDelta("24 months"), Answer(text="24 months", cost_usd=0.01)],)
        self.turns: list[Turn] = []

    async def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
        self.turns.append(turn)
        for event in self.scripts[min(len(self.turns), len(self.scripts)) - 1]:
            await asyncio.sleep(0)
            if isinstance(event, Exception):
                raise event
            yield event

    @property
    def calls(self) -> int:
        return len(self.turns)


async def same_recipe(turn: Turn) -> str:
    return "v1"


def cached(inner: Handler, recipe: Callable[[Turn], Awaitable[str]] = same_recipe) -> Handler:
    return caching.response_cache(recipe)(inner)


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


def said(text: str = "24 months", **changed: Any) -> list[Event | Exception]:
    return [TextDelta(text), Answer(text=text, **changed)]


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# hits


async def test_the_same_question_is_answered_once_and_then_costs_nothing() -> None:
    inner = Inner()
    handler = cached(inner)
    first = await collect(handler(Turn(QUESTION)))
    turn = Turn("  how long is\nthe WARRANTY ")
    second = await collect(handler(turn))
    assert inner.calls == 1
    assert isinstance(first[-1], Answer) and first[-1].served == "live"
    assert second == [
        Status("drafting", "answered just now"),
        TextDelta("24 months"),
        Answer(text="24 months", served="cached", cost_usd=0.0, trace_id=turn.trace_id),
    ]


async def test_a_cached_answer_has_its_sources_and_its_value() -> None:
    class Months(BaseModel):
        count: int

    made = Answer(text="24 months", cited_chunk_ids=("a#1",), output=Months(count=24), tier="large")
    inner = Inner([made])
    handler = cached(inner)
    await answer(handler, Turn(QUESTION, output=Months))
    end = await answer(handler, Turn(QUESTION, output=Months))
    assert (end.served, end.cited_chunk_ids, end.output, end.tier) == ("cached", ("a#1",), Months(count=24), "large")
    assert (await answer(handler, Turn(QUESTION))).served == "live"
    assert inner.calls == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (59, "just now"), (61, "1 minute ago"), (7_300, "2 hours ago"), (90_000, "1 day ago")],
)
def test_the_age_of_an_answer(seconds: float, words: str) -> None:
    assert age(seconds) == words


async def test_an_answer_past_its_time_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_keys, "STEADY", Freshness(0.0, 3_600.0))
    inner = Inner()
    for _ in range(2):
        assert (await answer(cached(inner), Turn(QUESTION))).served == "live"
    assert inner.calls == 2


@pytest.mark.parametrize("text", ["Is the app down?", "Is it in stock?", "Haben Sie heute auf?", "Open today?"])
def test_what_moves_is_fresh_for_minutes_only(text: str) -> None:
    assert cache_keys.lives(Turn(text)) == cache_keys.MOVING
    assert cache_keys.lives(Turn(QUESTION)) == cache_keys.STEADY
    assert cache_keys.MOVING.fresh < cache_keys.STEADY.fresh


# keys


class Other(BaseModel):
    text: str


BASE = Turn(QUESTION, User("C-0001", "acme-home", "plus", ("support",)), (Message("user", "hello"),))
DIFFERENT: dict[str, Turn] = {
    "tenant": replace(BASE, user=replace(BASE.user, tenant="acme-kitchen")),
    "plan": replace(BASE, user=replace(BASE.user, plan="basic")),
    "team": replace(BASE, user=replace(BASE.user, teams=("billing",))),
    "no-team": replace(BASE, user=replace(BASE.user, teams=())),
    "language": replace(BASE, user=replace(BASE.user, language="de")),
    "question": replace(BASE, text="How long is the delivery?"),
    "history": replace(BASE, history=(Message("user", "hallo"),)),
    "no-history": replace(BASE, history=()),
    "who-said-it": replace(BASE, history=(Message("assistant", "hello"),)),
    "schema": replace(BASE, output=Other),
    "model": replace(BASE, tier="small"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_whatever_changes_the_answer_changes_the_key(what: str) -> None:
    assert cache_keys.key(DIFFERENT[what], "v1") != cache_keys.key(BASE, "v1")


def test_the_recipe_changes_the_key_and_the_user_does_not() -> None:
    assert cache_keys.key(BASE, "v1") != cache_keys.key(BASE, "v2")
    assert cache_keys.key(BASE, "v1") == cache_keys.key(replace(BASE, user=replace(BASE.user, id="C-2")), "v1")


def test_models_and_parameters_are_in_the_recipe() -> None:
    provider = models.provider()
    warmer = replace(provider.tiers["large"], params={"temperature": 1})
    for changed in (
        {**provider.tiers, "large": warmer},
        {**provider.tiers, "large": replace(warmer, params=provider.tiers["large"].params, model="another")},
    ):
        assert cache_keys.models_of(replace(provider, tiers=changed)) != cache_keys.models_of(provider)


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(texts, st.sampled_from(["", " ", "\n", "?", " ?", "!"]), st.sampled_from([" ", "  ", "\t"]))
def test_how_a_question_is_typed_does_not_count(text: str, end: str, gap: str) -> None:
    once = cache_keys.normalised(text)
    assert cache_keys.normalised(once) == once
    asked = f"How long is {text.strip() or 'it'}"
    assert cache_keys.normalised(asked.replace(" ", gap) + end) == cache_keys.normalised(asked)


@pytest.mark.parametrize(
    ("a", "b"), [("Maße", "Masse"), ("10²", "102"), ("E-203", "E-204"), ("not", "nota"), ("?", "!")]
)
def test_what_means_something_else_is_another_question(a: str, b: str) -> None:
    assert cache_keys.normalised(a) != cache_keys.normalised(b)


few = st.text('a",[] ', min_size=1, max_size=3)


@given(few, few, few, few, few, few)
def test_no_text_can_pass_for_another_field(a: str, b: str, c: str, d: str, e: str, f: str) -> None:
    one, other = Turn(a, User(tenant=b), (Message("user", c),)), Turn(d, User(tenant=e), (Message("user", f),))
    same = cache_keys.normalised(a) == cache_keys.normalised(d) and b == e and c == f
    assert (cache_keys.key(one, "v") == cache_keys.key(other, "v")) == same


# whose answer it is

PERSONAL = (
    "Where is my order?",
    "What did I pay?",
    "Which plan am I on?",
    "I've been charged twice",
    "When does H-100071 come?",
    "What is our address?",
    "Wo ist meine Bestellung?",
    "Habe ich bezahlt?",
    "Ich habe bestellt, wann kommt es?",
    "Where is invoice 20391?",
    "Have I got a refund?",
    "Welche unserer Geräte sind gemeint?",
    "I ordered a hub.",
    "What have you charged me?",
    "Which plan do I have?",
    "Was schulden Sie mir?",
)
FOR_ALL = (
    "How long do I have to return a plug?",
    "How do I return a plug?",
    "What does E-203 mean?",
    "Is the HX-C310 waterproof?",
    "Can I cancel an order?",
    "Wie gebe ich etwas zurück?",
    "How long is the warranty in 2026?",
    "Was bedeutet F-14?",
    "Can you tell me how long the warranty is?",
)


@pytest.mark.parametrize("text", PERSONAL)
async def test_a_personal_answer_is_for_one_user_only(text: str) -> None:
    inner = Inner(said("The first user's"), said("The second user's"))
    handler = cached(inner)
    first, second = User("C-0001"), User("C-0002")
    assert (await answer(handler, Turn(text, first))).text == "The first user's"
    assert (await answer(handler, Turn(text, second))).text == "The second user's"
    assert (await answer(handler, Turn(text, first))).text == "The first user's"
    assert inner.calls == 2


@pytest.mark.parametrize("text", FOR_ALL)
def test_a_general_question_is_shared(text: str) -> None:
    assert not cache_keys.is_personal(Turn(text))


def test_what_was_said_before_makes_a_turn_personal() -> None:
    assert cache_keys.is_personal(Turn("And now?", history=(Message("assistant", "Order H-100071 is on its way."),)))


PRIVATE = (
    "Write to ann@example.org",
    "Call +1 555 0110 22",
    "Card 4111 1111 1111 1111 was refused",
    "IBAN DE89370400440532013000",
    "My number is (555) 010-9988",
)


@pytest.mark.parametrize("text", PRIVATE)
@pytest.mark.parametrize("where", ["question", "history"])
async def test_nothing_with_an_address_or_a_long_number_is_stored(text: str, where: str, own_state: Path) -> None:
    inner = Inner(said("Noted: zebra"))
    turn = Turn(text) if where == "question" else Turn("What now?", history=(Message("user", text),))
    for _ in range(2):
        assert (await answer(cached(inner), turn)).served == "live"
    assert inner.calls == 2
    assert b"zebra" not in on_disk(own_state)


async def test_a_turn_that_is_in_the_middle_of_something_passes_by() -> None:
    inner = Inner()
    turn = Turn(QUESTION, exchange=({"role": "assistant", "content": "..."},))
    for _ in range(2):
        assert (await answer(cached(inner), turn)).served == "live"


async def test_evals_see_what_the_assistant_makes() -> None:
    inner = Inner()
    for feature in ("chat", "evals", "evals", "chat"):
        await answer(cached(inner), Turn(QUESTION, feature=feature))
    assert [turn.feature for turn in inner.turns] == ["chat", "evals", "evals"]


# what is never stored

UNFIT: dict[str, list[Event | Exception]] = {
    "unsure": said(confident=False),
    "cut-off": said(truncated=True),
    "partial": said(outcome="partial"),
    "failure": said(outcome="failure"),
    "limit-hit": said(outcome="limit_hit"),
    "handed-over": said(outcome="human_handoff", served="handoff"),
    "simplified": said(served="simplified"),
    "unavailable": said(served="unavailable"),
    "stale": said(served="stale"),
    "cached-further-in": said(served="cached"),
    "empty": [Answer(text=" ")],
    "proposes-a-call": said(proposed_tool_call={"name": "cancel_order"}),
    "after-a-tool": [ToolCall("1", "order_lookup", {}), ToolResult("1", "order_lookup", {}), *said()],
}


@pytest.mark.parametrize("what", UNFIT)
async def test_what_may_be_wrong_is_not_stored(what: str) -> None:
    inner = Inner(UNFIT[what])
    for _ in range(2):
        await answer(cached(inner), Turn(QUESTION))
    assert inner.calls == 2


@pytest.mark.parametrize("error", [OUTAGE, CallerError("No.", "Change it.", "bad_request")], ids=["provider", "caller"])
async def test_an_error_is_not_stored(error: PatternsError) -> None:
    inner = Inner([error], said())
    with pytest.raises(type(error)):
        await answer(cached(inner), Turn(QUESTION))
    assert (await answer(cached(inner), Turn(QUESTION))).served == "live"


async def test_a_confirmation_is_asked_each_time() -> None:
    inner = Inner([ConfirmationRequired("t", "Cancel it?")])
    for _ in range(2):
        assert (await collect(cached(inner)(Turn("Cancel the order"))))[-1] == ConfirmationRequired("t", "Cancel it?")
    assert inner.calls == 2


async def test_what_is_stored_can_be_found_on_disk_and_is_gone_when_forgotten(own_state: Path) -> None:
    here, there = User(tenant="acme-home"), User(tenant="acme-kitchen")
    handler = cached(Inner(said("A zebra of zwölf months")))
    for user in (here, there):
        await answer(handler, Turn(QUESTION, user))
    assert b"zebra" in on_disk(own_state)
    assert await caching.forget("acme-home") == 1
    assert (await answer(handler, Turn(QUESTION, here))).served == "live"
    assert (await answer(handler, Turn(QUESTION, there))).served == "cached"


# documents that change


class Library:
    """A real index of one article, and a recipe that names its version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = Index(folder, self._embed, "letters")

    @staticmethod
    async def _embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[len(text), text.count("e"), 1.0] for text in texts], np.float32)

    async def write(self, text: str) -> None:
        article = Article("warranty", "Warranty", "", "acme-home", "en", ("public",), date(2026, 11, 1), text)
        await self.index.sync([article] if text else [], sections())

    async def recipe(self, turn: Turn) -> str:
        return self.index.version(turn.user.tenant)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path / "index")
    yield made
    made.index.close()


async def test_after_a_document_changes_its_answers_are_gone(library: Library) -> None:
    inner = Inner(said("24 months"), said("36 months"), said("nothing"), said("24 months"))
    handler = cached(inner, library.recipe)
    for text, expected in (("24 months.", "24 months"), ("36 months.", "36 months"), ("", "nothing")):
        await library.write(text)
        assert [(await answer(handler, Turn(QUESTION))).text for _ in range(2)] == [expected] * 2
    assert inner.calls == 3


@pytest.mark.usefixtures("soon_stale")
async def test_not_even_in_an_outage_is_an_answer_from_an_old_document_served(library: Library) -> None:
    handler = cached(Inner(said(), [OUTAGE]), library.recipe)
    await library.write("24 months.")
    await answer(handler, Turn(QUESTION))
    await library.write("36 months.")
    with pytest.raises(ProviderError):
        await answer(handler, Turn(QUESTION))


async def test_an_answer_during_which_a_document_changed_is_not_stored(library: Library) -> None:
    inner = Slow()
    handler = cached(inner, library.recipe)
    await library.write("24 months.")
    task = asyncio.create_task(answer(handler, Turn(QUESTION)))
    await inner.begun.wait()
    await library.write("36 months.")
    inner.go_on.set()
    await task
    await library.write("24 months.")  # the same content has the same version again
    assert (await answer(handler, Turn(QUESTION))).served == "live"


async def test_the_recipe_of_acme_names_all_that_makes_an_answer(with_library: Path, turn_dials: Any) -> None:
    turn_dials()
    before = await caching.acme_recipe(Turn(QUESTION))
    assert await caching.acme_recipe(Turn("Another?", User("C-9"))) == before
    assert await caching.acme_recipe(Turn(QUESTION, User(tenant="acme-kitchen"))) != before
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATTERNS_MODEL_LARGE", "another")
        assert await caching.acme_recipe(Turn(QUESTION)) != before
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(acme, "today", lambda: date(2026, 11, 3))
        assert await caching.acme_recipe(Turn(QUESTION)) != before


# outages


@pytest.fixture
def soon_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_keys, "STEADY", Freshness(0.0, 3_600.0))


@pytest.mark.usefixtures("soon_stale")
@pytest.mark.parametrize(
    "failing",
    [[Status("searching"), OUTAGE], [Answer(text="Sorry.", served="simplified", confident=False)],
     [Answer(text="Sorry.", served="unavailable", confident=False)]],
    ids=["raises", "simplified", "unavailable"],
)  # fmt: skip
async def test_in_an_outage_the_last_answer_is_served_as_stale(failing: list[Event | Exception]) -> None:
    inner = Inner(said(), failing)
    await answer(cached(inner), Turn(QUESTION))
    end = await answer(cached(inner), Turn(QUESTION))
    assert (end.text, end.served, end.cost_usd) == ("24 months", "stale", 0.0)


@pytest.mark.usefixtures("soon_stale")
@pytest.mark.parametrize(
    "failing",
    [
        [CallerError("No.", "Change it.", "wrong_key")],
        [ProviderError("No.", "Stop.", "refused", transient=False)],
        [TextDelta("24"), OUTAGE],
        [Partial({"a": 1}), OUTAGE],
        [ToolCall("1", "pay", {}), OUTAGE],
    ],
    ids=["caller", "lasting", "after-text", "after-a-field", "after-a-tool"],
)
async def test_other_failures_are_not_hidden(failing: list[Event | Exception]) -> None:
    inner = Inner(said(), failing)
    await answer(cached(inner), Turn(QUESTION))
    with pytest.raises(PatternsError):
        await answer(cached(inner), Turn(QUESTION))


@pytest.mark.usefixtures("soon_stale")
async def test_a_stale_answer_is_not_made_fresh_again_by_serving_it() -> None:
    inner = Inner(said(), [OUTAGE], [OUTAGE], said("12 months"))
    ends = [await answer(cached(inner), Turn(QUESTION)) for _ in range(4)]
    assert [end.served for end in ends] == ["live", "stale", "stale", "live"]
    assert ends[-1].text == "12 months"


async def test_without_its_backend_the_assistant_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def __getattr__(self, name: str) -> Any:
            async def fail(*_: Any, **__: Any) -> Any:
                raise ProviderError("Redis does not answer.", "Start it.", "unreachable", transient=True)

            return fail

    monkeypatch.setattr(backend, "default", Down)
    before = metrics.value("cache.failed", reason="unreachable")
    inner = Inner()
    for _ in range(2):
        assert (await answer(cached(inner), Turn(QUESTION))).served == "live"
    assert metrics.value("cache.failed", reason="unreachable") > before


async def test_what_cannot_be_read_any_more_is_made_anew() -> None:
    key = cache_keys.key(Turn(QUESTION), "v1")
    for value in ("{", "[]", '{"answer": {"text": 3}, "output": null}', "{}"):
        await backend.default().put(key, value, 60, 60)
        inner = Inner()
        assert (await answer(cached(inner), Turn(QUESTION))).served == "live"
        assert inner.calls == 1


# one call for a crowd


async def test_two_hundred_at_once_are_one_call_of_the_provider(turn_dials: Callable[..., None]) -> None:
    turn_dials(tokens_per_second=200)
    handler = cached(model_call(support_prompt))
    before = len(await control.settled_log())
    ends = await asyncio.gather(*(answer(handler, Turn(QUESTION, User(f"C-{n}"))) for n in range(200)))
    assert len(await control.settled_log()) - before == 1
    assert len({end.text for end in ends}) == 1 and len({end.trace_id for end in ends}) == 200
    assert sorted(end.served for end in ends) == ["cached"] * 199 + ["live"]
    assert sum(end.cost_usd or 0 for end in ends) == max(end.cost_usd or 0 for end in ends) > 0


class Slow(Inner):
    """An Inner that waits before its second event until it is told to go on, and says whether it was closed."""

    def __init__(self, *scripts: Sequence[Event | Exception]) -> None:
        super().__init__(*scripts)
        self.go_on, self.begun, self.closed = asyncio.Event(), asyncio.Event(), 0

    async def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(super().__call__(turn)) as events:
                async for event in events:
                    yield event
                    self.begun.set()
                    await self.go_on.wait()
        finally:
            self.closed += 1


async def test_who_comes_later_reads_from_the_start_while_it_streams() -> None:
    inner = Slow()
    handler = cached(inner)
    first = asyncio.create_task(collect(handler(Turn(QUESTION))))
    await inner.begun.wait()
    async with aclosing(handler(Turn(QUESTION))) as second:
        assert await anext(second) == TextDelta("24 months")
        assert not first.done()
        inner.go_on.set()
        end = await anext(second)
    assert isinstance(end, Answer) and end.served == "cached"
    assert inner.calls == 1 and len(await first) == 2


async def test_who_looked_just_before_the_answer_was_stored_makes_no_second_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, late, arrives = backend.default(), asyncio.Event(), asyncio.Event()

    class Lagging:
        """A backend whose reply to one question is a long time on its way."""

        lag = False

        async def get(self, key: str) -> Any:
            found, lag, self.lag = await real.get(key), self.lag, False
            if lag:
                late.set()
                await arrives.wait()
            return found

        put = real.put

    lagging = Lagging()
    monkeypatch.setattr(backend, "default", lambda: lagging)
    inner = Slow()
    handler = cached(inner)
    first = asyncio.create_task(answer(handler, Turn(QUESTION)))
    await inner.begun.wait()
    lagging.lag = True
    second = asyncio.create_task(answer(handler, Turn(QUESTION)))
    await late.wait()
    inner.go_on.set()
    await first
    arrives.set()
    assert (await second).served == "cached"
    assert inner.calls == 1


async def test_when_the_first_leaves_the_others_go_on() -> None:
    inner = Slow()
    handler = cached(inner)
    tasks = [asyncio.create_task(answer(handler, Turn(QUESTION))) for _ in range(3)]
    await inner.begun.wait()
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    inner.go_on.set()
    assert [end.text for end in await asyncio.gather(*tasks[1:])] == ["24 months"] * 2
    assert inner.calls == 1
    assert (await answer(handler, Turn(QUESTION))).served == "cached"


async def test_when_all_leave_the_call_is_closed_and_the_next_one_begins_anew() -> None:
    inner = Slow()
    handler = cached(inner)
    tasks = [asyncio.create_task(answer(handler, Turn(QUESTION))) for _ in range(3)]
    await inner.begun.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert inner.closed == 1
    inner.go_on.set()
    assert (await answer(handler, Turn(QUESTION))).served == "live"


async def test_a_failure_is_told_to_all_who_wait_and_to_nobody_after() -> None:
    inner = Slow([TextDelta("24"), OUTAGE], said())
    handler = cached(inner)
    tasks = [asyncio.create_task(answer(handler, Turn(QUESTION))) for _ in range(5)]
    await inner.begun.wait()
    inner.go_on.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [OUTAGE] * 5
    assert (await answer(handler, Turn(QUESTION))).served == "live"


async def test_who_reads_along_is_not_shown_what_a_tool_said_to_another() -> None:
    def of(turn: Turn) -> list[Event | Exception]:
        secret = f"the parcel of {turn.user.id}"
        return [TextDelta("One moment. "), ToolCall("1", "look", {}), ToolResult("1", "look", secret), *said(secret)]

    class Asking(Slow):
        async def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
            self.scripts = (of(turn),)
            async with aclosing(super().__call__(turn)) as events:
                async for event in events:
                    yield event

    inner = Asking()
    handler = cached(inner)
    users = [User("C-1"), User("C-2"), User("C-3")]
    tasks = [asyncio.create_task(collect(handler(Turn("Where is the parcel?", user)))) for user in users]
    await inner.begun.wait()
    inner.go_on.set()
    for user, events in zip(users, await asyncio.gather(*tasks), strict=True):
        assert {event.result for event in events if isinstance(event, ToolResult)} == {f"the parcel of {user.id}"}
        assert isinstance(events[-1], Answer) and events[-1].text == f"the parcel of {user.id}"
    assert sum(isinstance(event, Reset) for task in tasks for event in task.result()) == 2
    assert inner.calls == 3


async def test_nothing_is_done_for_somebody_who_has_left() -> None:
    done: list[str] = []

    async def inner(turn: Turn) -> AsyncGenerator[Event, None]:
        yield TextDelta("One moment. ")
        await go_on.wait()
        yield ToolCall("1", "send", {})
        done.append(turn.user.id)
        yield Answer(text="sent")

    go_on = asyncio.Event()
    handler = cached(inner)
    tasks = [asyncio.create_task(answer(handler, Turn("Send one", User(f"C-{number}")))) for number in (1, 2)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    go_on.set()
    assert (await tasks[1]).text == "sent"
    assert done == ["C-2"]


async def test_nothing_stays_in_the_air() -> None:
    flights = singleflight.Flights(cache_keys.is_for_one)
    for script in (said(), [OUTAGE]):
        inner = Inner(script)
        flight, ours = flights.board("key", lambda inner=inner: inner(Turn(QUESTION)))
        await asyncio.gather(collect(flight.read(ours)), return_exceptions=True)
        assert not flights._flying


# the exercises of notebook 07


def plain_key(turn: Turn, recipe: str) -> str:
    user = turn.user
    said = "".join(message.text for message in turn.history)
    return f"{recipe}{turn.text}{user.tenant}{sorted(user.scopes)}{user.language}{said}"


def no_flight() -> Any:
    async def once(key: str, make: Callable[[], Awaitable[str]]) -> str:
        return await make()

    return once


def unshielded() -> Any:
    flying: dict[str, asyncio.Future[str]] = {}

    async def once(key: str, make: Any) -> str:
        if key not in flying:
            flying[key] = asyncio.ensure_future(make())
            flying[key].add_done_callback(lambda _: flying.pop(key))
        return await flying[key]

    return once


def never_lands() -> Any:
    flying: dict[str, asyncio.Future[str]] = {}

    async def once(key: str, make: Any) -> str:
        if key not in flying:
            flying[key] = asyncio.ensure_future(make())
        return await asyncio.shield(flying[key])

    return once


WRONG: list[tuple[str, Any, str]] = [
    ("cache_key", lambda turn, recipe: turn.text, "another tenant: that may be another answer"),
    ("cache_key", lambda turn, recipe: str(turn), "another customer with the same rights"),
    ("cache_key", lambda turn, recipe: f"{turn.user.tenant} {turn.text}", "another plan"),
    ("cache_key", lambda turn, recipe: plain_key(turn, ""), "another recipe"),
    ("cache_key", plain_key, "the question 'ab' of tenant 'c'"),
    ("one_flight", no_flight, "made 51 calls"),
    ("one_flight", unshielded, "others were left without an answer"),
    ("one_flight", never_lands, "the next caller begins a new one"),
]


@pytest.mark.parametrize(("name", "solution", "said"), WRONG)
async def test_a_wrong_solution_hears_what_was_seen(
    capsys: pytest.CaptureFixture[str], name: str, solution: Any, said: str
) -> None:
    await exercises.check(name, solution)
    line = capsys.readouterr().out
    assert line.startswith("○ Not yet") and said in line
