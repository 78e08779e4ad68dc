"""Which provider, which model, at what price: providers, tiers and clients.

`models.toml` names providers, models and prices; `PATTERNS_PROVIDER` chooses (default: the offline stand-in). All code
above this module says "small" or "large" and never a model's name.
"""

import asyncio
import importlib
import os
import tomllib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from .errors import CallerError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TierName = Literal["small", "large", "judge", "embed", "rerank", "vision", "transcribe"]

CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 30.0  # to reach the provider; between two pieces of an answer


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
    known = catalogue()
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


def _launch(entry_point: str) -> str:
    module, _, function = entry_point.partition(":")
    try:
        return getattr(importlib.import_module(module), function)()
    except RuntimeError as error:
        raise CallerError(str(error), "Then run this again.", "not_set_up") from None


@cache
def _provider(name: str, base_url: str, key: str, overrides: tuple[tuple[str, str], ...]) -> Provider:
    settings = catalogue()[name]
    tiers = dict(tiers_of(name))
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


def tiers_of(name: str) -> Mapping[str, Tier]:
    """The models of a provider and their prices, also of one that is not in use and has no key."""
    settings = catalogue()[name]
    return {tier: _tier(settings, tier, values) for tier, values in settings.get("tiers", {}).items()}


def _tier(settings: Mapping[str, Any], name: str, values: Mapping[str, Any]) -> Tier:
    prices = {key: values.get(key) for key in ("input", "cached_input", "output")}
    if settings.get("free"):
        prices = dict.fromkeys(prices, 0.0)
    elif "genai_prices" in settings:
        prices = _hosted_prices(settings["genai_prices"], values["model"], hears=name == "transcribe")
    return Tier(name=name, model=values["model"], params=values.get("params", {}), **prices)


def _hosted_prices(provider_id: str, model: str, hears: bool) -> dict[str, float | None]:
    from genai_prices import Usage, calc_price

    million = 1_000_000
    try:
        read = Usage(input_tokens=million, input_audio_tokens=million if hears else 0)
        fresh = calc_price(read, model_ref=model, provider_id=provider_id)
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
    named = ((tier, os.environ.get(f"PATTERNS_MODEL_{tier.upper()}")) for tier in get_args(TierName))
    return tuple((tier, model) for tier, model in named if model)


@cache
def catalogue() -> dict[str, Any]:
    """The contents of `models.toml`: settings and tiers by provider."""
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


_clients: "dict[asyncio.AbstractEventLoop, dict[tuple[str, str], AsyncOpenAI]]" = {}


def client(chosen: Provider | None = None) -> "AsyncOpenAI":
    """An OpenAI client for the provider, one per event loop. It does not retry: layers do that where it can be seen."""
    chosen = chosen or provider()
    for loop in [loop for loop in _clients if loop.is_closed()]:
        del _clients[loop]
    mine = _clients.setdefault(asyncio.get_running_loop(), {})
    place = (chosen.base_url, chosen.key)
    if place not in mine:
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        here = urlsplit(chosen.base_url).hostname in ("127.0.0.1", "::1", "localhost")
        # A proxy set for the internet must not stand between this program and a server on the same machine.
        direct = DefaultAsyncHttpxClient(trust_env=False, timeout=timeout) if here else None
        mine[place] = AsyncOpenAI(
            base_url=chosen.base_url, api_key=chosen.key, max_retries=0, timeout=timeout, http_client=direct
        )
    return mine[place]


async def close() -> None:
    """Close this event loop's connections. Scripts and tests want it; a notebook keeps its loop."""
    for opened in _clients.pop(asyncio.get_running_loop(), {}).values():
        await opened.close()
