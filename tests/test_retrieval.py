"""Search: what comes first, what nobody may see, and what happens when a part of it fails."""

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Refused, scripted

from patterns import metrics, retrieval
from patterns.chunking import whole
from patterns.documents import Article
from patterns.errors import CallerError, ProviderError
from patterns.events import Message, User
from patterns.index import Index
from patterns.rerankers import Reranker, cross_encoder, default_reranker
from patterns.retrieval import Found, decompose, rewrite, search

DIMENSION = 64
TENANTS, LANGS = ("home", "kitchen", "nord"), ("en", "de")
TAGS = ("public", "plan:basic", "plan:plus", "plan:pro", "team:support", "team:fraud")
WORDS = [
    "refund",
    "parcel",
    "camera",
    "battery",
    "invoice",
    "doorbell",
    "plan",
    "E-104",
    "Akku",
    "Rad",
    "Größe",
    "days",
]


async def embed(texts: Sequence[str]) -> np.ndarray:
    """Bags of words as vectors: texts that share words are near each other, in any language."""
    vectors = np.full((len(texts), DIMENSION), 0.01, dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vectors[row, zlib.crc32(word.strip("?.").encode("utf-8", "replace")) % DIMENSION] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def article(number: int, text: str, **changes: Any) -> Article:
    fields: dict[str, Any] = {
        "tenant": "home",
        "lang": "en",
        "acl": ("public",),
        "updated": date(2026, 1, 1),
        **changes,
    }
    return Article(f"doc-{number}", f"Title {number}", "", text=text, **fields)


def any_articles(count: int) -> list[Article]:
    draw = random.Random(5)
    return [
        article(
            number,
            " ".join(draw.choices(WORDS, k=12)),
            tenant=draw.choice(TENANTS),
            lang=draw.choice(LANGS),
            acl=tuple(draw.sample(TAGS, draw.randint(1, 2))),
            updated=date(2026, draw.randint(1, 12), 1),
        )
        for number in range(count)
    ]


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    opened = Index(tmp_path / "index", embed, "bag-of-words")
    yield opened
    opened.close()


@pytest.fixture
async def small(index: Index) -> Index:
    """Three English articles of one tenant."""
    texts = ["The refund takes 5 days.", "The camera battery lasts long.", "E-104 is a wrong password."]
    await index.sync([article(number, text) for number, text in enumerate(texts)], whole())
    return index


def ids(found: Sequence[Found]) -> list[str]:
    return [one.chunk.document_id for one in found]


READER = User(tenant="home")


# who sees what


async def test_random_users_never_see_what_is_not_theirs(index: Index) -> None:
    articles = {one.id: one for one in any_articles(400)}
    await index.sync(articles.values(), whole())
    seen_reranking: list[str] = []

    async def spying(question: str, texts: Sequence[str]) -> list[float]:
        seen_reranking.extend(texts)
        return [float(len(text)) for text in texts]

    draw, answered = random.Random(6), 0
    for _ in range(500):
        user = User(
            tenant=draw.choice([*TENANTS, "nobody"]),
            plan=draw.choice(["basic", "plus", "pro"]),
            teams=tuple(draw.sample(["support", "fraud"], draw.randint(0, 2))),
            language=draw.choice(LANGS),
        )
        since = draw.choice([None, date(2026, 6, 1)])
        lang = draw.choice([None, "en", "de"])
        # A question may claim anything.
        question = " ".join([*draw.choices(WORDS, k=3), "tenant:kitchen acl:team:fraud I am team:support"])
        seen_reranking.clear()
        found = await search(
            index,
            question,
            user,
            parts=draw.choices(WORDS, k=draw.randint(0, 2)),
            candidates=draw.choice([3, 50, 400]),
            keep=20,
            reranker=draw.choice([None, spying]),
            lang=lang,
            updated_since=since,
            mode=draw.choice(["hybrid", "vectors", "words"]),
        )
        answered += bool(found)
        allowed = {one.text for one in articles.values() if one.visible_to(user)}
        assert allowed.issuperset(seen_reranking)
        for one in found:
            assert articles[one.chunk.document_id].visible_to(user)
            assert since is None or one.chunk.updated >= since
            assert lang is None or one.chunk.lang == lang
        assert len({one.chunk.id for one in found}) == len(found) <= 20
    assert answered > 300


async def test_what_became_invisible_between_the_searches_and_the_answer_is_left_out(small: Index) -> None:
    class Changing:
        """An index whose first article is withdrawn right after the vectors were searched."""

        embed = staticmethod(embed)

        def __getattr__(self, name: str) -> Any:
            return getattr(small, name)

        def chunks(self, found: Any, scope: Any) -> Any:
            return [chunk for chunk in small.chunks(found, scope) if chunk.document_id != "doc-0"]

    found = await search(Changing(), "refund days", READER)  # type: ignore[reportArgumentType]
    assert sorted(ids(found)) == ["doc-1", "doc-2"]


# order and languages


async def test_both_searches_have_a_say_and_report_their_ranks(small: Index) -> None:
    found = await search(small, "What is E-104?", READER)
    assert ids(found)[0] == "doc-2" and len(found) == 3
    assert (found[0].vector_rank, found[0].word_rank) == (1, 1)
    assert found[-1].word_rank is None
    [vector] = await embed(["What is E-104?"])
    [text] = await embed([found[0].chunk.text])
    assert found[0].similarity == pytest.approx(float(vector @ text), abs=1e-3)


async def test_words_alone_ask_no_model(tmp_path: Path) -> None:
    calls: list[Sequence[str]] = []

    async def counting(texts: Sequence[str]) -> np.ndarray:
        calls.append(texts)
        return await embed(texts)

    index = Index(tmp_path / "counted", counting, "counted")
    await index.sync([article(1, "The refund takes 5 days.")], whole())
    calls.clear()
    [found] = await search(index, "refund", READER, mode="words")
    assert (found.similarity, found.vector_rank, found.word_rank, calls) == (None, None, 1, [])
    [found] = await search(index, "refund", READER, mode="vectors")
    assert (found.word_rank, found.vector_rank, len(calls)) == (None, 1, 1)
    index.close()


async def test_parts_find_what_the_question_alone_does_not_put_first(small: Index) -> None:
    assert ids(await search(small, "E-104 password", READER, keep=1)) == ["doc-2"]
    found = await search(small, "E-104 password", READER, parts=["camera battery", "long battery lasts"], keep=1)
    assert ids(found) == ["doc-1"]
    [vector] = await embed(["E-104 password"])
    [text] = await embed([found[0].chunk.text])
    assert found[0].similarity == pytest.approx(float(vector @ text), abs=1e-3)  # to the question, not to a part


async def test_the_own_language_comes_first_and_others_only_fill_up(index: Index) -> None:
    german = [article(number, f"Der Akku {number} lädt.", lang="de") for number in range(3)]
    english = [article(number, "Akku battery alarm", lang="en") for number in range(3, 9)]
    await index.sync([*german, *english], whole())
    reader = User(tenant="home", language="de")
    found = await search(index, "Akku battery alarm", reader, keep=5)
    assert [one.chunk.lang for one in found] == ["de", "de", "de", "en", "en"]
    found = await search(index, "Akku battery alarm", reader, keep=3)
    assert [one.chunk.lang for one in found] == ["de", "de", "de"]
    assert len(await search(index, "Akku battery alarm", reader, keep=5, lang="de")) == 3
    french = User(tenant="home", language="fr")
    assert len(await search(index, "Akku battery alarm", french, keep=5)) == 5


# questions of any kind


@pytest.mark.parametrize("question", ["", "  \n ", "?!", "\x00", "\ud800", '" OR NEAR(', "wort " * 2_000, "x" * 10_000])
@pytest.mark.parametrize("mode", ["hybrid", "vectors", "words"])
async def test_any_text_is_a_question(small: Index, question: str, mode: retrieval.Mode) -> None:
    found = await search(small, question, READER, mode=mode)
    assert len(found) <= 3 and (question.strip() or not found)


async def test_an_empty_index_finds_nothing(index: Index) -> None:
    assert await search(index, "refund", READER) == []
    await index.sync([article(1, "The refund takes 5 days.", tenant="kitchen")], whole())
    assert await search(index, "refund", READER, reranker=default_reranker()) == []


# rerankers that work, fail, hang or say odd things


async def test_a_reranker_decides_the_order(small: Index) -> None:
    async def by_camera(question: str, texts: Sequence[str]) -> list[float]:
        return [float("camera" in text) for text in texts]

    found = await search(small, "refund days", READER, reranker=by_camera)
    assert ids(found)[:2] == ["doc-1", "doc-0"] and found[0].score == 1


async def down(question: str, texts: Sequence[str]) -> list[float]:
    raise ProviderError("Nothing answers.", "Try again.", "unreachable", transient=True)


async def hanging(question: str, texts: Sequence[str]) -> list[float]:
    await asyncio.sleep(60)
    return []


async def not_a_number(question: str, texts: Sequence[str]) -> list[float]:
    return [1.0, float("nan"), 2.0][: len(texts)]


async def one_too_few(question: str, texts: Sequence[str]) -> list[float]:
    return [1.0] * (len(texts) - 1)


@pytest.mark.parametrize(
    ("reranker", "reason"),
    [(down, "unreachable"), (hanging, "timeout"), (not_a_number, "bad_stream"), (one_too_few, "bad_stream")],
)
@pytest.mark.parametrize("blend", [False, True])
async def test_a_reranker_that_fails_costs_only_its_opinion(
    small: Index, reranker: Reranker, reason: str, blend: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "RERANK_SECONDS", 0.05)
    plain = await search(small, "refund days", READER)
    before = metrics.value("rerank.failed", reason=reason)
    used = retrieval.blended(reranker) if blend else reranker
    assert await search(small, "refund days", READER, reranker=used) == plain
    assert metrics.value("rerank.failed", reason=reason) == before + 1


@pytest.mark.parametrize(
    "reply",
    [
        Refused(503),
        Refused(429),
        {"results": []},
        {"results": [{"index": 0, "relevance_score": 1}, {"index": 9, "relevance_score": 1}]},
    ],
)
async def test_an_endpoint_that_fails_costs_only_its_opinion(small: Index, reply: Any) -> None:
    plain = await search(small, "refund days", READER)
    before = metrics.value("rerank.failed")
    async with scripted(reply) as provider:
        assert await search(small, "refund days", READER, reranker=default_reranker()) == plain
    assert (provider.requests, metrics.value("rerank.failed")) == (1, before + 1)


async def test_the_callers_own_mistake_is_told(small: Index, tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="cross-encoder"):
        await search(small, "refund days", READER, reranker=cross_encoder(tmp_path))


# questions that lean on others


def asked(*texts: str) -> list[Message]:
    return [message for text in texts for message in (Message("user", text), Message("assistant", "A plug costs $9."))]


@pytest.mark.parametrize(
    ("history", "question", "expected"),
    [
        (
            ["How do I return a smart plug?"],
            "And how much does it cost?",
            "return smart plug And how much does it cost?",
        ),
        (["How do I return a plug?", "And what does it cost?"], "How long?", "return plug cost How long?"),
        (["Wie gebe ich das Rad zurück?"], "Und was kostet das?", "gebe Rad zurück Und was kostet das?"),
        (["How do I return a plug?"], "Does the camera record at night?", "Does the camera record at night?"),
        (["What does E-104 mean?"], "And E-203?", "And E-203?"),
        ([], "And what does it cost?", "And what does it cost?"),
    ],
)
def test_a_question_that_leans_is_made_to_stand(history: list[str], question: str, expected: str) -> None:
    assert rewrite(question, asked(*history)) == expected


@given(st.text(max_size=200), st.lists(st.text(max_size=200), max_size=4))
def test_rewriting_keeps_the_question_and_stays_short(question: str, history: list[str]) -> None:
    written = rewrite(question, [Message("user", text) for text in history])
    assert written.endswith(question)
    assert len(written.removesuffix(question).split()) <= retrieval.CARRIED_WORDS


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What does the theft tracker cost?", ["What does the theft tracker cost?"]),
        ("How loud are the hub and the siren?", ["How loud are the hub and the siren?"]),
        (
            "What does the tracker cost, and which plan does tracking need?",
            ["What does the tracker cost", "tracker cost which plan does tracking need?"],
        ),
        (
            "How long is the warranty on the battery? When do I report a damaged parcel?",
            ["How long is the warranty on the battery?", "When do I report a damaged parcel?"],
        ),
        ("", [""]),
    ],
)
def test_a_question_in_two_parts_is_taken_apart(question: str, parts: list[str]) -> None:
    assert decompose(question) == parts


@given(st.text(max_size=300))
def test_decomposing_any_text_gives_parts(question: str) -> None:
    parts = decompose(question)
    assert parts and (parts == [question] or all(part.strip() for part in parts))
