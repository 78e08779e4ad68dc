"""The same question in other words is answered from memory; another question never is, however alike it sounds."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_eval_data import problems, rows

from patterns import cache_calibration, cache_keys, caching, calls, metrics
from patterns.cache_calibration import Pair, calibrate, measure, pairs, upper_bound
from patterns.course import control
from patterns.errors import ProviderError
from patterns.events import (
    Answer,
    Event,
    Handler,
    Message,
    Plan,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    User,
    answer,
    stack,
)
from patterns.semantic_guard import difference

QUESTION, OTHER_WORDS = "How long is the warranty on a thermostat?", "For how long is the warranty on a thermostat?"


async def by_words(texts: Sequence[str], **_: Any) -> np.ndarray:
    """Vectors without a model: as alike as two texts have letters and words in common. Fast, and always the same."""
    rows = np.zeros((len(texts), 512), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.lower().strip("?").split():
            row[sum(map(ord, word)) % 512] += 1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "embed", by_words)


class Inner:
    """Says for whom it was asked, and counts."""

    def __init__(self, *events: Event) -> None:
        self.events, self.calls = events, 0

    async def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
        self.calls += 1
        for event in self.events or (Answer(text=f"{turn.user.tenant}: 24 months"),):
            yield event


version = {"now": "v1"}


async def recipe(turn: Turn) -> str:
    return version["now"]


@pytest.fixture(autouse=True)
def first_version() -> None:
    version["now"] = "v1"


def cached(inner: Handler, threshold: float | None = 0.5) -> Handler:
    return caching.semantic_cache(recipe, threshold)(inner)


# hits and misses


@pytest.mark.usefixtures("no_model")
async def test_the_same_question_in_other_words_is_a_hit() -> None:
    inner = Inner()
    handler = cached(inner)
    assert (await answer(handler, Turn(QUESTION))).served == "live"
    end = await answer(handler, Turn(OTHER_WORDS, User("C-2")))
    assert (end.served, end.text, end.cost_usd, inner.calls) == ("cached", "acme-home: 24 months", 0.0, 1)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    "asked",
    [
        "How long is the warranty on a camera?",
        "How long is the warranty not on a thermostat?",
        "How much is the warranty on a thermostat?",
        "How long is the warranty on 2 thermostat?",
    ],
    ids=["entity", "negation", "asked", "number"],
)
async def test_a_question_that_only_sounds_alike_is_a_miss(asked: str) -> None:
    inner = Inner()
    handler = cached(inner, threshold=0.0)
    await answer(handler, Turn(QUESTION))
    assert (await answer(handler, Turn(asked))).served == "live"


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    "other",
    [
        User(tenant="acme-kitchen"),
        User(plan="pro"),
        User(teams=("support",)),
        User(language="de"),
    ],
    ids=["tenant", "plan", "team", "language"],
)
async def test_nobody_with_other_rights_gets_it(other: User) -> None:
    inner = Inner()
    handler = cached(inner)
    await answer(handler, Turn(QUESTION))
    assert (await answer(handler, Turn(QUESTION, other))).served == "live"
    assert inner.calls == 2


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("text", "history"),
    [
        ("How long is the warranty on my thermostat?", ()),
        ("How long is the warranty of H-100071?", ()),
        ("How long is it, for ann@example.org?", ()),
        ("How long is it, on 0151 2345678?", ()),
        ("How long is it, on card 4111-1111-1111-1111?", ()),
        (QUESTION, (Message("user", "hello"),)),
    ],
    ids=["personal", "order", "e-mail", "phone", "card", "history"],
)
async def test_what_is_personal_or_leans_on_a_history_is_not_remembered(text: str, history: tuple[Any, ...]) -> None:
    inner = Inner()
    handler = cached(inner, threshold=0.0)
    for _ in range(2):
        assert (await answer(handler, Turn(text, history=history))).served == "live"
    assert inner.calls == 2


@pytest.mark.usefixtures("no_model")
async def test_when_the_recipe_changes_nothing_old_is_found() -> None:
    handler = cached(Inner())
    await answer(handler, Turn(QUESTION))
    version["now"] = "v2"
    assert (await answer(handler, Turn(QUESTION))).served == "live"


@pytest.mark.usefixtures("no_model")
async def test_an_answer_during_which_the_recipe_changed_is_not_remembered() -> None:
    async def inner(turn: Turn) -> AsyncGenerator[Event, None]:
        version["now"] = "v2"
        yield Answer(text="24 months")

    handler = cached(inner)
    await answer(handler, Turn(QUESTION))
    version["now"] = "v1"
    assert (await answer(handler, Turn(QUESTION))).served == "live"


@pytest.mark.usefixtures("no_model")
async def test_an_answer_past_its_time_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_keys, "STEADY", cache_keys.Freshness(0.0, 3_600.0))
    handler = cached(Inner())
    for _ in range(2):
        assert (await answer(handler, Turn(QUESTION))).served == "live"


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    "end",
    [
        Answer(text="?", confident=False),
        Answer(text="?", truncated=True),
        Answer(text="?", served="handoff", outcome="human_handoff"),
        Answer(text="?", served="stale"),
    ],
    ids=["unsure", "cut-off", "handed-over", "stale"],
)
async def test_what_may_be_wrong_is_not_remembered(end: Answer) -> None:
    inner = Inner(end)
    handler = cached(inner)
    for _ in range(2):
        await answer(handler, Turn(QUESTION))
    assert inner.calls == 2


@pytest.mark.usefixtures("no_model")
async def test_an_answer_made_with_a_tool_is_not_remembered() -> None:
    inner = Inner(ToolCall("1", "look", {}), ToolResult("1", "look", {}), Answer(text="It is yours."))
    handler = cached(inner)
    for _ in range(2):
        await answer(handler, Turn(QUESTION))
    assert inner.calls == 2


@pytest.mark.usefixtures("no_model")
async def test_another_process_that_remembers_is_heard_at_once() -> None:
    one, other = cached(Inner()), cached(inner := Inner())
    assert (await answer(other, Turn("Is anything there?"))).served == "live"
    await answer(one, Turn(QUESTION))
    assert (await answer(other, Turn(OTHER_WORDS))).served == "cached"
    await caching.forget("acme-home")
    assert (await answer(other, Turn(OTHER_WORDS))).served == "live"
    assert inner.calls == 2


async def test_without_a_vector_or_a_threshold_the_question_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(texts: Sequence[str], **_: Any) -> np.ndarray:
        raise ProviderError("No.", "Later.", "overloaded", transient=True)

    monkeypatch.setattr(calls, "embed", down)
    before = metrics.value("cache.failed", reason="embedding")
    for handler in (cached(Inner()), stack(Inner(), caching.semantic_cache(recipe))):
        assert (await answer(handler, Turn(QUESTION))).served == "live"
    assert metrics.value("cache.failed", reason="embedding") == before + 2
    monkeypatch.setenv("PATTERNS_MODEL_EMBED", "never-calibrated")
    assert caching.calibrated() is None
    assert (await answer(stack(Inner(), caching.semantic_cache(recipe)), Turn(QUESTION))).served == "live"


@pytest.mark.usefixtures("no_model")
async def test_rows_that_are_known_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from patterns import semantic_cache

    read: list[str] = []
    original = semantic_cache._read
    monkeypatch.setattr(semantic_cache, "_read", lambda entry: read.append(entry.value) or original(entry))
    handler = cached(Inner())
    for number in ("E-1", "E-2", "E-3", "E-4"):
        await answer(handler, Turn(f"What does {number} mean?"))
    assert max(Counter(read).values()) == 1


# nothing crosses: 100,000 requests at random

TENANTS = ("acme-home", "acme-kitchen", "acme-nord")
PLANS: tuple[Plan, ...] = ("basic", "plus", "pro")
TEAMS = ((), ("support",), ("billing", "support"))
GENERAL = tuple(f"What does error {letter}-{number} mean?" for letter in "EKF" for number in range(101, 105))
REPHRASED = tuple(f"What is the meaning of error {letter}-{number}?" for letter in "EKF" for number in range(101, 105))
PERSONAL = ("Where is my order?", "What did I pay?", "When does H-100071 come?", "Wo ist meine Bestellung?")
BY_TOOL = ("Where is the parcel?", "Is the refund on its way?")


def made_for(turn: Turn) -> list[str]:
    user = turn.user
    return [user.tenant, "+".join(sorted(user.scopes)), user.language, version["now"]]


async def names_its_reader(turn: Turn) -> AsyncGenerator[Event, None]:
    await asyncio.sleep(0)
    if turn.text in BY_TOOL:
        yield TextDelta("One moment. ")
        yield ToolCall("1", "order_lookup", {})
        yield ToolResult("1", "order_lookup", turn.user.id)
    yield Answer(text="|".join([*made_for(turn), turn.user.id]))


def at_random(dice: random.Random) -> Turn:
    asked = dice.choice((GENERAL, GENERAL, REPHRASED, PERSONAL, BY_TOOL))
    user = User(
        f"C-{dice.randrange(4)}",
        dice.choice(TENANTS),
        dice.choice(PLANS),
        dice.choice(TEAMS),
        dice.choice(("en", "de")),
    )
    return Turn(dice.choice(asked), user)


async def crossings(handler: Handler, requests: int, seed: int, at_once: int = 250) -> tuple[int, Counter[str]]:
    """How many of `requests` were answered with what was made for somebody else; and how the others were served."""
    dice, crossed = random.Random(seed), 0
    served: Counter[str] = Counter()
    for start in range(0, requests, at_once):
        version["now"] = f"v{start * 4 // requests}"
        turns = [at_random(dice) for _ in range(at_once)]
        for turn, end in zip(turns, await asyncio.gather(*(answer(handler, turn) for turn in turns)), strict=True):
            *scope, user = end.text.split("|")
            for_one = turn.text in PERSONAL or turn.text in BY_TOOL
            crossed += scope != made_for(turn) or (for_one and user != turn.user.id)
            served[end.served] += 1
    return crossed, served


@pytest.mark.usefixtures("no_model")
async def test_of_a_hundred_thousand_requests_none_gets_what_is_anothers() -> None:
    handler = stack(names_its_reader, caching.response_cache(recipe), caching.semantic_cache(recipe, 0.4))
    crossed, served = await crossings(handler, 100_000, seed=7)
    assert crossed == 0
    assert served["cached"] > 70_000 and served["live"] > 10_000


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("forgotten", ["tenant", "scopes", "language", "user", "recipe"])
async def test_that_this_would_notice_a_key_without(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def audience(turn: Turn, made_with: str) -> list[Any]:
        user = turn.user
        parts: dict[str, Any] = {"tenant": user.tenant, "scopes": sorted(user.scopes), "language": user.language}
        parts["recipe"] = made_with
        return [value for name, value in parts.items() if name != forgotten]

    monkeypatch.setattr(cache_keys, "audience", audience)
    if forgotten == "user":
        monkeypatch.setattr(cache_keys, "is_personal", lambda turn: False)
    layers = (caching.response_cache(recipe), caching.semantic_cache(recipe, 0.4))
    crossed, _ = await crossings(stack(names_its_reader, *layers), 4_000, seed=7)
    assert crossed > 0


# the guard

DIFFERENT = """
numbers: Cancel order 1 / Cancel order 2
numbers: What is E-203? / What is E-204?
numbers: In two days / In 3 days
numbers: Can two people use one account? / Can one person use two accounts?
negation: Can I return it? / Can I not return it?
negation: Does it work with Wi-Fi? / Doesn't it work with Wi-Fi?
negation: Geht das? / Geht das nicht?
opposites: How do I turn it on? / How do I turn it off?
opposites: Before delivery / After delivery
opposites: Is Plus cheaper? / Is Plus dearer?
opposites: Wie schalte ich es ein? / Wie schalte ich es aus?
asked: When is the refund paid? / Why is the refund paid?
asked: How long is it? / How much is it?
words: How do I return a plug? / How do I return a camera?
words: Return it / Refund it
words: Is Pro in the sale? / Is Plus in the sale?
words: Liefern Sie nach Wien? / Liefern Sie nach Berlin?
roles: Can I call you? / Can you call me?
roles: From Plus to Pro / From Pro to Plus
roles: Does the hub need the plug? / Does the plug need the hub?
roles: Do you ship to Wien? / Do you ship from Wien?
"""
SAME = (
    ("How do I return a plug?", "How can I send a plug back?"),
    ("How long is the warranty?", "What is the warranty period?"),
    ("How do I turn the light off?", "How can I switch off the light?"),
    ("What does error E-203 mean?", "What is the meaning of the code E-203?"),
    ("How do I replace the gasket of the machine?", "How do I change the machine's gasket?"),
    ("Wie lösche ich ein Konto?", "Wie kann ich ein Konto entfernen?"),
    ("Can you tell me how long the warranty is?", "How long is the warranty?"),
)


@pytest.mark.parametrize("line", DIFFERENT.strip().splitlines())
def test_the_guard_says_what_differs(line: str) -> None:
    reason, _, both = line.partition(": ")
    a, b = both.split(" / ")
    assert difference(a, b) == reason
    assert difference(b, a) == reason


@pytest.mark.parametrize(("a", "b"), SAME)
def test_the_guard_lets_other_words_through(a: str, b: str) -> None:
    assert difference(a, b) is None


real = st.sampled_from([text for pair in SAME for text in pair])
texts = st.text(st.characters(codec="utf-8"), max_size=60) | real


@given(texts, texts)
def test_the_guard_reads_any_text_and_does_not_mind_the_order(a: str, b: str) -> None:
    assert difference(a, a) is None
    assert (difference(a, b) is None) == (difference(b, a) is None)


@given(real, st.sampled_from(["not", "never", "nicht", "ohne"]))
def test_one_more_not_is_another_question(text: str, negation: str) -> None:
    assert difference(text, f"{text.rstrip('?')} {negation}") == "negation"


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_another_number_is_another_question(a: int, b: int) -> None:
    assert (difference(f"Is article {a} sold?", f"Is article {b} sold?") is None) == (a == b)


# calibration


@pytest.mark.parametrize(
    ("events", "trials", "limit"),
    [(0, 299, 0.00997), (0, 298, 0.01000), (1, 473, 0.00999), (3, 793, 0.00975), (5, 5, 1.0), (10, 1799, 0.00941)],
)
def test_the_upper_limit_of_a_rate(events: int, trials: int, limit: float) -> None:
    assert upper_bound(events, trials) == pytest.approx(limit, abs=1e-5)


def test_the_threshold_is_the_lowest_that_holds_the_bound() -> None:
    def at(cosine: float) -> np.ndarray:
        return np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)

    base = "How do I reset it?"
    found = [Pair(base, f"{base} {' ' * place}", "other") for place in range(400)]
    vectors = {base: at(1.0)} | {pair.b: at(0.5 + place / 1000) for place, pair in enumerate(found)}
    threshold = calibrate(found, vectors, bound=0.02)
    assert threshold is not None and measure(found, vectors, threshold).false_bound <= 0.02
    assert measure(found, vectors, threshold - 0.01).false_bound > 0.02
    assert calibrate(found, dict.fromkeys(vectors, at(1.0)), bound=0.02) is None


def test_no_question_of_the_pairs_is_in_both_splits() -> None:
    tune, test = ({text for pair in pairs(split) for text in (pair.a, pair.b)} for split in ("tune", "test"))
    assert not tune & test
    for split in ("tune", "test"):
        kinds = Counter(pair.kind for pair in pairs(split))
        assert all(kinds[kind] >= 50 for kind in ("paraphrase", *cache_calibration.NOT_THE_SAME)), kinds


async def test_on_pairs_that_it_has_not_seen_the_cache_holds_its_bound(turn_dials: Callable[..., None]) -> None:
    turn_dials()
    found = {split: pairs(split) for split in ("tune", "test")}
    vectors = await cache_calibration.embed([*found["tune"], *found["test"]])
    assert caching.calibrated() == calibrate(found["tune"], vectors)
    ours = measure(found["test"], vectors, caching.calibrated() or 1.0)
    fixed = measure(found["test"], vectors, 0.94, guarded=False)
    assert ours.false_bound <= cache_calibration.BOUND
    assert ours.hits >= 1.5 * fixed.hits and fixed.false_bound > cache_calibration.BOUND


def test_the_cases_of_this_layer_are_true_to_the_world() -> None:
    assert problems(rows("caching")) == []


async def test_with_a_real_model_the_same_question_in_other_words_is_one_call(turn_dials: Callable[..., None]) -> None:
    turn_dials()
    handler = stack(Inner(), caching.semantic_cache(recipe))
    before = {entry["request_id"] for entry in await control.settled_log()}
    assert (await answer(handler, Turn("What does error E-203 mean?"))).served == "live"
    assert (await answer(handler, Turn("What is the meaning of the code E-203?"))).served == "cached"
    assert (await answer(handler, Turn("What does error E-207 mean?"))).served == "live"
    assert len({entry["request_id"] for entry in await control.settled_log()} - before) == 3  # vectors only
