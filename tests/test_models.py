"""Providers, prices, and a streamed call under every fault that a provider can make."""

import asyncio
import json
import os
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from patterns import calls, ledger, models
from patterns.course import control
from patterns.errors import CallerError, PatternsError, ProviderError

Dial = Callable[..., None]
HELLO = [{"role": "user", "content": "Hello!"}]
LONG = [
    {
        "role": "user",
        "content": "Explain in detail.\n\nDocuments:\n\n"
        + "\n\n".join(f"Rule {n} says to wait {n} days." for n in range(9)),
    }
]


async def call(messages: Any = None, **options: Any) -> tuple[list[str], calls.Completion]:
    texts: list[str] = []
    async with aclosing(calls.stream(messages or HELLO, **options)) as pieces:
        async for piece in pieces:
            if isinstance(piece, calls.Completion):
                return texts, piece
            texts.append(piece)
    raise AssertionError("the stream ended without a Completion")


async def test_a_call_yields_pieces_then_a_completion_and_stands_in_the_ledger(turn_dials: Dial) -> None:
    texts, end = await call(tier="large", trace_id="t1", tenant="acme-home", user="C-0001")
    assert len(texts) > 1 and "".join(texts) == end.text
    assert end.finish == "stop" and end.output_tokens == len(texts)
    (row,) = ledger.default().calls(trace_id="t1")
    assert (row.outcome, row.estimated, row.model, row.tenant) == ("done", False, "standin-large", "acme-home")
    assert (row.input_tokens, row.output_tokens, row.cost_usd) == (end.input_tokens, end.output_tokens, end.cost_usd)
    price = models.provider().tier("large")
    assert (
        end.cost_usd == pytest.approx((end.input_tokens * 2.0 + end.output_tokens * 8.0) / 1e6) and price.output == 8.0
    )


async def test_max_tokens_ends_with_length(turn_dials: Dial) -> None:
    texts, end = await call(LONG, max_tokens=3)
    assert (len(texts), end.finish) == (3, "length")


FAULTS: list[tuple[dict[str, Any], type[PatternsError], str, bool | None]] = [
    ({"rate_limited": 1, "retry_after": 2.5}, ProviderError, "rate_limited", True),
    ({"server_error": 1}, ProviderError, "overloaded", True),
    ({"outage": ["*"]}, ProviderError, "overloaded", True),
    ({"cut_after": 0}, ProviderError, "unreachable", True),
    ({"cut_after": 2}, ProviderError, "stream_cut", True),
]


@pytest.mark.parametrize(("dials", "kind", "code", "transient"), FAULTS)
async def test_every_fault_is_one_error_with_a_next_step(
    turn_dials: Dial, dials: dict[str, Any], kind: type[PatternsError], code: str, transient: bool | None
) -> None:
    turn_dials(**dials)
    with pytest.raises(kind) as caught:
        await call(trace_id="t2")
    error = caught.value
    assert error.message.endswith(".") and error.next_step
    if code != "unreachable":  # a connection that drops before its first byte may surface as either
        assert error.code == code
    if isinstance(error, ProviderError):
        assert error.transient is transient
        assert error.retry_after == (2.5 if code == "rate_limited" else None)
    assert ledger.default().calls(trace_id="t2")[0].outcome == error.code


async def test_a_silent_provider_times_out(turn_dials: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SILENCE_SECONDS", 0.3)
    turn_dials(stall_after=2)
    with pytest.raises(ProviderError) as caught:
        await call()
    assert (caught.value.code, caught.value.transient) == ("timeout", True)


@pytest.mark.parametrize(
    "quirks", [["ping"], ["empty_choices"], ["no_usage"], ["no_done"], ["ping", "empty_choices", "no_usage", "no_done"]]
)
async def test_the_oddities_of_compatible_servers_are_taken(turn_dials: Dial, quirks: list[str]) -> None:
    plain = (await call(LONG))[1]
    turn_dials(quirks=quirks)
    odd = (await call(LONG, trace_id="t3"))[1]
    assert (odd.text, odd.finish) == (plain.text, plain.finish)
    estimated = "no_usage" in quirks
    assert ledger.default().calls(trace_id="t3")[0].estimated is estimated
    assert odd.output_tokens == plain.output_tokens or estimated


async def test_a_prompt_that_does_not_fit_is_the_callers_mistake(turn_dials: Dial) -> None:
    with pytest.raises(CallerError) as caught:
        await call([{"role": "user", "content": "word " * 20_000}], tier="small")
    assert caught.value.code == "context_too_long"
    with pytest.raises(CallerError) as caught:
        await call([{"role": "nobody", "content": "?"}])
    assert caught.value.code == "bad_request" and "role" in caught.value.message


async def test_an_unknown_model_names_the_place_to_change(turn_dials: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_MODEL_LARGE", "gpt-nonexistent")
    with pytest.raises(CallerError) as caught:
        await call()
    assert caught.value.code == "unknown_model" and "models.toml" in caught.value.next_step


async def test_a_wrong_key_is_refused_in_one_sentence(turn_dials: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    url = models.provider().base_url
    with monkeypatch.context() as elsewhere, pytest.raises(CallerError) as caught:
        elsewhere.setenv("PATTERNS_PROVIDER", "openai")
        elsewhere.setenv("OPENAI_BASE_URL", url)
        elsewhere.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
        await call()
    assert caught.value.code == "wrong_key" and "OPENAI_API_KEY" in str(caught.value)
    assert "sk-not" not in str(caught.value)


async def test_nobody_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_PROVIDER", "custom")
    monkeypatch.setenv("PATTERNS_MODEL_LARGE", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ProviderError) as caught:
        await call()
    assert caught.value.code == "unreachable" and "127.0.0.1:9" in caught.value.message
    await models.close()


@pytest.fixture
async def speaks(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """A provider of our own that answers any request with the given lines of server-sent events."""
    servers: list[asyncio.Server] = []

    async def start(*lines: str) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = "".join(f"data: {line}\n\n" for line in lines).encode()
            head = ("HTTP/1.1 200 OK", "content-type: text/event-stream", f"content-length: {len(body)}")
            writer.write("\r\n".join((*head, "connection: close", "", "")).encode() + body)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
        monkeypatch.setenv("PATTERNS_PROVIDER", "custom")
        monkeypatch.setenv("PATTERNS_MODEL_LARGE", "any")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/v1")

    yield start
    for server in servers:
        server.close()
    await models.close()


def chunk(text: str | None, finish: str | None = None, **more: Any) -> str:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps(
        {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "any", "choices": [choice]} | more
    )


async def test_an_address_that_speaks_something_else(speaks: Callable[..., Any]) -> None:
    await speaks("<html>not json</html>")
    with pytest.raises(ProviderError) as caught:
        await call()
    assert (caught.value.code, caught.value.transient) == ("bad_stream", False)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}])
async def test_a_usage_without_numbers_is_estimated(speaks: Callable[..., Any], usage: dict[str, Any]) -> None:
    await speaks(chunk("Hello there"), chunk(None, "stop", usage=usage), "[DONE]")
    _, end = await call(trace_id="t4")
    (row,) = ledger.default().calls(trace_id="t4")
    assert end.text == "Hello there" and (row.outcome, row.estimated) == ("done", True) and row.output_tokens == 3


@pytest.mark.parametrize(
    ("error", "code", "transient"),
    [
        ({"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"}, "rate_limited", True),
        ({"message": "Overloaded.", "type": "server_error", "code": None}, "overloaded", True),
        ({"message": "No.", "type": "invalid_request_error", "code": "policy"}, "overloaded", False),
    ],
)
async def test_an_error_inside_the_stream(
    speaks: Callable[..., Any], error: dict[str, Any], code: str, transient: bool
) -> None:
    await speaks(chunk("Hello"), json.dumps({"error": error}))
    with pytest.raises(ProviderError) as caught:
        await call(trace_id="t5")
    assert (caught.value.code, caught.value.transient) == (code, transient) and error["message"] in caught.value.message
    assert ledger.default().calls(trace_id="t5")[0].outcome == code


async def test_a_ledger_that_cannot_settle_does_not_take_the_answer_away(
    turn_dials: Dial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise CallerError("The disk is full.", "Free some space.", "store_unwritable")

    monkeypatch.setattr(ledger.Ledger, "settle", full)
    _, end = await call(trace_id="t6")
    assert end.text and "could not be settled" in caplog.text
    assert ledger.default().calls(trace_id="t6")[0].outcome == "open"


async def test_a_proxy_for_the_internet_does_not_stand_before_this_machine(
    turn_dials: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    await models.close()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await call())[1].text


def test_clients_of_closed_loops_are_let_go(turn_dials: Dial) -> None:
    for _ in range(4):
        asyncio.run(_one_call_and_no_close())
    assert len(models._clients) <= 2


async def _one_call_and_no_close() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        await call()
        await models.client().close()


EXIT = """
import asyncio, os, threading
from patterns import calls
async def main():
    documents = " ".join(f"Rule {n} says that visitor {n} waits {n} days." for n in range(400))
    async for _ in calls.stream([{"role": "user", "content": f"Who waits longest?\\n\\nDocuments:\\n\\n{documents}"}]):
        pass
try:
    asyncio.run(asyncio.wait_for(main(), 1.0))
except TimeoutError:
    print("left while it was thinking")
"""


def test_a_process_may_exit_while_the_stand_in_thinks(tmp_path: Any) -> None:
    environment = {**os.environ, "PATTERNS_STATE": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, env=environment, timeout=60)
    assert ran.returncode == 0, ran.stderr


# choosing a provider


def test_a_key_alone_does_not_switch_to_paid_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    assert models.provider().name == "standin"
    assert "OPENAI_API_KEY is set but not used" in models.notice() and "sk-real" not in models.notice()


def test_a_paid_provider_says_so_and_keeps_the_key_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_PROVIDER", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    assert "real money" in models.notice()
    assert "sk-real" not in repr(models.provider())


@pytest.mark.parametrize(
    ("name", "code"), [("openai", "wrong_key"), ("opnai", "unknown_provider"), ("custom", "not_set_up")]
)
def test_a_provider_that_is_not_set_up_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    monkeypatch.setenv("PATTERNS_PROVIDER", name)
    with pytest.raises(CallerError) as caught:
        models.provider()
    assert caught.value.code == code and caught.value.next_step


def test_a_tier_that_a_provider_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_PROVIDER", "llamacpp")
    with pytest.raises(CallerError, match="judge"):
        models.provider().tier("judge")
    monkeypatch.setenv("PATTERNS_MODEL_JUDGE", "other")
    assert models.provider().tier("judge").model == "other"


def test_hosted_prices_come_from_the_price_list_and_unknown_ones_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_PROVIDER", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    large = models.provider().tier("large")
    assert large.input and large.output and large.cached_input and large.cached_input < large.input < large.output
    monkeypatch.setenv("PATTERNS_MODEL_LARGE", "model-of-next-year")
    assert models.provider().tier("large").cost(1_000, 1_000) is None


def test_cost_counts_cached_tokens_at_their_own_price() -> None:
    tier = models.Tier("large", "m", input=2.0, cached_input=0.5, output=8.0, params={})
    assert tier.cost(1_000_000, 0) == 2.0
    assert tier.cost(1_000_000, 1_000_000, cached_tokens=500_000) == pytest.approx(1.0 + 0.25 + 8.0)


def test_judge_is_never_the_judged_model() -> None:
    for name, settings in models.catalogue().items():
        tiers = settings["tiers"]
        if "judge" in tiers:
            judged = {tiers[tier]["model"] for tier in ("small", "large")}
            assert tiers["judge"]["model"] not in judged, name


def test_missing_weights_are_one_sentence(tmp_path: Any) -> None:
    code = """
from patterns import models
try:
    models.provider()
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "PATTERNS_CACHE": str(tmp_path / "nothing")}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert ran.stdout.startswith("CallerError") and "make setup" in ran.stdout, ran.stdout + ran.stderr


def test_the_same_stand_in_serves_the_whole_process() -> None:
    assert models.provider().base_url == models.provider().base_url
    assert control.has_dials()
