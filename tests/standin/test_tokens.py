"""Cutting text into tokens, and the prompt cache: by itself with a clock of its own, and over the wire."""

import uuid

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin_requests import LARGE, SMALL, chat

from patterns.standin import tokens
from patterns.standin.server import Server

WORDS = "The keeper walked slowly along the quiet corridor and counted every lamp that was still burning there"


@given(st.text(st.characters()))
def test_the_pieces_are_the_text(text: str) -> None:
    pieces = tokens.split(text)
    assert "".join(pieces) == text
    assert all(pieces)
    assert tokens.count(text) == len(pieces)


def test_an_english_word_is_about_one_token_and_a_third() -> None:
    assert 1.0 < tokens.count(WORDS) / len(WORDS.split()) < 1.6


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def prompt(first: str, length: int) -> list[str]:
    return [first, *(str(number) for number in range(length - 1))]


def test_cache_counts_whole_steps_of_a_prefix_seen_before() -> None:
    cache = tokens.PrefixCache(clock=Clock())
    assert cache.hit("key", prompt("a", 2_000)) == 0
    assert cache.hit("key", prompt("a", 2_000)) == 2_000 // tokens.CACHE_STEP * tokens.CACHE_STEP
    assert cache.hit("key", prompt("a", 1_500)[:-100] + ["new"] * 500) == 1_400 // tokens.CACHE_STEP * tokens.CACHE_STEP


@pytest.mark.parametrize(("length", "hits"), [(tokens.CACHE_MINIMUM - 1, False), (tokens.CACHE_MINIMUM, True)])
def test_cache_starts_at_its_minimum(length: int, hits: bool) -> None:
    cache = tokens.PrefixCache(clock=Clock())
    cache.hit("key", prompt("a", length))
    assert cache.hit("key", prompt("a", length)) == (tokens.CACHE_MINIMUM if hits else 0)


def test_a_shared_prefix_below_the_minimum_is_no_hit() -> None:
    cache = tokens.PrefixCache(clock=Clock())
    shared = prompt("a", 900)
    cache.hit("key", shared + ["x"] * 500)
    assert cache.hit("key", shared + ["y"] * 500) == 0


def test_cache_forgets_with_time_and_is_refreshed_by_use() -> None:
    clock = Clock()
    cache = tokens.PrefixCache(clock=clock)
    cache.hit("key", prompt("a", 1_024))
    for _ in range(3):  # each use, just in time, keeps it for another five minutes
        clock.now += tokens.CACHE_SECONDS - 1
        assert cache.hit("key", prompt("a", 1_024)) == 1_024
    clock.now += tokens.CACHE_SECONDS
    assert cache.hit("key", prompt("a", 1_024)) == 0


def test_cache_forgets_the_oldest_beyond_its_capacity() -> None:
    cache = tokens.PrefixCache(capacity=8, clock=Clock())
    cache.hit("key", prompt("a", 1_024))
    assert cache.hit("key", prompt("a", 1_024)) == 1_024
    cache.hit("key", prompt("b", 1_024))
    assert cache.hit("key", prompt("a", 1_024)) == 0


def cached(http: httpx2.Client, system: str, model: str = SMALL, question: str = "When do you open?") -> int:
    usage = http.post("/chat/completions", json=chat(question, system, model=model)).raise_for_status().json()["usage"]
    return usage["prompt_tokens_details"]["cached_tokens"]


LONG = " ".join(f"Rule {number}: lamp {number} stays lit." for number in range(300))


def test_a_short_prompt_is_never_cached(http: httpx2.Client) -> None:
    assert [cached(http, "Be kind.") for _ in range(3)] == [0, 0, 0]


def test_a_long_stable_prefix_is_cached_from_the_second_call(http: httpx2.Client) -> None:
    assert cached(http, LONG) == 0
    hit = cached(http, LONG, question="May dogs come in?")
    assert hit >= tokens.CACHE_MINIMUM
    assert hit % tokens.CACHE_STEP == 0


def test_a_timestamp_in_front_spoils_the_cache(http: httpx2.Client) -> None:
    assert cached(http, f"10:00:01 {LONG}") == 0
    assert cached(http, f"10:00:02 {LONG}") == 0
    assert cached(http, f"10:00:02 {LONG}") > 0


def test_the_cache_is_shared_neither_between_keys_nor_between_models(http: httpx2.Client, server: Server) -> None:
    cached(http, LONG)
    assert cached(http, LONG, model=LARGE) == 0
    other = {"authorization": f"Bearer standin-{uuid.uuid4()}"}
    with httpx2.Client(base_url=server.base_url, headers=other, timeout=30) as stranger:
        assert cached(stranger, LONG) == 0
    assert cached(http, LONG) > 0


def test_cached_tokens_are_read_faster(http: httpx2.Client, server: Server) -> None:
    """The time to the first token counts only what is not cached: 12,000 tokens at 20,000 a second are 0.6 s."""
    http.put(server.base_url.replace("/v1", "/standin/dials"), json={"tokens_per_second": 1e6}).raise_for_status()
    long = " ".join(f"lamp{number}" for number in range(6_000))
    seconds = []
    for _ in range(2):
        answer = http.post("/chat/completions", json=chat("When?", long, max_tokens=1))
        seconds.append(answer.raise_for_status().elapsed.total_seconds())
    assert seconds[0] > 0.5
    assert seconds[1] < 0.8 * seconds[0]
