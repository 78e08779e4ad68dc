"""The one door to a model: every call is in the ledger and the budgets before it is made, and fails in our own words.

async with aclosing(stream([{"role": "user", "content": "Hello"}], tier="small")) as pieces:
    async for piece in pieces:   # str, str, str, ..., Completion
        ...
vectors = await embed(["a text", "another"])
scores = await rerank("a question", ["a text", "another"])
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import pii, replies
from .booking import booked
from .errors import ProviderError
from .models import TierName, client, provider
from .token_counts import most_tokens, most_tokens_read, text_of

if TYPE_CHECKING:
    import numpy as np

MOST_TOKENS = 4_096  # of a reply, where the caller sets no limit: what a call may cost must be known before it
SPECIAL_TOKENS = 4  # around a text that is embedded or ranked


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
    max_tokens: int = MOST_TOKENS,
    whole: bool = False,
    trace_id: str = "",
    feature: str = "chat",
    tenant: str = "",
    user: str = "",
    **params: Any,
) -> AsyncGenerator[str | Completion, None]:
    """Call a chat model and yield its text piece by piece, then one Completion.

    With `whole=True` the provider is asked not to stream, and the text comes as one piece: cheaper when nobody watches.
    The call stands in the ledger and the budgets before it is made, and is settled however it ends. Closing the
    generator closes the HTTP connection, which is what makes a provider stop.

    Raises CallerError, ProviderError, and LimitHit (`budget`); nothing of the SDK's gets out.
    """
    import httpx2
    from openai import AsyncStream

    chosen = provider()
    model = chosen.tier(tier)
    request: dict[str, Any] = {**model.params, **params, "model": model.model, "messages": list(messages)}
    request[chosen.token_limit] = max_tokens
    if tools:
        request["tools"] = list(tools)
    if response_format is not None:
        request["response_format"] = response_format
    reading = " ".join(map(text_of, messages))
    labels = {"trace_id": trace_id, "feature": feature, "tenant": tenant, "user": user}
    said = replies.Reply()
    most = {"most_read": most_tokens_read(request), "most_written": max_tokens}
    async with booked(chosen, model, reading=reading, labels=labels, **most) as entry:
        entry.asked, entry.reply, entry.streamed = messages, said, not whole
        # Posted as it is: the SDK's transformation of a request costs more than all of our layers.
        post = client(chosen).post
        if whole:
            sent = await post("/chat/completions", body=request, cast_to=httpx2.Response)
            entry.request_id = sent.headers.get("x-request-id", "")
            text = said.message(json.loads(sent.content))
            entry.usage = said.usage
            if text:
                entry.heard(text)
                yield text
        else:
            async with AsyncExitStack() as opened:
                response = await post(
                    "/chat/completions",
                    body={**request, "stream": True, "stream_options": {"include_usage": True}},
                    cast_to=object,
                    stream=True,
                    stream_cls=AsyncStream[Any],
                )
                await opened.enter_async_context(response)
                entry.request_id = response.response.headers.get("x-request-id", "")
                async for chunk in response:
                    text = said.chunk(chunk)
                    entry.usage = said.usage
                    if text:
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

    Where a `user` is named, the texts are what that person said: personal data is taken out, it has no part in what a
    vector means. Raises CallerError, ProviderError and LimitHit (`budget`).
    """
    import numpy as np

    chosen = provider()
    model = chosen.tier("embed")
    texts = [pii.scrubbed(text) for text in texts] if user else texts
    labels = {"trace_id": trace_id, "feature": feature, "tenant": tenant, "user": user}
    reading = " ".join(texts)
    most = {"most_read": most_tokens(reading) + SPECIAL_TOKENS * len(texts), "most_written": 0}
    async with booked(chosen, model, reading=reading, labels=labels, **most) as entry:
        response = await client(chosen).embeddings.create(model=model.model, input=list(texts), **model.params)
        entry.usage = {"prompt_tokens": getattr(response.usage, "prompt_tokens", None)}
        rows = sorted(response.data, key=lambda row: row.index)
        vectors = np.array([row.embedding for row in rows], dtype=np.float32)
        if len(rows) != len(texts) or vectors.ndim != 2:
            raise _unusable(f"{len(rows)} vectors for {len(texts)} texts")
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


async def rerank(
    query: str, texts: Sequence[str], *, trace_id: str = "", feature: str = "rerank", tenant: str = "", user: str = ""
) -> list[float]:
    """How well each text answers `query`: one score a text, in their order, higher is better.

    Speaks `POST {base_url}/rerank`, which Jina, Cohere, vLLM and others share. Where a `user` is named, personal data
    is taken out of the query. Raises CallerError, ProviderError and LimitHit (`budget`).
    """
    chosen = provider()
    model = chosen.tier("rerank")
    query = pii.scrubbed(query) if user else query
    labels = {"trace_id": trace_id, "feature": feature, "tenant": tenant, "user": user}
    reading = " ".join([query, *texts])
    # Priced by what the model reads: a cross-encoder reads the query once with every text.
    around = (most_tokens(query) + SPECIAL_TOKENS) * len(texts)
    most = {"most_read": most_tokens(reading) + around, "most_written": 0}
    async with booked(chosen, model, reading=reading, labels=labels, **most) as entry:
        body = {"model": model.model, "query": query, "documents": list(texts), **model.params}
        response: Any = await client(chosen).post("/rerank", body=body, cast_to=object)
        entry.usage = {"prompt_tokens": (response.get("usage") or {}).get("total_tokens")}
        scores = {row["index"]: float(row["relevance_score"]) for row in response["results"]}
        if scores.keys() != set(range(len(texts))):
            raise _unusable(f"{len(scores)} scores for {len(texts)} texts")
    return [scores[position] for position in range(len(texts))]


def _unusable(what: str) -> ProviderError:
    return ProviderError(
        f"The provider sent {what}.", "Try again, or use another model.", "bad_stream", transient=False
    )
