"""The one door to a model: every call is in the ledger before it is made, and fails in our own words.

async with aclosing(stream([{"role": "user", "content": "Hello"}], tier="small")) as pieces:
    async for piece in pieces:   # str, str, str, ..., Completion
        ...
vectors = await embed(["a text", "another"])
scores = await rerank("a question", ["a text", "another"])
"""

import json
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import ledger, replies
from .errors import CallerError, PatternsError, ProviderError
from .models import Provider, Tier, TierName, client, provider
from .provider_errors import translate

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4  # for estimates only: about right for English, https://platform.openai.com/tokenizer


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call as the model wrote it: `arguments` is text that should be a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Completion:
    """How a chat call ended. `finish` is the provider's word: stop, length, tool_calls."""

    text: str
    finish: str
    tool_calls: tuple[RequestedCall, ...]
    model: str
    tier: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None
    first_token_seconds: float
    seconds: float
    provider_request_id: str


async def stream(
    messages: Sequence[Mapping[str, Any]],
    *,
    tier: TierName = "large",
    tools: Sequence[Mapping[str, Any]] = (),
    response_format: Mapping[str, Any] | None = None,
    max_tokens: int | None = None,
    whole: bool = False,
    trace_id: str = "",
    feature: str = "chat",
    tenant: str = "",
    user: str = "",
    **params: Any,
) -> AsyncGenerator[str | Completion, None]:
    """Call a chat model and yield its text piece by piece, then one Completion.

    With `whole=True` the provider is asked not to stream, and the text comes as one piece: cheaper when nobody watches.
    The call stands in the ledger before it is made, and is settled however it ends. Closing the generator closes the
    HTTP connection, which is what makes a provider stop.

    Raises CallerError and ProviderError; nothing of the SDK's gets out.
    """
    import httpx2
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk

    chosen = provider()
    model = chosen.tier(tier)
    request: dict[str, Any] = {**model.params, **params, "model": model.model, "messages": list(messages)}
    if max_tokens is not None:
        request[chosen.token_limit] = max_tokens
    if tools:
        request["tools"] = list(tools)
    if response_format is not None:
        request["response_format"] = response_format
    reading = " ".join(str(message.get("content") or "") for message in messages)
    labels = {"trace_id": trace_id, "feature": feature, "tenant": tenant, "user": user}
    said = replies.Reply()
    with _booked(chosen, model, reading, labels) as entry:
        # Posted as it is: the SDK's transformation of a request costs more than all of our layers.
        post = client(chosen).post
        if whole:
            sent = await post("/chat/completions", body=request, cast_to=httpx2.Response)
            entry.request_id = sent.headers.get("x-request-id", "")
            reply = json.loads(sent.content, object_hook=replies.Fields)
            entry.usage = reply.usage
            if text := said.message(reply):
                entry.heard(text)
                yield text
        else:
            async with AsyncExitStack() as opened:
                response = await post(
                    "/chat/completions",
                    body={**request, "stream": True, "stream_options": {"include_usage": True}},
                    cast_to=ChatCompletionChunk,
                    stream=True,
                    stream_cls=AsyncStream[ChatCompletionChunk],
                )
                await opened.enter_async_context(response)
                entry.request_id = response.response.headers.get("x-request-id", "")
                async for chunk in response:
                    entry.usage = chunk.usage or entry.usage
                    if text := said.chunk(chunk):
                        entry.heard(text)
                        yield text
        if not said.finish:
            raise ProviderError(
                "The provider ended the stream in the middle of the answer.",
                "Try again; the text so far is incomplete.",
                "stream_cut",
                transient=True,
            )
    yield Completion(
        text="".join(entry.text),
        finish=said.finish,
        tool_calls=tuple(RequestedCall(call["id"], call["name"], call["arguments"]) for call in said.calls),
        model=model.model,
        tier=tier,
        **entry.settled,
    )


async def embed(
    texts: Sequence[str], *, trace_id: str = "", feature: str = "embed", tenant: str = "", user: str = ""
) -> "np.ndarray":
    """The vectors of `texts`: float32, shape (texts, dimension), each of length 1.

    Raises CallerError and ProviderError.
    """
    import numpy as np

    chosen = provider()
    model = chosen.tier("embed")
    labels = {"trace_id": trace_id, "feature": feature, "tenant": tenant, "user": user}
    with _booked(chosen, model, " ".join(texts), labels) as entry:
        response = await client(chosen).embeddings.create(model=model.model, input=list(texts), **model.params)
        entry.usage = response.usage
        rows = sorted(response.data, key=lambda row: row.index)
        vectors = np.array([row.embedding for row in rows], dtype=np.float32)
        if len(rows) != len(texts) or vectors.ndim != 2:
            raise _unusable(f"{len(rows)} vectors for {len(texts)} texts")
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


async def rerank(
    query: str, texts: Sequence[str], *, trace_id: str = "", feature: str = "rerank", tenant: str = "", user: str = ""
) -> list[float]:
    """How well each text answers `query`: one score a text, in their order, higher is better.

    Speaks `POST {base_url}/rerank`, which Jina, Cohere, vLLM and others share. Raises CallerError and ProviderError.
    """
    chosen = provider()
    model = chosen.tier("rerank")
    labels = {"trace_id": trace_id, "feature": feature, "tenant": tenant, "user": user}
    with _booked(chosen, model, " ".join([query, *texts]), labels) as entry:
        body = {"model": model.model, "query": query, "documents": list(texts), **model.params}
        response: Any = await client(chosen).post("/rerank", body=body, cast_to=object)
        entry.usage = SimpleNamespace(prompt_tokens=(response.get("usage") or {}).get("total_tokens"))
        scores = {row["index"]: float(row["relevance_score"]) for row in response["results"]}
        if scores.keys() != set(range(len(texts))):
            raise _unusable(f"{len(scores)} scores for {len(texts)} texts")
    return [scores[position] for position in range(len(texts))]


def _unusable(what: str) -> ProviderError:
    return ProviderError(
        f"The provider sent {what}.", "Try again, or use another model.", "bad_stream", transient=False
    )


@dataclass(slots=True)
class _Entry:
    """A call while it runs: what is known about it for the ledger."""

    started: float
    text: list[str] = field(default_factory=list)
    first: float = 0.0
    usage: Any = None
    request_id: str = ""
    settled: dict[str, Any] = field(default_factory=dict)

    def heard(self, text: str) -> None:
        self.first = self.first or time.perf_counter() - self.started
        self.text.append(text)


@contextmanager
def _booked(chosen: Provider, model: Tier, reading: str, labels: Mapping[str, str]) -> Iterator[_Entry]:
    """Write a call into the ledger, and settle it however the block ends; errors come out as ours.

    `reading` is all that the model reads, for an estimate where the provider counts nothing.
    """
    book = ledger.default()
    call = book.begin(provider=chosen.name, model=model.model, tier=model.name, **labels)
    entry, outcome = _Entry(time.perf_counter()), "aborted"
    try:
        yield entry
        outcome = "done"
    except PatternsError as error:
        outcome = error.code
        raise
    except Exception as error:
        translated = translate(error, chosen, model.model, bool(entry.text))
        outcome = translated.code
        raise translated from error
    finally:
        counted = _counted(entry.usage)
        # An aborted call sends no usage: its cost is estimated from what was read and received. A refused one is free.
        refused = not counted and not entry.text and outcome not in ("aborted", "done")
        tokens = counted or {
            "input_tokens": 0 if refused else estimate_tokens(reading),
            "output_tokens": estimate_tokens("".join(entry.text)),
            "cached_tokens": 0,
        }
        entry.settled = {
            **tokens,
            "cost_usd": model.cost(**tokens),
            "first_token_seconds": entry.first,
            "seconds": time.perf_counter() - entry.started,
            "provider_request_id": entry.request_id,
        }
        try:
            book.settle(call, outcome=outcome, estimated=not counted, **entry.settled)
        except CallerError:
            # The call stays open in the book. An answer that was paid for, or a Stop, must not turn into this error.
            log.exception("The call %s could not be settled.", call)


def _counted(usage: Any) -> dict[str, int] | None:
    """The provider's own count, or None where it sent none that can be used."""
    read, written = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", 0)
    if not isinstance(read, int) or not isinstance(written, int):
        return None
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    return {"input_tokens": read, "output_tokens": written, "cached_tokens": cached if isinstance(cached, int) else 0}


def estimate_tokens(text: str) -> int:
    """A rough count, for what no provider has counted. Never zero for a text that is not empty."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)
