"""The one door to a model: a streamed call that is in the ledger before it is made, and fails in our own words.

async with aclosing(stream([{"role": "user", "content": "Hello"}], tier="small")) as pieces:
    async for piece in pieces:   # str, str, str, ..., Completion
        ...
"""

import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from . import ledger
from .errors import CallerError, PatternsError, ProviderError
from .models import Provider, TierName, client, provider

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4  # for estimates only: about right for English, https://platform.openai.com/tokenizer


@dataclass(frozen=True, slots=True)
class Completion:
    """How a streamed call ended. `finish` is the provider's word: stop, length, tool_calls."""

    text: str
    finish: str
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
    trace_id: str = "",
    feature: str = "chat",
    tenant: str = "",
    user: str = "",
    max_tokens: int | None = None,
    **params: Any,
) -> AsyncGenerator[str | Completion, None]:
    """Call a chat model and yield its text piece by piece, then one Completion.

    The call stands in the ledger before it is made, and is settled however it ends. Closing the generator closes the
    HTTP connection, which is what makes a provider stop.

    Raises CallerError and ProviderError; nothing of the SDK's gets out.
    """
    chosen = provider()
    model = chosen.tier(tier)
    if max_tokens is not None:
        params[chosen.token_limit] = max_tokens
    book = ledger.default()
    prompt_estimate = estimate_tokens(" ".join(str(message.get("content", "")) for message in messages))
    call = book.begin(
        trace_id=trace_id, feature=feature, tenant=tenant, user=user, provider=chosen.name, model=model.model, tier=tier
    )
    text: list[str] = []
    usage, finish, request_id = None, "", ""
    started, first, outcome = time.perf_counter(), 0.0, "aborted"
    settled: dict[str, Any] = {}
    try:
        async with AsyncExitStack() as open_stream:
            request: dict[str, Any] = {**model.params, **params, "model": model.model, "messages": list(messages)}
            response = await client(chosen).chat.completions.create(
                **request, stream=True, stream_options={"include_usage": True}
            )
            await open_stream.enter_async_context(response)
            request_id = response.response.headers.get("x-request-id", "")
            async for chunk in response:
                usage = chunk.usage or usage
                if not chunk.choices:  # a usage chunk, or a compatible server's oddity
                    continue
                choice = chunk.choices[0]
                finish = choice.finish_reason or finish
                if choice.delta and isinstance(choice.delta.content, str) and choice.delta.content:
                    first = first or time.perf_counter() - started
                    text.append(choice.delta.content)
                    yield choice.delta.content
        if not finish:
            raise ProviderError(
                "The provider ended the stream in the middle of the answer.",
                "Try again; the text so far is incomplete.",
                "stream_cut",
                transient=True,
            )
        outcome = "done"
    except PatternsError as error:
        outcome = error.code
        raise
    except Exception as error:
        translated = translate(error, chosen, model.model, bool(text))
        outcome = translated.code
        raise translated from error
    finally:
        said = "".join(text)
        counted = _counted(usage)
        # An aborted call sends no usage: its cost is estimated from what was read and received. A refused one is free.
        refused = not counted and not text and outcome not in ("aborted", "done")
        tokens = counted or {
            "input_tokens": 0 if refused else prompt_estimate,
            "output_tokens": estimate_tokens(said),
            "cached_tokens": 0,
        }
        settled = {
            **tokens,
            "cost_usd": model.cost(**tokens),
            "first_token_seconds": first,
            "seconds": time.perf_counter() - started,
            "provider_request_id": request_id,
        }
        try:
            book.settle(call, outcome=outcome, estimated=not counted, **settled)
        except CallerError:
            # The call stays open in the book. An answer that was paid for, or a Stop, must not turn into this error.
            log.exception("The call %s could not be settled.", call)
    yield Completion(text=said, finish=finish, model=model.model, tier=tier, **settled)


def _counted(usage: Any) -> dict[str, int] | None:
    """The provider's own count, or None where it sent none that can be used."""
    read, written = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if not isinstance(read, int) or not isinstance(written, int):
        return None
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    return {"input_tokens": read, "output_tokens": written, "cached_tokens": cached if isinstance(cached, int) else 0}


def estimate_tokens(text: str) -> int:
    """A rough count, for what no provider has counted. Never zero for a text that is not empty."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def translate(error: Exception, chosen: Provider, model: str, begun: bool) -> PatternsError:
    """Turn an SDK error into one of ours: whose fault it is, one sentence, and the next step."""
    import openai

    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return CallerError(
                f"The provider {chosen.name!r} refused the key{f' in {chosen.key_env}' if chosen.key_env else ''}.",
                "Set a valid key, or unset PATTERNS_PROVIDER to use the offline stand-in.",
                "wrong_key",
            )
        case openai.NotFoundError():
            return CallerError(
                f"The provider {chosen.name!r} has no model {model!r} at {chosen.base_url}.",
                f"Change the tier under [{chosen.name}.tiers] in patterns/models.toml, or check the address.",
                "unknown_model",
            )
        case openai.BadRequestError() if error.code == "context_length_exceeded":
            return CallerError(
                f"The prompt does not fit the context of {model!r}.",
                "Shorten the history or the documents; notebook 01 caps the history.",
                "context_too_long",
            )
        case openai.RateLimitError() if error.code == "insufficient_quota":
            return ProviderError(
                f"The account at {chosen.name!r} has no quota left.",
                "Check plan and billing.",
                "quota",
                transient=False,
            )
        case openai.RateLimitError():
            after = _retry_after(error)
            return ProviderError(
                f"The provider {chosen.name!r} limits the rate of requests.",
                f"Try again in {after:g} s." if after is not None else "Try again later.",
                "rate_limited",
                transient=True,
                retry_after=after,
            )
        case openai.APIStatusError() if error.status_code >= 500 or error.status_code in (408, 409):
            return ProviderError(
                f"The provider {chosen.name!r} failed with status {error.status_code}.",
                "Try again.",
                "overloaded",
                transient=True,
                retry_after=_retry_after(error),
            )
        case openai.APIStatusError():
            return CallerError(
                f"The provider {chosen.name!r} refused the request: {error.message}",
                "Change what the message names; the same request fails again.",
                "bad_request",
            )
        case openai.APITimeoutError():
            return ProviderError(
                f"The provider {chosen.name!r} was silent for too long.", "Try again.", "timeout", transient=True
            )
        case openai.APIConnectionError() if begun:
            return ProviderError(
                "The connection to the provider broke in the middle of the answer.",
                "Try again; the text so far is incomplete.",
                "stream_cut",
                transient=True,
            )
        case openai.APIConnectionError():
            return ProviderError(
                f"Nothing answers at {chosen.base_url}.",
                "Start the server or check the address and the network.",
                "unreachable",
                transient=True,
            )
        case openai.APIError() if not isinstance(error, openai.APIStatusError):  # an error event inside the stream
            said = f"{error.code or ''} {error.type or ''}"
            limited = "rate_limit" in said
            return ProviderError(
                f"The provider {chosen.name!r} broke off: {error.message}",
                "Try again.",
                "rate_limited" if limited else "overloaded",
                transient=limited
                or any(word in said for word in ("server_error", "overloaded", "unavailable", "timeout")),
            )
        case _:
            return ProviderError(
                f"The provider {chosen.name!r} sent what is not a chat completion ({type(error).__name__}: {error}).",
                "Check that the address is an OpenAI-compatible API.",
                "bad_stream",
                transient=False,
            )


def _retry_after(error: Any) -> float | None:
    try:
        return float(error.response.headers.get("retry-after"))
    except (TypeError, ValueError):
        return None
