"""Retrieval-augmented generation: the assistant answers from what it found, names it, and otherwise says so.

The layers that notebook 04 puts around the assistant:

    retrieve    the chunks that answer best, of those the customer may see (`retrieval.py`); nothing, when nothing is
                near enough
    grounded    an answer may cite only what the model was given; what rests on nothing is not confident

Ingestion is in `index.py` and `chunking.py`. `acme_index` is the index of Acme's help centres.
"""

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from . import acme, acme_tools, calls, metrics, models, retries, retrieval, state, store
from .chunking import Chunk, sections
from .errors import CallerError
from .events import Answer, Document, Event, Handler, Layer, Reset, Status, TextDelta, Turn
from .index import Embed, Index
from .retrieval import Reranker
from .tools import tool

KEEP = 5
FRESH = timedelta(days=730)  # articles that nobody has looked at for two years are not answered from
NEAR_ENOUGH = 0.0  # cosine of the question and the best chunk; below it, nothing was found

NOT_FOUND = {
    "en": "I could not find that in our help centre. I can ask a person for you.",
    "de": "Das habe ich in unserer Hilfe nicht gefunden. Ich kann einen Menschen für Sie fragen.",
}

OpenIndex = Callable[[], Awaitable[Index]]


def retrieve(
    open_index: OpenIndex,
    *,
    keep: int = KEEP,
    near_enough: float = NEAR_ENOUGH,
    rerank: bool = False,
    fresh_since: Callable[[], date | None] = lambda: None,
) -> Layer:
    """Give the model the `keep` chunks that answer best; none when the best one is not `near_enough` (cosine).

    With `rerank` the provider's reranker looks at the candidates once more. On Acme's questions the stand-in's finds no
    more (recall@5 0.952 against 0.958) and takes longer, so the assistant does without.
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            yield Status("searching")
            # What a layer outside has given stays, such as what was read in a picture; its title is searched for, too.
            titles = [given.title for given in turn.documents]
            question = "\n".join([retrieval.rewrite(turn.text, turn.history), *titles])
            reranker = _reranker(turn) if rerank else None
            index, since = await open_index(), fresh_since()
            found = await retrieval.search(
                index,
                question,
                turn.user,
                keep=keep,
                reranker=reranker,
                updated_since=since,
                embed=_charged(index, turn),
            )
            best = max((one.similarity or 0.0 for one in found), default=0.0)
            documents = tuple(as_document(one.chunk) for one in found) if best >= near_enough else ()
            async with aclosing(inner(replace(turn, documents=(*turn.documents, *documents)))) as events:
                async for event in events:
                    yield event

        return handle

    return layer


def _reranker(turn: Turn) -> Reranker | None:
    return retrieval.default_reranker(turn.trace_id, turn.user.tenant, turn.user.id)


def as_document(chunk: Chunk) -> Document:
    return Document(chunk.id, chunk.title, chunk.text, chunk.url, chunk.updated.isoformat())


def grounded(inner: Handler) -> Handler:
    """Keep only citations of what the model was given, and confidence only where something was given.

    Citations that nobody gave are dropped and counted (`rag.invented_citations`). An answer whose citations were all
    invented is not served: its text may be invented as well.
    """

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        given = {document.id for document in turn.documents} | _found_by_tools(turn.exchange)
        shown = False
        async with aclosing(inner(turn)) as events:
            async for event in events:
                shown = shown or isinstance(event, TextDelta)
                if not isinstance(event, Answer):
                    yield event
                    continue
                checked = _checked(event, given, turn)
                if shown and checked.text != event.text:
                    yield Reset("it named sources that do not exist")
                yield checked

    return handle


def _checked(answer: Answer, given: set[str], turn: Turn) -> Answer:
    named = tuple(dict.fromkeys(answer.cited_chunk_ids))
    cited = tuple(one for one in named if one in given)
    for _ in range(len(named) - len(cited)):
        metrics.count("rag.invented_citations", tenant=turn.user.tenant)
    if named and not cited:
        text = NOT_FOUND.get(turn.user.language, NOT_FOUND["en"])
        return answer.model_copy(update={"text": text, "cited_chunk_ids": (), "confident": False})
    rests_on_something = bool(cited) or _worked(turn.exchange)
    return answer.model_copy(update={"cited_chunk_ids": cited, "confident": answer.confident and rests_on_something})


def _results(exchange: Sequence[dict[str, Any]]) -> list[Any]:
    return [json.loads(message["content"]) for message in exchange if message["role"] == "tool"]


def _worked(exchange: Sequence[dict[str, Any]]) -> bool:
    return any(not (isinstance(result, dict) and result.get("error")) for result in _results(exchange))


def _found_by_tools(exchange: Sequence[dict[str, Any]]) -> set[str]:
    """Ids of the documents that tools have returned: objects with an id and a text."""
    found: set[str] = set()
    open_ends = _results(exchange)
    while open_ends:
        value = open_ends.pop()
        if isinstance(value, dict):
            if isinstance(value.get("id"), str) and isinstance(value.get("text"), str):
                found.add(value["id"])
            open_ends += value.values()
        elif isinstance(value, list):
            open_ends += value
    return found


# Acme's help centres


async def acme_index(progress: Callable[[int, int], None] | None = None) -> Index:
    """The index of all help centres: built when it is not there, and brought up to date once in a process.

    `progress(done, all)` is called as documents are done. Raises CallerError and ProviderError.
    """
    index = index_at("index")
    if progress is not None or index not in _up_to_date:
        await index.sync(acme.articles(), sections(), progress)
        _up_to_date.append(index)
    return index


_up_to_date: list[Index] = []


def index_at(place: str) -> Index:
    """The index at `place` in the state folder, for the embedding model in use. Raises CallerError."""
    return store.shared(_open, state.folder() / place / re.sub(r"[^\w.-]", "-", _embedding_model()))


def _open(folder: Path) -> Index:
    return Index(folder, calls.embed, _embedding_model())


def _charged(index: Index, turn: Turn) -> Embed:
    """How the index embeds, charged to the turn where that is a call to our provider, and then tried once more."""
    if index.embed is not calls.embed:
        return index.embed
    user = turn.user
    charged = partial(calls.embed, trace_id=turn.trace_id, feature=turn.feature, tenant=user.tenant, user=user.id)
    return lambda texts: retries.once_more(lambda: charged(texts), _again, turn.request_id)


_again = retries.Allowance()  # of all searches of this process


def _embedding_model() -> str:
    chosen = models.provider()
    return f"{chosen.name}/{chosen.tier('embed').model}"


def fresh_since() -> date:
    return acme.today() - FRESH


async def search_index(
    open_index: OpenIndex, query: str, turn: Turn, fresh_since: Callable[[], date | None] = lambda: None
) -> list[dict[str, str]]:
    """What a tool tells a model about `query`: the three chunks that answer best. Raises CallerError `not_found`."""
    index, since = await open_index(), fresh_since()
    found = await retrieval.search(index, query, turn.user, keep=3, updated_since=since, embed=_charged(index, turn))
    if not found:
        raise CallerError("The help centre has nothing about that.", "Try other words, or say so.", "not_found")
    return [{"id": one.chunk.id, "title": one.chunk.title, "text": one.chunk.text} for one in found]


@tool
async def search_help(
    query: Annotated[str, Field(description="What to look for, in a few words.")], turn: Turn
) -> list[dict[str, str]]:
    """Search the help centre: shipping, returns, refunds, warranty, plans, error codes, devices, how to do things."""
    return await search_index(acme_index, query, turn, fresh_since)


TOOLS = tuple(search_help if one.name == search_help.name else one for one in acme_tools.TOOLS)
