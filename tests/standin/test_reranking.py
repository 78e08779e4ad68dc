"""The `/rerank` endpoint: the shape that clients share, an order by meaning, and the faults of the other endpoints."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin_requests import Log, Turn

from patterns.standin import embedding, reranking, tokens
from patterns.standin.server import Server

QUERY = "When are the otters fed?"
TEXTS = [
    "A ticket for the aquarium costs seven crowns.",
    "Feeding time of the otters is at noon.",
    "The penguins are fed at three.",
    "Bicycles may be left beside the harbour wall.",
]


def ask(http: httpx2.Client, **fields: Any) -> httpx2.Response:
    return http.post("/rerank", json={"model": "standin-rerank", "query": QUERY, "documents": TEXTS} | fields)


def ranked(http: httpx2.Client, **fields: Any) -> list[dict[str, Any]]:
    return ask(http, **fields).raise_for_status().json()["results"]


def test_results_come_best_first_with_the_positions_they_had(http: httpx2.Client) -> None:
    body = ask(http).raise_for_status().json()
    results = body["results"]
    assert [row["index"] for row in results] == [1, 2, 0, 3]
    scores = [row["relevance_score"] for row in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 and score == round(score, 4) for score in scores)
    assert all(row.keys() == {"index", "relevance_score"} for row in results)
    assert body["model"] == "standin-rerank"
    assert body["usage"] == {"total_tokens": sum(map(tokens.count, [QUERY, *TEXTS]))}


def test_documents_may_be_objects_and_are_given_back_when_asked(http: httpx2.Client) -> None:
    objects = ranked(http, documents=[{"text": TEXTS[0]}, *TEXTS[1:]], return_documents=True)
    assert [(row["index"], row["relevance_score"]) for row in objects] == [
        (row["index"], row["relevance_score"]) for row in ranked(http)
    ]
    assert all(row["document"] == {"text": TEXTS[row["index"]]} for row in objects)


@pytest.mark.parametrize("top", [1, 2, 9])
def test_top_n_keeps_the_first_of_the_whole_order(http: httpx2.Client, top: int) -> None:
    assert ranked(http, top_n=top) == ranked(http)[:top]


def test_the_same_documents_tie_in_their_order(http: httpx2.Client) -> None:
    results = ranked(http, documents=[TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1]])
    assert [row["index"] for row in results] == [1, 3, 0, 2]


def test_one_word_that_must_be_there_decides(http: httpx2.Client) -> None:
    texts = [f"Error {code} of the pump means that a valve has to be replaced." for code in ("E17", "E52", "E90")]
    for at, code in enumerate(("E17", "E52", "E90")):
        assert ranked(http, query=f"What does {code} mean?", documents=texts)[0]["index"] == at


def test_what_has_no_pieces_has_no_relevance(http: httpx2.Client) -> None:
    assert ranked(http, documents=[" ", TEXTS[1]])[-1] == {"index": 0, "relevance_score": 0.0}
    assert {row["relevance_score"] for row in ranked(http, query=" ")} == {0.0}
    assert len(ranked(http, documents=["日本語", "\x00\u200b", "a" * 20_000])) == 3


def test_the_sdk_can_post_it(client: openai.OpenAI) -> None:
    body = {"model": "standin-rerank", "query": QUERY, "documents": TEXTS}
    answer: Any = client.post("/rerank", body=body, cast_to=object)
    assert answer["results"][0]["index"] == 1


# what is refused


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": ["a"] * 1_001}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"documents": ["a", ""]}, "documents.1"),
        ({"documents": ["a", 1]}, "documents.1"),
        ({"documents": ["a", None]}, "documents.1"),
        ({"documents": [{"title": "a"}]}, "documents.0"),
        ({"documents": [{"text": 1}]}, "documents.0"),
        ({"documents": [{"text": "a", "title": "b"}]}, "documents.0"),
        ({"query": ""}, "query"),
        ({"query": ["a"]}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "2"}, "top_n"),
        ({"top_n": 1.5}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"rank_fields": ["a"]}, "rank_fields"),
    ],
)
def test_a_wrong_request_names_what_is_wrong(http: httpx2.Client, fields: dict[str, Any], param: str) -> None:
    answer = ask(http, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert error["message"].endswith(".")


@pytest.mark.parametrize("missing", ["model", "query", "documents"])
def test_a_missing_parameter_is_named(http: httpx2.Client, missing: str) -> None:
    body = {"model": "standin-rerank", "query": QUERY, "documents": TEXTS}
    del body[missing]
    error = http.post("/rerank", json=body).json()["error"]
    assert (error["param"], error["code"]) == (missing, "missing_required_parameter")


def test_only_the_reranking_model_reranks(http: httpx2.Client) -> None:
    assert ask(http, model="standin-embed").status_code == 400
    assert ask(http, model="standin-huge").status_code == 404
    asked = {"model": "standin-rerank", "input": "a"}
    assert http.post("/embeddings", json=asked).status_code == 400


def test_a_thousand_documents_are_not_too_many(http: httpx2.Client) -> None:
    assert len(ranked(http, documents=[f"Tank {number}" for number in range(1_000)])) == 1_000


def test_it_needs_a_key(server: Server) -> None:
    answer = httpx2.post(f"{server.base_url}/rerank", json={}, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


# the network and the log


@pytest.mark.parametrize(
    ("dials", "status"), [({"rate_limited": 1}, 429), ({"server_error": 1}, 500), ({"outage": ["standin-rerank"]}, 503)]
)
def test_the_faults_of_the_network_hit_it_as_often_as_said(
    http: httpx2.Client, turn: Turn, log: Log, dials: dict[str, Any], status: int
) -> None:
    turn(**dials, only_first=2)
    assert [ask(http).status_code for _ in range(3)] == [status, status, 200]
    assert [entry["ended"] for entry in log()] == [f"error {status}", f"error {status}", "done"]


def test_the_log_has_it(http: httpx2.Client, log: Log) -> None:
    answer = ask(http)
    [entry] = log()
    assert (entry["path"], entry["model"], entry["ended"]) == ("/v1/rerank", "standin-rerank", "done")
    assert entry["prompt_tokens"] == answer.json()["usage"]["total_tokens"]
    assert entry["request_id"] == answer.headers["x-request-id"]


def test_it_can_be_slow_and_whoever_leaves_is_noticed(http: httpx2.Client, turn: Turn, log: Log) -> None:
    turn(time_to_first_token=0.3)
    begun = time.monotonic()
    assert ask(http).status_code == 200
    assert time.monotonic() - begun >= 0.29
    turn(time_to_first_token=60)
    with pytest.raises(httpx2.ReadTimeout):
        http.post("/rerank", json={"model": "standin-rerank", "query": QUERY, "documents": TEXTS}, timeout=0.5)
    assert [entry["ended"] for entry in log()] == ["done", "aborted"]


async def test_others_are_answered_meanwhile(aclient: openai.AsyncOpenAI) -> None:
    long = [f"{'the tide comes in and the tide goes out ' * 20}{number}" for number in range(20)]
    order: list[str] = []

    async def call(name: str, work: Any) -> None:
        await work
        order.append(name)

    body = {"model": "standin-rerank", "query": QUERY, "documents": long}
    slow = asyncio.create_task(call("rerank", aclient.post("/rerank", body=body, cast_to=object)))
    await asyncio.sleep(0.05)
    await call("models", aclient.models.list())
    await slow
    assert order == ["models", "rerank"]


# the scores


def alone(query: str, document: str) -> float:
    """The definition, piece by piece, in float64."""
    (_, about, asked), (_, whole, offered) = (next(embedding.token_vectors([text])) for text in (query, document))
    best = [max(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in offered) for a in asked]
    return 0.5 * float(about @ whole) + 0.5 * sum(best) / len(best)


def test_scores_are_the_definition(http: httpx2.Client) -> None:
    by_position = {row["index"]: row["relevance_score"] for row in ranked(http)}
    for position, text in enumerate(TEXTS):
        assert by_position[position] == pytest.approx(alone(QUERY, text), abs=5e-4)


words = st.sampled_from(["otter", "noon", "ticket", "tank", "T-12", "the", "ü", "日", "?"])
texts = st.lists(words, min_size=1, max_size=30).map(" ".join)


@settings(max_examples=25, deadline=None)
@given(query=texts, before=st.lists(texts, max_size=8), text=texts, after=st.lists(texts, max_size=8))
def test_neither_company_nor_memory_changes_a_score(query: str, before: list[str], text: str, after: list[str]) -> None:
    together = reranking.scores(query, [*before, text, *after], reranking.Cache())[len(before)]
    kept = reranking.Cache()
    assert reranking.scores(query, [text], kept) == reranking.scores(query, [text], kept)
    assert together == pytest.approx(reranking.scores(query, [text], kept)[0], abs=1.01e-4)


def test_the_memory_is_bounded_in_bytes_and_forgets_the_oldest() -> None:
    cache = reranking.Cache(7_000)  # room for two texts of three pieces
    first, second, third = "otter noon crab", "crab pool tank", "seal pool tide"
    kept = {text: cache.get([text])[0] for text in (first, second)}
    assert cache.get([first])[0] is kept[first]
    kept[third] = cache.get([third])[0]  # the second is the oldest now
    assert 0 < cache.size <= 7_000
    assert cache.get([first])[0] is kept[first] and cache.get([third])[0] is kept[third]
    assert cache.get([second])[0] is not kept[second]
    assert len(cache.get([first, second, third, TEXTS[0], TEXTS[1], TEXTS[0]])) == 6  # more than fits, all answered
    assert cache.size <= 7_000


def test_threads_share_it() -> None:
    cache = reranking.Cache(100_000)
    batches = [[f"tank {number % 7}", f"pool {number} of the otters", TEXTS[number % 4]] for number in range(24)]
    expected = [reranking.scores(QUERY, batch, reranking.Cache()) for batch in batches]
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda batch: reranking.scores(QUERY, batch, cache), batches))
    np.testing.assert_allclose(got, expected, atol=1.01e-4)
    assert cache.size <= 100_000
