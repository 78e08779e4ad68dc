"""The capstone's checks see what an assistant does: a sound one passes, one fault is found, and words do not help."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from patterns import (
    acme_tools,
    agent_loop,
    bounds,
    caching,
    core,
    cost_control,
    fallbacks,
    models,
    rag,
    retries,
    safety_privacy,
    streaming_ux,
    structured_output,
)
from patterns.course import capstone, exercises, inherited
from patterns.errors import LimitHit, ProviderError
from patterns.events import Answer, Event, Failed, Handler, Layer, Status, TextDelta, Turn, stack

PARTS: dict[str, Layer] = {
    "failures": streaming_ux.report_failures,
    "limit": cost_control.rate_limited(20),
    "ladder": fallbacks.ladder(fresh_since=rag.fresh_since),
    "cache": caching.response_cache(),
    "addresses": safety_privacy.checked_answer,
    "search": rag.retrieve(rag.acme_index, fresh_since=rag.fresh_since),
    "agent": agent_loop.agent(rag.TOOLS, handoff=acme_tools.escalate_to_human),
    "asked_for": safety_privacy.asked_for_effects,
    "tiers": fallbacks.tiers(),
    "grounded": rag.grounded,
    "structured": structured_output.structured(),
    "retries": retries.retried(),
    "bounds": bounds.bounded(),
}


def same(inner: Handler) -> Handler:
    return inner


def together(*layers: Layer) -> Layer:
    return lambda inner: stack(inner, *layers)


def sound(prompt: core.Prompt = core.support_prompt, **changed: Layer) -> Handler:
    """An assistant that keeps every promise, but for the parts that are `changed`."""
    return stack(core.model_call(prompt, max_tokens=1_000), *(PARTS | changed).values())


def all_as_one(inner: Handler) -> Handler:
    """Count everybody as one person."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event

    async def counted(turn: Turn) -> AsyncGenerator[Event, None]:
        limit = cost_control.rate_limited(20)(lambda _: handle(turn))
        async with aclosing(limit(replace(turn, user=replace(turn.user, id="everybody")))) as events:
            async for event in events:
                yield event

    return counted


def whole(inner: Handler) -> Handler:
    """Show nothing before the end."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        async with aclosing(inner(turn)) as events:
            held = [event async for event in events]
        for event in held:
            yield event

    return handle


def says_live(inner: Handler) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event.model_copy(update={"served": "live"}) if isinstance(event, Answer) else event

    return handle


# what is wrong, the promise that it breaks, and what is said about it
FAULTS: dict[str, tuple[str, Callable[[], Handler], str]] = {
    "no cache": ("answers", lambda: sound(cache=same), "paid for twice"),
    "no search": ("answers", lambda: sound(search=same, agent=same), "no right answer with a source"),
    "a cache by the words": ("keeps readers", lambda: sound(cache=inherited.remember), "shown to another tenant"),
    "check, then record": ("holds its limit", lambda: sound(limit=inherited.counted(20)), "more than 20"),
    "no limit": ("holds its limit", lambda: sound(limit=same), "more than 20"),
    "a limit of five": ("holds its limit", lambda: sound(limit=cost_control.rate_limited(5)), "fewer than 20"),
    "one limit for all": ("holds its limit", lambda: sound(limit=all_as_one), "were refused as well"),
    "retries that multiply": ("survives", lambda: sound(retries=together(*[inherited.again(3)] * 2)), "called 6 times"),
    "no ladder": ("survives", lambda: sound(ladder=same, failures=same), "nobody to write to"),
    "an apology that is kept": (
        "survives",
        lambda: sound(limit=together(cost_control.rate_limited(20), inherited.remember)),
        "still gets the apology",
    ),
    "a fallback that hides": ("survives", lambda: sound(failures=says_live), "told that the answer is 'live'"),
    "a retry without a Reset": (
        "mends",
        lambda: sound(grounded=together(inherited.again(3), rag.grounded), retries=same, addresses=same),
        "two answers in one",
    ),
    "no second try": (
        "mends",
        lambda: sound(retries=same, tiers=same, ladder=same),
        "stayed unanswered",
    ),
    "no bound": ("stops a model", lambda: sound(bounds=same), "more than 6 times"),
    "a bound outside of the run": (
        "stops a model",
        lambda: sound(agent=together(bounds.bounded(), PARTS["agent"]), bounds=same),
        "more than 6 times",
    ),
    "any address": ("cannot be talked", lambda: sound(addresses=same), "was shown it"),
    "any effect": ("cannot be talked", lambda: sound(asked_for=same), "it was done"),
    "a prompt that is pasted": ("knows where", lambda: sound(inherited.prompt), "our own rules"),
    "a reader in the background": (
        "stops when",
        lambda: sound(bounds=together(bounds.bounded(), inherited.read_ahead)),
        "wrote the answer to its end",
    ),
    "an answer in one piece": ("stops when", lambda: sound(failures=whole), "wrote the answer to its end"),
}


def promise(begins: str) -> capstone.Promise:
    (found,) = [one for one in capstone.PROMISES if one.says.startswith(begins)]
    return found


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await models.close()
    await asyncio.sleep(0.1)  # streams that were left close their sockets in the next turns of the loop


@pytest.mark.usefixtures("with_library")
async def test_a_sound_assistant_keeps_every_promise() -> None:
    lines, missed = await capstone.examine(sound)
    assert missed == 0 and len(lines) == len(capstone.PROMISES), lines


@pytest.mark.usefixtures("with_library")
@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_is_found_and_told(fault: str) -> None:
    begins, build, told = FAULTS[fault]
    assert told in await capstone.broken_by(promise(begins), build)


@pytest.mark.usefixtures("with_library")
async def test_the_inherited_assistant_answers_and_breaks_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    await exercises.check("capstone", inherited.assistant)
    said = capsys.readouterr().out
    assert said.startswith(f"○ Not yet: {len(capstone.PROMISES)} of {len(capstone.PROMISES)} promises are not kept.")
    assert all(f"Read {one.where}." in said for one in capstone.PROMISES) and "✓" not in said


# nothing but behaviour passes


def says(*events: Event | Exception) -> Callable[[], Handler]:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        await asyncio.sleep(0)
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    return lambda: handle


EVERYTHING = "All promises are kept. $14.95, 24 months, November, $25.00, C wire, help@acme-home.example"
CHEATS: dict[str, Any] = {
    "a magic word": says(TextDelta("✓"), Answer(text="✓ All 9 promises are kept.")),
    "every word that is looked for": says(
        TextDelta(EVERYTHING), Answer(text=EVERYTHING, cited_chunk_ids=("home-express-delivery#1",))
    ),
    "an apology": says(Answer(text="Write to help@acme-home.example.", served="unavailable", confident=False)),
    "a refusal": says(LimitHit("No.", "Go away.", "rate_limit")),
    "an outage": says(ProviderError("Down.", "Wait.", "overloaded", transient=True)),
    "a failure": says(Failed("x", "No.", "Go away.", False)),
    "a status": says(Status("working")),
    "silence": says(),
    "no handler": lambda: None,
    "a text": "✓ All 9 promises are kept.",
    "a crash": lambda: 1 / 0,
}


@pytest.mark.parametrize("cheat", CHEATS)
async def test_no_word_passes(cheat: str, capsys: pytest.CaptureFixture[str]) -> None:
    await exercises.check("capstone", CHEATS[cheat])
    said = capsys.readouterr().out
    assert said.startswith("○ Not yet: ") and "broken  answers" in said and "broken  keeps readers apart" in said


async def test_a_real_provider_has_no_faults_to_show(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATTERNS_PROVIDER", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "a key that is never used")
    await exercises.check("capstone", sound)
    assert "Set PATTERNS_PROVIDER=standin." in capsys.readouterr().out


@pytest.mark.parametrize("one", capstone.PROMISES, ids=lambda one: one.says)
def test_every_place_to_read_is_there(one: capstone.Promise) -> None:
    name, section = one.where.split(", ")
    notebook = nbformat.read(Path(__file__).parents[1] / "notebooks" / name, as_version=4)
    assert any(f"## {section}" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")
