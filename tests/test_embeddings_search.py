"""Search without a chat model: only what one may see, vectors of one model and of the present text, honest odds."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import knn_routing
from patterns import acme, calls, knn_router, rag, triage
from patterns.course import embedding_map, exercises
from patterns.did_you_mean import LEAST_LETTERS, Phrases, by_letters, ngrams
from patterns.embeddings_search import Library, Text, embedded, find_articles, more_like_this, without_boilerplate
from patterns.errors import CallerError
from patterns.events import Answer, User
from patterns.knn_router import SURE, Router, calibration_error, route, tickets
from patterns.retrieval import Mode
from patterns.topics import anomalies, kmeans, topics, typical_words

MODEL = "test/letters"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class Letters:
    """Embeds a text as how often each letter comes, not of length 1; remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    async def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.given += texts
        return np.array([[text.lower().count(letter) + 0.01 for letter in ALPHABET] for text in texts], np.float32)


TEXTS = (
    Text("a1", "acme-home", "hub offline"),
    Text("a2", "acme-home", "hub is offline"),
    Text("a3", "acme-home", "zebra jazz"),
    Text("b1", "acme-nord", "hub offline"),
)


async def vector(text: str) -> np.ndarray:
    return (await Letters()([text]))[0]


# a library


async def test_the_nearest_come_first_and_no_other_tenants() -> None:
    library = await Library.build(TEXTS, Letters(), MODEL)
    found = library.nearest(await vector("hub offline"), MODEL, "acme-home", 5)
    assert [near.id for near in found] == ["a1", "a2", "a3"]
    assert found[0].similarity == pytest.approx(1, abs=1e-3)
    assert [near.id for near in library.nearest(await vector("jazz"), MODEL, "acme-nord", 5)] == ["b1"]
    assert library.nearest(await vector("jazz"), MODEL, "acme-kitchen", 5) == []


@given(tenants=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=30), limit=st.integers(-1, 40))
def test_a_search_gives_as_many_as_the_tenant_has(tenants: list[str], limit: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(len(tenants), 8))
    library = Library([Text(str(at), tenant, "x") for at, tenant in enumerate(tenants)], vectors, MODEL)
    found = library.nearest(np.ones(8), MODEL, "a", limit)
    assert len(found) == min(max(limit, 0), tenants.count("a"))
    assert all(tenants[int(near.id)] == "a" for near in found)
    assert [near.similarity for near in found] == sorted((near.similarity for near in found), reverse=True)


async def test_length_has_no_say() -> None:
    long = Text("long", "acme-home", "zebra jazz hub " * 50)
    library = await Library.build([*TEXTS, long], Letters(), MODEL)
    assert np.allclose(np.linalg.norm(library.vectors, axis=1), 1, atol=1e-5)
    assert library.nearest(await vector("hub offline"), MODEL, "acme-home", 1)[0].id == "a1"


async def test_vectors_of_two_models_are_not_compared() -> None:
    library = await Library.build(TEXTS, Letters(), MODEL)
    with pytest.raises(CallerError, match="one model") as raised:
        library.nearest(await vector("hub"), "test/other", "acme-home")
    assert raised.value.code == "mixed_embeddings"
    with pytest.raises(CallerError, match="one model"):
        library.nearest(np.ones(7), MODEL, "acme-home")


@pytest.mark.parametrize("bad", [np.full(36, np.nan), np.ones((2, 36))], ids=["nan", "two-rows"])
async def test_a_vector_that_is_none_is_refused(bad: np.ndarray) -> None:
    library = await Library.build(TEXTS, Letters(), MODEL)
    with pytest.raises(CallerError) as raised:
        library.nearest(bad, MODEL, "acme-home")
    assert raised.value.code == "bad_vectors"


async def test_only_what_changed_is_embedded_again() -> None:
    library = await Library.build(TEXTS, Letters(), MODEL)
    edited = [replace(TEXTS[0], text="zebra zoo"), *TEXTS[1:3], Text("a4", "acme-home", "new")]
    assert [text.id for text in library.changed(edited)] == ["a1", "a4"]
    again = Letters()
    fresh = await library.refreshed(edited, again)
    assert again.given == ["zebra zoo", "new"]
    assert not fresh.changed(edited)
    assert fresh.nearest(await vector("zebra zoo"), MODEL, "acme-home", 1)[0].id == "a1"
    assert "b1" not in {text.id for text in fresh.texts}
    assert np.allclose(fresh.vectors[1:3], library.vectors[1:3], atol=1e-6)
    untouched = Letters()
    await fresh.refreshed(edited, untouched)
    assert untouched.given == []


async def test_duplicates_are_of_one_tenant_and_named_once() -> None:
    library = await Library.build(TEXTS, Letters(), MODEL)
    pairs = library.duplicates("acme-home", 0.9)
    assert [(a.id, b.id) for a, b, _ in pairs] == [("a1", "a2")]
    assert len(library.duplicates("acme-home", -1)) == 3


async def test_ids_are_unique_and_texts_are_needed() -> None:
    with pytest.raises(CallerError) as raised:
        await Library.build([TEXTS[0], TEXTS[0]], Letters(), MODEL)
    assert raised.value.code == "duplicate_id"
    with pytest.raises(CallerError) as raised:
        await embedded([], Letters())
    assert raised.value.code == "bad_request"


def test_lines_that_everybody_writes_are_left_out() -> None:
    signed = [f"Hello Acme,\nthe {thing} is broken\nKIND regards" for thing in ("hub", "plug", "bell", "lamp")]
    assert without_boilerplate(signed) == [f"the {thing} is broken" for thing in ("hub", "plug", "bell", "lamp")]
    assert without_boilerplate(signed[:3]) == signed[:3]
    assert without_boilerplate(["Hello!"] * 5) == ["Hello!"] * 5


# the help centre


async def test_articles_are_found_once_each_and_within_the_rights(
    with_library: Path, turn_dials: Callable[..., None]
) -> None:
    index = await rag.acme_index()
    customer = User("C-0001", "acme-home")
    support = replace(customer, teams=("support",))
    question = "limits of a goodwill refund for support agents"
    for_customer = [near.id for near in await find_articles(index, question, customer, 10)]
    for_support = [near.id for near in await find_articles(index, question, support, 10)]
    assert for_support[0] == "home-goodwill-refunds" and "home-goodwill-refunds" not in for_customer
    for found in (for_customer, for_support):
        assert len(found) == len(set(found)) and all(one.startswith("home-") for one in found)
    visible = {article.id for article in acme.articles() if article.visible_to(customer)}
    assert set(for_customer) <= visible


async def test_more_like_this_shows_no_more_than_a_search(with_library: Path, turn_dials: Callable[..., None]) -> None:
    index = await rag.acme_index()
    customer = User("C-0001", "acme-home")
    near = await more_like_this(index, "home-returns-and-refunds", customer, 5)
    assert near[0].id == "home-return-policy" and "home-returns-and-refunds" not in {one.id for one in near}
    visible = {article.id for article in acme.articles() if article.visible_to(customer)}
    assert {one.id for one in near} <= visible
    for hidden in ("home-goodwill-refunds", "kitchen-returns", "there-is-none"):
        with pytest.raises(CallerError) as raised:
            await more_like_this(index, hidden, customer)
        assert raised.value.code == "not_found"


async def test_words_find_codes_and_vectors_find_paraphrases(
    with_library: Path, turn_dials: Callable[..., None]
) -> None:
    index, user = await rag.acme_index(), User("C-0001", "acme-home")

    async def first(question: str, mode: Mode) -> str:
        return (await find_articles(index, question, user, 1, mode))[0].id

    crushed, code = "The box got crushed on the way, how quickly must I tell you?", "HX-S220: how many dB?"
    assert await first(crushed, "vectors") == "home-shipping-and-delivery" != await first(crushed, "words")
    assert await first(code, "words") == "home-set-up-the-smoke-sensor" != await first(code, "vectors")


# routing


def clusters(labels: int = 3, each: int = 30, spread: float = 0.3, seed: int = 5) -> tuple[np.ndarray, list[str]]:
    draw = np.random.default_rng(seed)
    vectors = np.repeat(np.eye(labels, 12), each, axis=0) + spread * draw.normal(size=(labels * each, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [f"label {at // each}" for at in range(labels * each)]


def test_neighbours_name_the_label() -> None:
    vectors, labels = clusters()
    unseen, wanted = clusters(seed=6)
    votes = Router(vectors, labels).vote(unseen)
    assert np.mean([vote.label == label for vote, label in zip(votes, wanted, strict=True)]) > 0.85
    assert all(len(set(vote.neighbours)) == 5 for vote in votes)


def test_an_example_is_no_neighbour_of_its_own() -> None:
    vectors, labels = clusters(each=5)
    router = Router(vectors, labels, k=3)
    assert all(at not in vote.neighbours for at, vote in enumerate(router.left_out))
    assert all(vote.neighbours[0] == at for at, vote in enumerate(router.vote(vectors)))


def test_confidence_says_how_often_it_is_right() -> None:
    vectors, labels = clusters(each=200, spread=0.6)
    unseen, wanted = clusters(each=200, spread=0.6, seed=6)
    router = Router(vectors, labels)
    votes = router.vote(unseen)
    right = [vote.label == label for vote, label in zip(votes, wanted, strict=True)]
    assert 0.5 < np.mean(right) < 0.95, "too easy or too hard to show anything"
    calibrated = calibration_error([router.curve(vote.score) for vote in votes], right)
    assert calibrated < 0.06 < calibration_error([vote.score for vote in votes], right)


def test_far_from_everything_there_is_no_confidence() -> None:
    vectors, labels = clusters(spread=0.1)
    router = Router(vectors, labels)
    away = np.eye(12, dtype=np.float32)[11:]
    assert router.confidence(router.vote(away)[0]) == 0.0
    assert router.confidence(router.vote(vectors[:1])[0]) > SURE
    below = sum(vote.similarity < router.floor for vote in router.left_out)
    assert below <= 0.02 * len(labels) + 1


@given(share=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_the_calibration_error_is_a_share(share: list[tuple[float, bool]]) -> None:
    error = calibration_error([chance for chance, _ in share], [good for _, good in share])
    assert 0 <= error <= 1 + 1e-9


def test_the_calibration_error_of_known_cases() -> None:
    assert calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert calibration_error([0.95] * 4, [False] * 4) == pytest.approx(0.95)
    assert calibration_error([1.0, 0.0], [False, True]) == pytest.approx(1)


@pytest.mark.parametrize(("labels", "k"), [(["a", "b"], 5), (["a"] * 10, 3), (["a", "b"] * 5, 0)], ids=str)
def test_too_few_examples_are_refused(labels: list[str], k: int) -> None:
    with pytest.raises(CallerError) as raised:
        Router(np.eye(len(labels)), labels, k)
    assert raised.value.code == "bad_request"


class Model:
    """In place of the triage by a model: says one category, and counts."""

    def __init__(self, output: triage.Triage | None) -> None:
        self.asked: list[str] = []
        self.output = output

    async def __call__(self, text: str, user: User) -> Answer:
        self.asked.append(text)
        return Answer(text="", output=self.output)


SAID = triage.Triage(reasoning="x", category="billing", priority="normal", confidence=0.7, response_template=None)


@pytest.mark.parametrize(
    ("sure", "output", "by", "asked"),
    [(0.5, SAID, "neighbours", 0), (1.01, SAID, "model", 1), (1.01, None, "neighbours", 1)],
    ids=["sure", "unsure", "no-model"],
)
async def test_a_model_is_asked_only_where_the_neighbours_are_not_sure(
    monkeypatch: pytest.MonkeyPatch, sure: float, output: triage.Triage | None, by: str, asked: int
) -> None:
    vectors, labels = clusters()
    labelled: list[dict[str, Any]] = []

    async def embed(texts: Sequence[str], **more: Any) -> np.ndarray:
        labelled.append(more)
        return vectors[:1]

    model = Model(output)
    monkeypatch.setattr(calls, "embed", embed)
    monkeypatch.setattr(knn_router.triage, "triage", model)
    routed = await route(Router(vectors, labels), "a text", User("C-0007", "acme-nord"), sure)
    assert (routed.by, len(model.asked)) == (by, asked)
    assert routed.category == ("billing" if by == "model" else "label 0")
    assert labelled == [{"feature": "routing", "tenant": "acme-nord", "user": "C-0007"}]


def test_tickets_without_a_purpose_have_no_label() -> None:
    rows = tickets()
    assert len(rows) > 400 and {row.label for row in rows if row.label} <= set(triage.Category.__args__)
    assert any(not row.label for row in rows)
    assert not {row.id for row in rows} & {row.id for row in tickets("de")}


# topics


def test_topics_are_the_same_each_time_and_hold_every_text_once() -> None:
    vectors, labels = clusters(spread=0.1)
    texts = [f"the {label} text" for label in labels]
    found = topics(vectors, texts, 3)
    assert found == topics(vectors, texts, 3)
    assert sorted(row for topic in found for row in topic.rows) == list(range(len(texts)))
    assert all(len({labels[row] for row in topic.rows}) == 1 for topic in found)


def test_the_seed_decides_where_the_borders_are_not_clear() -> None:
    vectors, _ = clusters(labels=6, spread=0.8)
    once, again, other = (kmeans(vectors, 6, seed)[0].tolist() for seed in (9, 9, 10))
    assert once == again != other


@given(size=st.integers(1, 12), data=st.data())
def test_no_topic_is_empty(size: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, size))
    same = data.draw(st.booleans())
    vectors = np.ones((size, 3)) if same else np.random.default_rng(size).normal(size=(size, 3))
    label, centres = kmeans(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), count)
    assert set(label.tolist()) == set(range(count)) and centres.shape == (count, 3)


def test_more_topics_than_texts_are_refused() -> None:
    for count in (0, 4):
        with pytest.raises(CallerError):
            kmeans(np.eye(3), count)


def test_typical_words_are_not_the_common_ones() -> None:
    inside = ["the hub is offline", "the hub is slow"]
    assert typical_words(inside, [*inside, "the plug is hot", "the bell is loud"])[0] == "hub"


def test_the_odd_one_is_first() -> None:
    vectors, _ = clusters(spread=0.1)
    vectors[17] = -vectors[17]
    assert anomalies(vectors)[0][0] == 17
    with pytest.raises(CallerError):
        anomalies(np.eye(3))


# did you mean


@given(a=st.text(max_size=20), b=st.text(max_size=20))
def test_likeness_of_letters_is_a_share(a: str, b: str) -> None:
    assert 0 <= by_letters(a, b) <= 1
    assert by_letters(a, a) == (1 if ngrams(a) else 0)


def test_what_was_left_out_counts_less_than_what_was_typed_beside() -> None:
    assert by_letters("voice", "Voice assistants") > by_letters("Voice assistants", "voice") > 0


async def test_a_typo_finds_its_phrase_and_nonsense_finds_none() -> None:
    async def blind(texts: Sequence[str]) -> np.ndarray:
        """The meaning of nothing is known: each text has a direction of its own."""
        return np.array([np.eye(50)[sum(map(ord, text)) % 50] for text in texts])

    known = await Phrases.build(["Return policy", "Express delivery", "Return policy"], blind)
    assert known.phrases == ("Return policy", "Express delivery")
    assert (await known.suggest("retrun polcy"))[0][0] == "Return policy"
    assert await known.suggest("?!") == []
    assert await known.suggest("qqqq") == []
    assert 0 < by_letters("polar bear", "Return policy") < LEAST_LETTERS
    assert await known.suggest("polar bear") == []


async def test_other_words_are_found_by_meaning(turn_dials: Callable[..., None]) -> None:
    known = await Phrases.build(["Returns and refunds", "Voice assistants", "Wi-Fi problems"], calls.embed)
    assert by_letters("get my money back", "Returns and refunds") < 0.1
    assert (await known.suggest("get my money back"))[0][0] == "Returns and refunds"


async def test_completing_needs_no_model() -> None:
    known = Phrases(["Express delivery", "All express codes", "Expire (now)"], np.eye(3), Letters())
    assert known.complete("exp") == ["Expire (now)", "Express delivery", "All express codes"]
    assert known.complete("xpress") == known.complete("  ") == []
    assert known.complete("(now") == ["Expire (now)"]


# the map


def test_the_map_escapes_names_and_can_be_used_without_eyes_or_mouse() -> None:
    vectors, labels = clusters(each=4)
    names = ["<script>alert(1)</script>", *(f"text {at}" for at in range(11))]
    drawn = embedding_map.EmbeddingMap(vectors, names, labels, "Twelve <texts>")
    assert "<script" not in drawn.value and "&lt;script&gt;" in drawn.value
    assert drawn.value.count("<title>") == 12 and drawn.value.count('tabindex="0"') == 12
    assert 'role="img"' in drawn.value or 'role="group"' in drawn.value
    assert "Twelve" in repr(drawn) and "label 0: 4" in repr(drawn)


def test_the_map_is_the_same_each_time_and_keeps_neighbours() -> None:
    vectors, labels = clusters(spread=0.05)
    flat, kept = embedding_map.project(vectors)
    again, _ = embedding_map.project(vectors.copy())
    assert np.array_equal(flat, again) and flat.shape == (90, 2) and 0 < kept <= 1
    middles = [flat[[label == name for label in labels]].mean(axis=0) for name in sorted(set(labels))]
    assert min(np.linalg.norm(a - b) for at, a in enumerate(middles) for b in middles[:at]) > 0.3


# the exercises


@pytest.mark.parametrize("name", ["tenant_search", "neighbour_vote"])
async def test_an_unsolved_exercise_says_so(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def stub(*_: Any) -> Any:
        raise NotImplementedError

    await exercises.check(name, stub)
    assert "○ Not yet" in capsys.readouterr().out


def unit(vectors: Any) -> np.ndarray:
    array = np.asarray(vectors, float)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def search(query: Any, vectors: Any, tenants: Any, tenant: str, limit: int) -> list[int]:
    rows = [at for at, one in enumerate(tenants) if one == tenant]
    scores = unit(vectors)[rows] @ unit(query)
    return [rows[at] for at in np.argsort(-scores, kind="stable")[:limit]]


def too_late(query: Any, vectors: Any, tenants: Any, tenant: str, limit: int) -> list[int]:
    best = np.argsort(-(unit(vectors) @ unit(query)), kind="stable")[:limit]
    return [int(at) for at in best if tenants[at] == tenant]


def unnormalised(query: Any, vectors: Any, tenants: Any, tenant: str, limit: int) -> list[int]:
    rows = [at for at, one in enumerate(tenants) if one == tenant]
    return [rows[at] for at in np.argsort(-(np.asarray(vectors)[rows] @ np.asarray(query)))[:limit]]


def no_filter(query: Any, vectors: Any, tenants: Any, tenant: str, limit: int) -> list[int]:
    return np.argsort(-(unit(vectors) @ unit(query)))[:limit].tolist()


def vote(similarities: Any, labels: Any, k: int, sure: float) -> str | None:
    near = sorted(zip(similarities, labels, strict=True), key=lambda pair: -pair[0])[:k]
    weights: dict[str, float] = {}
    for similarity, label in near:
        weights[label] = weights.get(label, 0) + similarity
    best = max(weights, key=lambda label: weights[label])
    return best if weights[best] / sum(weights.values()) >= sure else None


def nearest_only(similarities: Any, labels: Any, k: int, sure: float) -> str | None:
    return labels[int(np.argmax(similarities))]


def heads(similarities: Any, labels: Any, k: int, sure: float) -> str | None:
    near = [label for _, label in sorted(zip(similarities, labels, strict=True), key=lambda pair: -pair[0])[:k]]
    best = max(set(near), key=near.count)
    return best if near.count(best) / k >= sure else None


@pytest.mark.parametrize(
    ("name", "solution", "right"),
    [
        ("tenant_search", search, True),
        ("tenant_search", too_late, False),
        ("tenant_search", unnormalised, False),
        ("tenant_search", no_filter, False),
        ("neighbour_vote", vote, True),
        ("neighbour_vote", nearest_only, False),
        ("neighbour_vote", heads, False),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_the_checks_tell_right_from_wrong(
    name: str, solution: Any, right: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    await exercises.check(name, solution)
    said = capsys.readouterr().out
    assert said.startswith("✓") == right, said


# the benchmark


def test_the_benchmark_measures_both_goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "banking77"
    folder.mkdir()
    kinds = {"card": "where is my card, it did not arrive {}", "rate": "what exchange rate do you use for {}"}
    for split, ends in (("train", ("today", "euros", "yet", "dollars", "abroad")), ("test", ("again", "pounds"))):
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = [(text.format(end), intent) for intent, text in kinds.items() for end in ends]
            csv.writer(file).writerows([("text", "category"), *rows])
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    accuracy, error = knn_routing.banking77_by_neighbours()
    assert accuracy.value == 1 and accuracy.holds and "10 examples, 4 messages" in accuracy.note
    assert error.value is not None and 0 <= error.value <= 1 and error.goal == "≤ 0.05"
