"""The chat page in a real browser: keyboard, focus, citations, confirmation, Stop, reload, errors, and hostile text."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from patterns import checkpoints
from patterns.events import (
    Answer,
    ConfirmationRequired,
    Event,
    Failed,
    Handler,
    Reset,
    Status,
    TextDelta,
    Turn,
    User,
)
from patterns.service import app, server
from patterns.service.identity import Keys, Person

KEYS = Keys([b"k" * 32])
BAD = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>[x](javascript:window.broken=1) **<b>**'
CLOSED: list[str] = []


async def scripted(turn: Turn) -> AsyncGenerator[Event, None]:
    """Does what the question says."""
    yield Status("received")
    yield Status("searching")
    match turn.text.split()[0]:
        case "slow":
            try:
                for number in range(60):
                    await asyncio.sleep(0.1)
                    yield TextDelta(f"word{number} ")
                yield Answer(text=" ".join(f"word{number}" for number in range(60)))
            finally:
                CLOSED.append(turn.text)
        case "confirm" if not turn.exchange:
            asked = {"role": "assistant", "content": None, "tool_calls": []}
            checkpoints.default().save(Turn(**_saved(turn), exchange=(asked,)), "waiting")
            token = checkpoints.default().ask(f"{turn.trace_id}/1", turn, BAD, {})
            yield ConfirmationRequired(token, f"Shall we call you? {BAD}")
        case "confirm":
            said = checkpoints.default().decision(f"{turn.trace_id}/1", {})
            yield TextDelta(f"It was {said}.")
            yield Answer(text=f"It was {said}.")
        case "limit":
            yield Failed("rate_limit", "dev", "dev", False, 2.0)
        case "late":
            yield TextDelta("half of it")
            await asyncio.sleep(0.4)
            yield Failed("stream_cut", "dev", "dev", True)
        case "hostile":
            yield Status("working", BAD)
            yield TextDelta("taken back")
            yield Reset("again")
            yield TextDelta(BAD)
            yield Answer(
                text=f"{BAD}\n\n| {BAD} | x |\n|---|---|\n| {BAD} | y |\n\n- {BAD}", cited_chunk_ids=("a", "b", "c")
            )
        case kind:
            yield Status("drafting", "answered 5 minutes ago")
            yield TextDelta("Hello.")
            yield Answer(text="Hello.", served=kind, cited_chunk_ids=("a",), tier="small", cost_usd=0.0)  # type: ignore[arg-type]


def _saved(turn: Turn) -> dict[str, Any]:
    return {"text": turn.text, "user": turn.user, "request_id": turn.request_id, "trace_id": turn.trace_id}


async def sources(ids: tuple[str, ...], user: User) -> list[dict[str, str]]:
    urls = {"a": "https://help.example/a", "b": "javascript:window.broken=1", "c": "data:text/html,<script>1</script>"}
    text = f"The title\nThe text of it. {BAD}"
    return [
        {"id": one, "title": f"Title {one} {BAD}", "heading": "", "text": text, "url": urls[one], "updated": BAD}
        for one in ids
    ]


@pytest.fixture
def url(own_state: Path) -> Iterator[str]:
    CLOSED.clear()
    handler: Handler = scripted
    running = server.run_in_thread(app.build(KEYS, handler, sources, demo=True))
    yield running.url
    running.stop()


@pytest.fixture
def chat(browser: Browser, url: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 900, "height": 800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    sign_in(page, url, "Alice <script>window.broken=1</script>")
    yield page
    assert errors == [] and page.evaluate("window.broken") is None
    page.close()


def sign_in(page: Page, url: str, name: str, language: str = "en") -> None:
    page.goto(f"{url}/login?token={KEYS.sign(Person(User('C-0001', 'acme-home', language=language), name))}")
    page.wait_for_url(f"{url}/")
    expect(page.locator("#new")).to_be_visible()


def ask(page: Page, text: str) -> None:
    """With the keyboard alone: the field has the focus whenever a question can be asked."""
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_a_question_is_asked_answered_and_traced_to_its_source_by_keyboard(chat: Page) -> None:
    ask(chat, "live please")
    answer = chat.locator(".answered").last
    expect(answer.locator(".text")).to_have_text("Hello.")
    expect(chat.locator("#spoken")).to_contain_text("Hello.")  # what a screen reader is told
    button = answer.get_by_role("button", name="Title a")
    expect(button).to_have_attribute("aria-expanded", "false")
    button.focus()
    chat.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    panel = answer.locator(".panel")
    expect(panel).to_contain_text("The text of it.")
    expect(panel.get_by_role("link")).to_have_attribute("href", "https://help.example/a")
    expect(panel.get_by_role("link")).to_have_attribute("rel", "noopener noreferrer nofollow")
    chat.keyboard.press("Enter")
    expect(panel).to_be_hidden()


@pytest.mark.parametrize(
    ("served", "said"),
    [
        ("cached", "Saved answer · 5 minutes ago"),
        ("stale", "Older answer · 5 minutes ago"),
        ("simplified", "From the help centre, without the assistant"),
        ("unavailable", "Not answered"),
        ("handoff", "A person takes over"),
    ],
)
def test_an_answer_says_how_it_was_served_also_after_a_reload(chat: Page, served: str, said: str) -> None:
    ask(chat, f"{served} please")
    expect(chat.locator(".badge")).to_contain_text(said)
    chat.reload()
    expect(chat.locator(".badge")).to_contain_text(said)


def test_escape_stops_the_answer_and_the_work_behind_it(chat: Page) -> None:
    ask(chat, "slow please")
    expect(chat.locator(".text")).to_contain_text("word3")
    assert chat.locator("#send").is_hidden()
    chat.keyboard.press("Escape")
    expect(chat.locator(".over")).to_have_text("Stopped.")
    until = time.monotonic() + 2
    while not CLOSED and time.monotonic() < until:
        time.sleep(0.01)
    assert CLOSED == ["slow please"]
    assert "word50" not in chat.locator(".text").inner_text()
    expect(chat.locator("#question")).to_be_focused()


def test_a_reload_goes_on_with_the_answer_and_asks_nobody_twice(chat: Page) -> None:
    ask(chat, "slow please")
    expect(chat.locator(".text")).to_contain_text("word3")
    chat.reload()
    expect(chat.locator(".text")).to_contain_text("word0 word1 word2 word3 word4")
    expect(chat.locator(".text")).to_contain_text("word59", timeout=15_000)
    expect(chat.locator(".answered")).not_to_have_attribute("aria-busy", "true")
    assert CLOSED == ["slow please"] and chat.locator(".asked").count() == 1


def test_a_lost_connection_is_taken_up_where_it_broke(chat: Page, url: str) -> None:
    ask(chat, "slow please")
    expect(chat.locator(".text")).to_contain_text("word3")
    chat.context.set_offline(True)
    chat.wait_for_timeout(300)
    chat.context.set_offline(False)
    expect(chat.locator(".text")).to_contain_text("word59", timeout=15_000)
    words = chat.locator(".text").inner_text().split()
    assert words == [f"word{number}" for number in range(60)] and CLOSED == ["slow please"]


@pytest.mark.parametrize(("button", "said"), [("Yes, please", "approved"), ("No, thanks", "declined")])
def test_a_confirmation_takes_the_focus_survives_a_reload_and_counts_once(chat: Page, button: str, said: str) -> None:
    ask(chat, "confirm please")
    card = chat.get_by_role("group")
    expect(card).to_be_focused()
    expect(card).to_contain_text("<script>")
    chat.reload()
    card = chat.get_by_role("group")
    card.get_by_role("button", name=button).focus()
    chat.keyboard.press("Enter")
    expect(chat.locator(".text").last).to_have_text(f"It was {said}.")
    expect(card.get_by_role("button")).to_have_count(0)
    expect(chat.locator("#question")).to_be_focused()
    chat.reload()
    expect(chat.locator(".text").last).to_have_text(f"It was {said}.")
    expect(chat.locator(".card")).to_have_count(0)


def test_a_limit_is_an_alert_with_a_countdown_that_ends_in_a_button(chat: Page) -> None:
    ask(chat, "limit please")
    alert = chat.get_by_role("alert")
    expect(alert).to_contain_text("That was many questions in a short time.")
    expect(alert).not_to_contain_text("dev")
    again = alert.get_by_role("button", name="Ask again")
    expect(again).to_be_disabled()
    expect(again).to_be_enabled(timeout=5_000)
    again.click()
    expect(chat.locator(".asked")).to_have_count(2)


def test_what_fails_late_keeps_its_words_and_says_so(chat: Page) -> None:
    ask(chat, "late please")
    expect(chat.get_by_role("alert")).to_contain_text("out of reach")
    expect(chat.locator(".text")).to_contain_text("half of it")
    expect(chat.locator(".over")).to_have_text("Not answered.")


def test_hostile_text_in_answers_titles_sources_and_names_stays_text(chat: Page) -> None:
    ask(chat, "hostile please")
    answer = chat.locator(".answered").last
    for number in range(3):
        answer.locator(".source").nth(number).click()
        expect(answer.locator(".panel").nth(number)).to_contain_text("The text of it.")
    assert "<script>window.broken=1</script>" in answer.inner_text()
    assert "<script>" in chat.locator("#who").inner_text()
    assert chat.locator("main img, main script, header script, main iframe").count() == 0
    links = answer.locator("a").evaluate_all("links => links.map(link => link.protocol)")
    assert links == ["https:"]
    chat.reload()
    expect(chat.locator(".answered").last).to_contain_text("<script>")
    chat.wait_for_timeout(200)
    assert chat.evaluate("window.broken") is None


def test_the_policy_lets_no_script_in_even_where_the_page_would(chat: Page) -> None:
    tried = """() => {
        try { document.body.innerHTML += '<img src=x onerror="window.broken=1">'; } catch (error) { return error.name; }
    }"""
    assert chat.evaluate(tried) == "TypeError"  # trusted types
    assert chat.evaluate("document.cookie") == ""


def test_no_foreign_page_can_ask_frame_or_read(browser: Browser, url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, url, "Alice")
    port = url.rpartition(":")[2]
    foreign = f"http://localhost:{port}"  # another host: another site to a browser, and its cookie is not sent along
    page.route(f"{foreign}/evil", lambda route: route.fulfill(body="<p>evil</p>", content_type="text/html"))
    page.goto(f"{foreign}/evil")
    attack = """async (url) => {
        const api = `${url}/api/support`;
        const post = {method: "POST", credentials: "include", body: '{"text":"live"}'};
        const settled = await Promise.allSettled([
            fetch(api, {credentials: "include"}),
            fetch(api, {...post, headers: {"content-type": "application/json"}}),
            fetch(api, {...post, mode: "no-cors"}),
        ]);
        return settled.map((one) => one.status);
    }"""
    assert page.evaluate(attack, url) == ["rejected", "rejected", "rejected"]
    page.evaluate("url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f); }", url)
    page.wait_for_timeout(500)
    assert page.frames[-1].evaluate("document.querySelector('#question')") is None
    page.goto(url)
    expect(page.locator("#empty")).to_be_visible()  # nothing was asked in Alice's name
    context.close()


def test_nobody_signed_in_is_told_what_to_do_and_german_customers_in_german(browser: Browser, url: str) -> None:
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_role("alert")).to_contain_text("Sie sind nicht angemeldet.")
    sign_in(page, url, "Jörg", "de")
    expect(page.locator("#question")).to_have_attribute("placeholder", "Ihre Frage")
    assert page.evaluate("document.documentElement.lang") == "de"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_small_screen_and_every_control_has_a_name(browser: Browser, url: str, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 640}, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    sign_in(page, url, "A" * 200)
    ask(page, "hostile " + "x" * 500)
    page.locator(".source").first.click()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    named = "nodes => nodes.filter((n) => !(n.textContent.trim() || n.ariaLabel || n.labels?.length)).length"
    assert page.locator("button, a, textarea").evaluate_all(named) == 0
    assert page.evaluate("getComputedStyle(document.body, null).animationName") == "none"
    context.close()


def test_threads_of_the_service_end_with_it(own_state: Path) -> None:
    running = server.run_in_thread(app.build(KEYS, scripted, sources))
    running.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "service"]
