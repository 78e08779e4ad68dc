"""The same request gives the same bytes, alone, in a crowd or in another process; who leaves is noticed."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from standin_requests import FAST, LARGE, QUESTION, SEVERAL, SMALL, TOOLS, Log, Turn, chat, schema_format

from patterns.standin.server import Server

# the same bytes


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[httpx2.Client]:
    """A stand-in in another process, which has its own hash seed, threads and memory."""
    program = [sys.executable, "-m", "patterns.standin", "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://\S+/v1", process.stdout.readline())
            assert address is not None
            headers = {"authorization": "Bearer standin-elsewhere"}
            with httpx2.Client(base_url=address[0], headers=headers, timeout=30) as client:
                client.put(address[0].replace("/v1", "/standin/dials"), json=FAST).raise_for_status()
                yield client
        finally:
            process.terminate()


FORM = schema_format({"animal": {"type": "string", "enum": ["otter", "penguin"]}, "why": {"type": "string"}})


@pytest.mark.parametrize("model", [SMALL, LARGE, "standin-judge"])
@pytest.mark.parametrize("decided_by", [{"seed": 3}, {"seed": None, "temperature": 0}])
@pytest.mark.parametrize(
    "asked", [{}, {"response_format": FORM}, {"tools": TOOLS, "question": SEVERAL}], ids=["text", "schema", "tools"]
)
def test_same_prompt_seed_and_model_give_the_same_bytes(
    http: httpx2.Client, elsewhere: httpx2.Client, model: str, decided_by: dict[str, Any], asked: dict[str, Any]
) -> None:
    body = chat(**asked, model=model) | decided_by
    for sent in (body, body | {"stream": True, "stream_options": {"include_usage": True}}):
        answers = [one.post("/chat/completions", json=sent).raise_for_status() for one in (http, http, elsewhere)]
        assert len({answer.content for answer in answers}) == 1
        assert len({answer.headers["x-request-id"] for answer in answers}) == 3


def test_responses_and_embeddings_have_the_same_bytes_too(http: httpx2.Client, elsewhere: httpx2.Client) -> None:
    response = {"model": LARGE, "input": QUESTION, "temperature": 0}
    for path, body in (
        ("/responses", response),
        ("/responses", response | {"stream": True}),
        ("/moderations", {"input": QUESTION}),
        ("/embeddings", {"model": "standin-embed", "input": [QUESTION], "encoding_format": "base64"}),
        ("/rerank", {"model": "standin-rerank", "query": QUESTION, "documents": ["The otters eat at noon.", "Seals"]}),
    ):
        assert http.post(path, json=body).content == elsewhere.post(path, json=body).content


def test_fields_that_change_nothing_change_nothing(http: httpx2.Client) -> None:
    plain = http.post("/chat/completions", json=chat()).content
    for more in ({"user": "u"}, {"metadata": {"a": "b"}}, {"prompt_cache_key": "k"}, {"safety_identifier": "s"}):
        assert http.post("/chat/completions", json=chat() | more).content == plain


def test_another_seed_is_another_completion_and_no_seed_varies(client: openai.OpenAI) -> None:
    def said(**fields: Any) -> tuple[str, str | None]:
        whole = client.chat.completions.create(**chat(**fields))
        return whole.id, whole.choices[0].message.content

    assert said(seed=1)[0] != said(seed=2)[0]
    for varying in ({"seed": None}, {"seed": None, "temperature": 0.7}):
        completions = [said(**varying) for _ in range(12)]
        assert len({name for name, _ in completions}) == 12
        assert len({text for _, text in completions}) > 1


async def test_a_crowd_hears_what_each_would_hear_alone(aclient: openai.AsyncOpenAI) -> None:
    animals = ["otter", "seal", "crab", "ray", "eel", "perch", "carp", "newt"]
    bodies = [
        chat(f"When is the {animal} fed?", f'<DOC id="d">The {animal} is fed at {hour} o\'clock.</DOC>', model=model)
        for hour, animal in enumerate(animals, 1)
        for model in (SMALL, LARGE)
        for _ in range(2)
    ]

    async def hear(body: dict[str, Any]) -> str:
        stream = await aclient.chat.completions.create(**body, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    alone = [await hear(body) for body in bodies]
    assert len(set(alone)) == len(animals)
    assert await asyncio.gather(*map(hear, bodies)) == alone
    assert len(bodies) == 32


# a reader who leaves

SOON = 0.2  # seconds in which the log knows
TRIES = 5  # on a busy machine one try may be late for reasons of its own; the best of a few is the stand-in's


async def last(log: Log, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The last entry of the log, as soon as it is ready."""
    for _ in range(1_000):
        if (entries := await asyncio.to_thread(log)) and ready(entries[-1]):
            return entries[-1]
        await asyncio.sleep(0.005)
    pytest.fail("the log never said so")


async def ended(log: Log) -> tuple[dict[str, Any], float]:
    """The last entry of the log as soon as it has ended, and after how many seconds that was."""
    begun = time.monotonic()
    return await last(log, lambda entry: entry["ended"] != "running"), time.monotonic() - begun


async def start(aclient: openai.AsyncOpenAI, log: Log, body: dict[str, Any]) -> asyncio.Task[Any]:
    """A call on its way: the log has it, and no answer has come."""

    async def call() -> None:
        answer: Any = await aclient.chat.completions.create(**body)
        if body.get("stream"):
            async for _ in answer:
                pass

    task = asyncio.create_task(call())
    await last(log, lambda entry: entry["ended"] == "running" and entry["tokens_planned"] > 0)
    await asyncio.sleep(0.05)
    return task


async def leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_closing_a_stream_stops_the_generation(aclient: openai.AsyncOpenAI, turn: Turn, log: Log) -> None:
    turn(tokens_per_second=20)
    best, entry = 10.0, {}
    for _ in range(TRIES):
        stream = await aclient.chat.completions.create(**chat(), stream=True)
        heard = 0
        async for chunk in stream:
            heard += bool(chunk.choices[0].delta.content)
            if heard == 3:
                break
        await stream.close()
        entry, seconds = await ended(log)
        best = min(best, seconds)
        assert entry["ended"] == "aborted"
        assert 3 <= entry["tokens_sent"] < entry["tokens_planned"]
        if best < SOON:
            break
    assert best < SOON
    await asyncio.sleep(0.2)  # four more tokens would have come
    assert (await asyncio.to_thread(log))[-1] == entry


@pytest.mark.parametrize(
    ("dials", "stream", "sent"),
    [
        ({"time_to_first_token": 60}, True, 0),
        ({"time_to_first_token": 60}, False, 0),
        ({"stall_after": 4, "stall_seconds": 60}, True, 4),
        ({"stall_after": 4, "stall_seconds": 60}, False, 4),
        ({"stall_after": 4, "stall_seconds": 60, "buffering": True}, True, 4),
    ],
    ids=["before the first token", "before a whole answer", "in a stall", "in a whole stall", "behind a buffering hop"],
)
async def test_leaving_is_noticed_while_nothing_is_sent(
    aclient: openai.AsyncOpenAI, turn: Turn, log: Log, dials: dict[str, Any], stream: bool, sent: int
) -> None:
    turn(**dials)
    best = 10.0
    for _ in range(TRIES):
        task = await start(aclient, log, chat(stream=stream))
        assert (await asyncio.to_thread(log))[-1]["ended"] == "running"
        await leave(task)
        entry, seconds = await ended(log)
        assert (entry["ended"], entry["tokens_sent"]) == ("aborted", sent)
        if (best := min(best, seconds)) < SOON:
            break
    assert best < SOON


async def test_a_responses_stream_is_stopped_too(aclient: openai.AsyncOpenAI, turn: Turn, log: Log) -> None:
    turn(stall_after=2, stall_seconds=60)
    stream = await aclient.responses.create(model=SMALL, input=QUESTION, stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    entry, _ = await ended(log)
    assert (entry["ended"], entry["path"]) == ("aborted", "/v1/responses")


async def test_leaving_while_still_asking_is_no_error(
    server: Server, key: str, http: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = server.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\ncontent-length: 100\r\n\r\n"
    )
    writer.write(head.encode() + b'{"model":')
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await asyncio.sleep(0.1)
    assert await asyncio.to_thread(lambda: http.get("/models").status_code) == 200
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


async def test_what_is_heard_to_the_end_is_done(aclient: openai.AsyncOpenAI, log: Log) -> None:
    whole = await aclient.chat.completions.create(**chat())
    entry, _ = await ended(log)
    assert whole.usage is not None
    assert (entry["ended"], entry["model"], entry["path"]) == ("done", SMALL, "/v1/chat/completions")
    assert (entry["prompt_tokens"], entry["tokens_sent"]) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    assert entry["tokens_planned"] == entry["tokens_sent"]
    assert entry["request_id"] == whole._request_id
