"""What went wrong at a provider, in our own words: whose fault it is, one sentence, and the next step."""

from typing import Any

from .errors import CallerError, PatternsError, ProviderError
from .models import Provider


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


def turned_away(error: Exception) -> bool:
    """Whether the provider cannot have worked on the request: it was never reached, or it refused."""
    import httpx2
    import openai

    unreached = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
    return isinstance(error, openai.APIStatusError) or (isinstance(error, openai.APIConnectionError) and unreached)


def _retry_after(error: Any) -> float | None:
    try:
        return float(error.response.headers.get("retry-after"))
    except (TypeError, ValueError):
        return None
