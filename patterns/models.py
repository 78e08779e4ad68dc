"""The one door to a model: which provider, which tier, and a streamed call whose cost is written down.

`models.toml` names providers, models and prices; `PATTERNS_PROVIDER` chooses (default: the offline stand-in). All code
above this module says "small" or "large" and never a model's name.

    async with aclosing(stream([{"role": "user", "content": "Hello"}], tier="small")) as pieces:
        async for piece in pieces:   # str, str, str, ..., Completion
            ...
"""

import asyncio
import importlib
import os
import time
import tomllib
import uuid
import weakref
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import ledger
from .errors import CallerError, PatternsError, ProviderError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TierName = Literal["small", "large", "judge", "embed", "vision", "transcribe"]

CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 30.0  # to reach the provider; between two pieces of an answer
CHARACTERS_PER_TOKEN = 4.0  # for estimates only: https://platform.openai.com/tokenizer says about 4 in English


@dataclass(frozen=True, slots=True)
class Tier:
    """A model in a role. Prices are US dollars per million tokens; None means that the price is not known."""

    name: str
    model: str
    input: float | None
    cached_input: float | None
    output: float | None
    params: Mapping[str, Any]

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float | None:
        """US dollars. `cached_tokens` are the part of `input_tokens` that the provider's prompt cache served."""
        if self.input is None:
            return None
        cached_price = self.input if self.cached_input is None else self.cached_input
        fresh = input_tokens - cached_tokens
        return (fresh * self.input + cached_tokens * cached_price + output_tokens * (self.output or 0.0)) / 1e6


@dataclass(frozen=True, slots=True)
class Provider:
    name: str
    title: str
    base_url: str
    key: str = field(repr=False)
    key_env: str
    token_limit: str
    paid: bool
    invented_prices: bool
    tiers: Mapping[str, Tier]

    def tier(self, name: TierName) -> Tier:
        """Raises CallerError when the provider has no model for that tier."""
        if name in self.tiers:
            return self.tiers[name]
        raise CallerError(
            f"The provider {self.name!r} has no model for the tier {name!r}.",
            f"Add one under [{self.name}.tiers] in patterns/models.toml, or set PATTERNS_MODEL_{name.upper()}.",
            "unknown_model",
        )


def provider() -> Provider:
    """The provider that the environment chooses. Starts the stand-in when that is the one.

    Raises CallerError for an unknown provider, a missing key or address, and a stand-in that was never set up.
    """
    name = os.environ.get("PATTERNS_PROVIDER") or "standin"
    known = _catalogue()
    if name not in known:
        raise CallerError(
            f"PATTERNS_PROVIDER={name!r} names no provider.", f"Use one of: {', '.join(known)}.", "unknown_provider"
        )
    settings = known[name]
    key_env = settings.get("key_env", "")
    key = os.environ.get(key_env, "") if key_env else _STANDIN_KEY
    if key_env and not key and name == "openai":
        raise CallerError(
            f"The provider {name!r} needs a key, and {key_env} is not set.",
            f"Set {key_env}, or unset PATTERNS_PROVIDER to use the offline stand-in.",
            "wrong_key",
        )
    return _provider(name, _base_url(name, settings), key or "none", _model_overrides())


def _base_url(name: str, settings: Mapping[str, Any]) -> str:
    given = os.environ.get(settings.get("base_url_env", "")) or settings.get("base_url")
    if given:
        return given.rstrip("/")
    if "launch" not in settings:
        raise CallerError(
            f"The provider {name!r} has no address.", f"Set {settings['base_url_env']} to its base URL.", "not_set_up"
        )
    return _launch(settings["launch"])


@cache
def _launch(entry_point: str) -> str:
    module, _, function = entry_point.partition(":")
    try:
        return getattr(importlib.import_module(module), function)()
    except RuntimeError as error:
        raise CallerError(str(error), "Then run this again.", "not_set_up") from None


@cache
def _provider(name: str, base_url: str, key: str, overrides: tuple[tuple[str, str], ...]) -> Provider:
    settings = _catalogue()[name]
    tiers = {tier: _tier(settings, tier, values) for tier, values in settings.get("tiers", {}).items()}
    for tier, model in overrides:
        tiers[tier] = _tier(settings, tier, {**settings.get("tiers", {}).get(tier, {}), "model": model})
    return Provider(
        name=name,
        title=settings["title"],
        base_url=base_url,
        key=key,
        key_env=settings.get("key_env", ""),
        token_limit=settings["token_limit"],
        paid="genai_prices" in settings,
        invented_prices=settings.get("invented_prices", False),
        tiers=tiers,
    )


def _tier(settings: Mapping[str, Any], name: str, values: Mapping[str, Any]) -> Tier:
    prices = {key: values.get(key) for key in ("input", "cached_input", "output")}
    if settings.get("free"):
        prices = dict.fromkeys(prices, 0.0)
    elif "genai_prices" in settings:
        prices = _hosted_prices(settings["genai_prices"], values["model"])
    return Tier(name=name, model=values["model"], params=values.get("params", {}), **prices)


def _hosted_prices(provider_id: str, model: str) -> dict[str, float | None]:
    from genai_prices import Usage, calc_price

    million = 1_000_000
    try:
        fresh = calc_price(Usage(input_tokens=million), model_ref=model, provider_id=provider_id)
        cached = calc_price(
            Usage(input_tokens=million, cache_read_tokens=million), model_ref=model, provider_id=provider_id
        )
        output = calc_price(Usage(output_tokens=million), model_ref=model, provider_id=provider_id)
    except LookupError:
        return dict.fromkeys(("input", "cached_input", "output"))
    return {
        "input": float(fresh.total_price),
        "cached_input": float(cached.total_price),
        "output": float(output.total_price),
    }


def _model_overrides() -> tuple[tuple[str, str], ...]:
    prefix = "PATTERNS_MODEL_"
    return tuple(
        sorted((name[len(prefix) :].lower(), model) for name, model in os.environ.items() if name.startswith(prefix))
    )


@cache
def _catalogue() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "models.toml").read_text(encoding="utf-8"))


# A key of this process's own: on a shared stand-in it keeps one learner's dials and log apart from another's.
_STANDIN_KEY = f"standin-{uuid.uuid4().hex[:12]}"


def notice() -> str:
    """One line that says which provider answers, and whether it costs money. The first output of every notebook."""
    chosen = provider()
    line = f"provider: {chosen.name} ({chosen.title})"
    if chosen.paid:
        return f"{line}. Calls cost real money, billed to the key in {chosen.key_env}."
    unused = [name for name in ("OPENAI_API_KEY",) if os.environ.get(name) and chosen.key_env != name]
    if unused:
        line += f". {unused[0]} is set but not used: set PATTERNS_PROVIDER=openai to make paid calls"
    return line


_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], AsyncOpenAI]]" = (
    weakref.WeakKeyDictionary()
)


def client(chosen: Provider | None = None) -> "AsyncOpenAI":
    """An OpenAI client for the provider, one per event loop. It does not retry: layers do that where it can be seen."""
    import httpx2
    from openai import AsyncOpenAI

    chosen = chosen or provider()
    mine = _clients.setdefault(asyncio.get_running_loop(), {})
    place = (chosen.base_url, chosen.key)
    if place not in mine:
        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        mine[place] = AsyncOpenAI(base_url=chosen.base_url, api_key=chosen.key, max_retries=0, timeout=timeout)
    return mine[place]


async def close() -> None:
    """Close this event loop's connections. Scripts and tests want it; a notebook keeps its loop."""
    for opened in _clients.pop(asyncio.get_running_loop(), {}).values():
        await opened.close()


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
                if choice.delta and choice.delta.content:
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
        details = getattr(usage, "prompt_tokens_details", None)
        # An aborted or failed call sends no usage: what it cost is estimated from what was read and received.
        refused = usage is None and not text and outcome != "aborted"
        tokens = {
            "input_tokens": usage.prompt_tokens if usage else 0 if refused else prompt_estimate,
            "output_tokens": usage.completion_tokens if usage else estimate_tokens(said),
            "cached_tokens": getattr(details, "cached_tokens", 0) or 0,
        }
        settled = {
            **tokens,
            "cost_usd": model.cost(**tokens),
            "first_token_seconds": first,
            "seconds": time.perf_counter() - started,
            "provider_request_id": request_id,
        }
        book.settle(call, outcome=outcome, estimated=usage is None, **settled)
    yield Completion(text=said, finish=finish, model=model.model, tier=tier, **settled)


def estimate_tokens(text: str) -> int:
    """A rough count, for what no provider has counted. Never zero for a text that is not empty."""
    return -(-len(text) // int(CHARACTERS_PER_TOKEN))


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
