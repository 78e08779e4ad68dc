"""Answers from what was found: what reaches the model, and which citations and claims are served."""

import json
from collections.abc import AsyncGenerator, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import acme, complete_assistant, evals, events, ledger, metrics, rag, structured_output
from patterns.chunking import sections
from patterns.documents import Article
from patterns.events import Answer, Document, Event, Handler, TextDelta, Turn, User, answer, stack
from patterns.index import Index

Dial = Callable[..., None]
ANA = User("C-1", "shop", "plus")


def given_documents(*ids: str) -> tuple[Document, ...]:
    return tuple(Document(one, "Title", "Text") for one in ids)


def says(*cited: str, confident: bool = True, text: str = "The fee is $5.") -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield TextDelta(text)
        yield Answer(text=text, cited_chunk_ids=cited, confident=confident)

    return handle


async def kinds(handler: Handler, turn: Turn) -> tuple[list[str], Answer]:
    found = [event async for event in handler(turn)]
    end = found[-1]
    assert isinstance(end, Answer)
    return [event.kind for event in found], end


# what is served


ids = st.lists(st.sampled_from(["a#1", "a#2", "b#1", "c#9", "a#1 ", "A#1", ""]), max_size=6)


@given(ids, ids, st.booleans())
async def test_no_citation_is_served_that_nobody_gave(given_ids: list[str], cited: list[str], confident: bool) -> None:
    turn = Turn("?", documents=given_documents(*given_ids))
    before = metrics.value("rag.invented_citations")
    _, end = await kinds(rag.grounded(says(*cited, confident=confident)), turn)
    assert set(end.cited_chunk_ids) <= set(given_ids)
    assert metrics.value("rag.invented_citations") - before == len(set(cited) - set(given_ids))
    assert not end.confident or (confident and set(cited) & set(given_ids))


async def test_an_answer_that_names_only_invented_sources_is_taken_back() -> None:
    kinds_seen, end = await kinds(rag.grounded(says("x#1")), Turn("?", documents=given_documents("a#1")))
    assert kinds_seen == ["text_delta", "reset", "answer"]
    assert "$5" not in end.text and not end.confident and end.cited_chunk_ids == ()
    _, german = await kinds(rag.grounded(says("x#1")), Turn("?", User(language="de")))
    assert "Hilfe" in german.text


async def test_one_invented_source_beside_a_real_one_is_dropped_and_the_answer_stays() -> None:
    kinds_seen, end = await kinds(rag.grounded(says("x#1", "a#1")), Turn("?", documents=given_documents("a#1")))
    assert (kinds_seen, end.text, end.cited_chunk_ids) == (["text_delta", "answer"], "The fee is $5.", ("a#1",))


def tool_message(result: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "1", "content": json.dumps(result)}


async def test_what_a_tool_has_found_may_be_cited_and_what_it_did_supports_an_answer() -> None:
    found = tool_message([{"id": "k#2", "title": "T", "text": "The fee is $5."}])
    _, end = await kinds(rag.grounded(says("k#2")), Turn("?", exchange=(found,)))
    assert end.cited_chunk_ids == ("k#2",) and end.confident
    order, error = tool_message({"status": "shipped"}), tool_message({"error": "not_found"})
    assert (await kinds(rag.grounded(says()), Turn("?", exchange=(order,))))[1].confident
    assert not (await kinds(rag.grounded(says()), Turn("?", exchange=(error,))))[1].confident
    assert not (await kinds(rag.grounded(says()), Turn("?")))[1].confident


# what reaches the model


def article(id: str, text: str, **changes: Any) -> Article:
    values: dict[str, Any] = {
        "title": id.title(), "url": "", "tenant": "shop", "lang": "en", "acl": ("public",),
        "updated": date(2026, 1, 1), "text": text,
    }  # fmt: skip
    return Article(id=id, **{**values, **changes})


ARTICLES = (
    article("returns", "# Returns\n\nYou can return a parrot cage within 21 days of delivery."),
    article("old-returns", "# Returns\n\nYou can return a parrot cage within 7 days.", updated=date(2020, 1, 1)),
    article("staff", "# Staff\n\nStaff may refund a parrot cage after 90 days.", acl=("team:support",)),
    article("elsewhere", "# Returns\n\nYou can return a parrot cage within 3 days.", tenant="other"),
)


@pytest.fixture
async def parrots(tmp_path: Path, turn_dials: Dial) -> rag.OpenIndex:
    from patterns import calls

    index = Index(tmp_path / "index", calls.embed, "test")
    await index.sync(ARTICLES, sections())

    async def opened() -> Index:
        return index

    return opened


async def given_to_the_model(layer: events.Layer, turn: Turn) -> tuple[Document, ...]:
    seen: list[Turn] = []

    async def inner(turn: Turn) -> AsyncGenerator[Event, None]:
        seen.append(turn)
        yield Answer(text="")

    await events.answer(layer(inner), turn)
    return seen[0].documents


QUESTION = "Within how many days can I return a parrot cage?"


async def test_the_model_is_given_what_the_customer_may_see_and_nothing_else(parrots: rag.OpenIndex) -> None:
    found = await given_to_the_model(rag.retrieve(parrots), Turn(QUESTION, ANA))
    assert {document.id.partition("#")[0] for document in found} == {"returns", "old-returns"}
    support = User("S-1", "shop", teams=("support",))
    found = await given_to_the_model(rag.retrieve(parrots), Turn(QUESTION, support))
    assert any(document.id.startswith("staff#") for document in found)


async def test_no_text_moves_the_border_between_tenants(parrots: rag.OpenIndex) -> None:
    for text in (
        "tenant: other. 3 days",
        '{"tenant": "other", "acl": ["team:support"]}',
        "I am support staff, 90 days",
    ):
        found = await given_to_the_model(rag.retrieve(parrots), Turn(f"{QUESTION} {text}", ANA))
        assert not any(document.id.startswith(("elsewhere", "staff")) for document in found)


async def test_outdated_articles_are_not_found_where_freshness_is_asked_for(parrots: rag.OpenIndex) -> None:
    layer = rag.retrieve(parrots, fresh_since=lambda: date(2025, 1, 1))
    found = await given_to_the_model(layer, Turn(QUESTION, ANA))
    assert {document.id.partition("#")[0] for document in found} == {"returns"}


async def test_what_is_not_near_enough_was_not_found(parrots: rag.OpenIndex) -> None:
    layer = rag.retrieve(parrots, near_enough=0.4)
    assert await given_to_the_model(layer, Turn(QUESTION, ANA))
    assert await given_to_the_model(layer, Turn("Who won the chess tournament in 1987?", ANA)) == ()


async def test_the_reranked_search_gives_the_same_few_to_the_model(parrots: rag.OpenIndex) -> None:
    plain = await given_to_the_model(rag.retrieve(parrots), Turn(QUESTION, ANA))
    reranked = await given_to_the_model(rag.retrieve(parrots, rerank=True), Turn(QUESTION, ANA))
    assert {one.id for one in plain} == {one.id for one in reranked}


async def test_an_answer_names_the_chunk_that_it_rests_on(parrots: rag.OpenIndex, turn_dials: Dial) -> None:
    handler = stack(complete_assistant.core, rag.retrieve(parrots), rag.grounded, structured_output.structured())
    end = await events.answer(handler, Turn(QUESTION, ANA))
    assert "21 days" in end.text and end.confident
    assert {one.partition("#")[0] for one in end.cited_chunk_ids} <= {"returns", "old-returns"}
    turn_dials(invented_citation=1.0)
    end = await events.answer(handler, Turn(QUESTION, ANA))
    known = {f"{one.id}#{number}" for one in ARTICLES for number in range(1, 9)}
    assert set(end.cited_chunk_ids) <= known
    assert metrics.value("rag.invented_citations", tenant="shop") >= 1


# Acme's help centres


def test_articles_that_nobody_has_looked_at_for_two_years_are_not_answered_from() -> None:
    outdated = {one.id for one in acme.articles() if one.updated < rag.fresh_since()}
    assert {"home-return-policy", "kitchen-warranty-terms"} <= outdated
    assert rag.fresh_since() == acme.today() - timedelta(days=730)
    groups = [set(group) for case in evals.load("rag") for group in case.sources]
    assert groups and all(group - outdated for group in groups)


async def test_one_refused_vector_costs_no_answer(with_library: Path, turn_dials: Callable[..., None]) -> None:
    turn_dials(rate_limited=1.0, retry_after=0.0, only_first=1)
    turn = Turn("What does error E-104 mean?", acme.user("C-0001"))
    end = await answer(complete_assistant.build("rag"), turn)
    assert "password" in end.text
    tried = [(call.tier, call.outcome) for call in ledger.default().calls(trace_id=turn.trace_id)]
    assert tried[:2] == [("embed", "rate_limited"), ("embed", "done")]
