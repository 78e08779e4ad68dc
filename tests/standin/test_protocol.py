"""The stand-in speaks OpenAI's protocol: the real SDK, sync and async, accepts all that it says."""

import base64
import io
import json
import wave
from typing import Any, Literal

import httpx2
import numpy as np
import openai
import pytest
from pydantic import BaseModel
from standin_requests import (
    DOCUMENTS,
    LARGE,
    QUESTION,
    SEVERAL,
    SMALL,
    TOOLS,
    Turn,
    chat,
    frames,
    schema_format,
    text_of,
    tool,
)


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert {
        SMALL,
        LARGE,
        "standin-judge",
        "standin-embed",
        "standin-rerank",
        "standin-transcribe",
        "standin-moderate",
    } <= set(listed)
    assert all(client.models.retrieve(name).id == name for name in listed)


# chat completions


@pytest.mark.parametrize("model", [SMALL, LARGE])
def test_chat_says_the_same_whole_and_streamed(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(**chat(model=model))
    chunks = list(client.chat.completions.create(**chat(model=model), stream=True))
    assert whole.choices[0].message.content
    assert whole.choices[0].message.content == "".join(
        chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
    )
    assert {chunk.id for chunk in chunks} == {whole.id}
    assert {chunk.model for chunk in chunks} == {whole.model} == {model}
    assert chunks[0].choices[0].delta.role == whole.choices[0].message.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


async def test_chat_says_the_same_to_the_async_client(client: openai.OpenAI, aclient: openai.AsyncOpenAI) -> None:
    whole = await aclient.chat.completions.create(**chat())
    stream = await aclient.chat.completions.create(**chat(), stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert (
        text == whole.choices[0].message.content == client.chat.completions.create(**chat()).choices[0].message.content
    )


def test_the_sdk_helper_for_streams_follows(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**chat()) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content


def test_odd_characters_survive_both_ways(http: httpx2.Client) -> None:
    odd = "The otter says é🦦\\ß <b>&amp;</b> every morning."
    body = chat("What does the otter say?", f'<DOC id="a">{odd}</DOC>', model=SMALL)
    whole = http.post("/chat/completions", json=body).raise_for_status().json()["choices"][0]["message"]["content"]
    assert "🦦" in whole
    assert text_of(frames(http.post("/chat/completions", json=body | {"stream": True}).content)) == whole


def test_usage_adds_up_and_streams_only_when_asked(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**chat()).usage
    assert whole is not None
    assert whole.prompt_tokens > 0 and whole.completion_tokens > 0
    assert whole.total_tokens == whole.prompt_tokens + whole.completion_tokens
    silent = list(client.chat.completions.create(**chat(), stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in silent)
    told = list(client.chat.completions.create(**chat(), stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage for chunk in told] == [None] * (len(told) - 1) + [whole]
    assert told[-1].choices == []


def test_a_longer_prompt_counts_more_tokens(client: openai.OpenAI) -> None:
    def prompt_tokens(**fields: Any) -> int:
        usage = client.chat.completions.create(**chat(**fields)).usage
        assert usage is not None
        return usage.prompt_tokens

    assert prompt_tokens() < prompt_tokens(system=DOCUMENTS * 2)
    assert prompt_tokens() < prompt_tokens(tools=TOOLS)


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_token_limits_cut_the_answer(client: openai.OpenAI, limit: str) -> None:
    limited: dict[str, Any] = {limit: 3}
    full = client.chat.completions.create(**chat())
    cut = client.chat.completions.create(**chat(**limited))
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None and cut.usage.completion_tokens == 3
    assert (full.choices[0].message.content or "").startswith(cut.choices[0].message.content or "?")
    assert full.choices[0].message.content != cut.choices[0].message.content
    streamed = list(client.chat.completions.create(**chat(**limited), stream=True))
    assert streamed[-1].choices[0].finish_reason == "length"
    assert len([chunk for chunk in streamed if chunk.choices[0].delta.content]) == 3


@pytest.mark.parametrize("stop", ["fed", ["never said", "fed"]])
def test_stop_sequences_end_the_answer_before_them(client: openai.OpenAI, stop: Any) -> None:
    full = client.chat.completions.create(**chat()).choices[0].message.content or ""
    assert "fed" in full
    stopped = client.chat.completions.create(**chat(stop=stop)).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (full.split("fed")[0], "stop")


def test_only_one_choice(client: openai.OpenAI) -> None:
    assert len(client.chat.completions.create(**chat(n=1)).choices) == 1
    with pytest.raises(openai.BadRequestError, match="'n'"):
        client.chat.completions.create(**chat(n=2))


class Feeding(BaseModel):
    animal: Literal["otter", "penguin", "seal"]
    reason: str
    times: list[str]


def test_parse_gives_the_pydantic_model(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(**chat(), response_format=Feeding).choices[0].message.parsed
    assert isinstance(parsed, Feeding)
    assert parsed.animal == "otter"


def test_a_schema_is_filled_the_same_streamed(client: openai.OpenAI) -> None:
    body = chat(response_format=schema_format({"animal": {"type": "string", "enum": ["otter", "penguin"]}}))
    whole = client.chat.completions.create(**body).choices[0].message.content
    chunks = client.chat.completions.create(**body, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert json.loads(whole or "") == {"animal": "otter"}


def test_json_object_is_json(client: openai.OpenAI) -> None:
    body = chat(f"{QUESTION} Answer in JSON.", response_format={"type": "json_object"})
    assert isinstance(json.loads(client.chat.completions.create(**body).choices[0].message.content or ""), dict)


# tools


def reassembled(chunks: list[Any]) -> list[dict[str, str]]:
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for part in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
            call["id"] += part.id or ""
            call["name"] += part.function.name or ""
            call["arguments"] += part.function.arguments or ""
    return [calls[index] for index in sorted(calls)]


def flat(message: Any) -> list[dict[str, str]]:
    return [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments} for call in message.tool_calls
    ]


@pytest.mark.parametrize("model", [SMALL, LARGE])
@pytest.mark.parametrize("limit", [None, 5, 8])
def test_parallel_calls_streamed_are_the_calls_whole(client: openai.OpenAI, model: str, limit: int | None) -> None:
    body = chat(SEVERAL, "You help visitors.", tools=TOOLS, model=model, max_tokens=limit)
    whole = client.chat.completions.create(**body).choices[0]
    chunks = list(client.chat.completions.create(**body, stream=True))
    assert reassembled(chunks) == flat(whole.message)
    assert whole.message.content is None
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason == ("length" if limit else "tool_calls")
    if limit is None:
        calls = flat(whole.message)
        assert len(calls) >= 2
        assert len({call["id"] for call in calls}) == len(calls)
        assert [json.loads(call["arguments"]) for call in calls] == [{"tank_id": "T-12"}, {"tank_id": "T-40"}]


def test_one_call_at_a_time_when_asked(client: openai.OpenAI) -> None:
    body = chat(SEVERAL, "You help visitors.", tools=TOOLS, parallel_tool_calls=False)
    assert len(flat(client.chat.completions.create(**body).choices[0].message)) == 1


def test_tool_choice_is_obeyed(client: openai.OpenAI) -> None:
    none = client.chat.completions.create(**chat(SEVERAL, tools=TOOLS, tool_choice="none")).choices[0]
    assert none.message.tool_calls is None and none.finish_reason == "stop"
    named = {"type": "function", "function": {"name": "ticket_price"}}
    chosen = client.chat.completions.create(**chat(SEVERAL, tools=TOOLS, tool_choice=named)).choices[0].message
    assert {call["name"] for call in flat(chosen)} == {"ticket_price"}
    required = client.chat.completions.create(**chat("Hello!", tools=TOOLS, tool_choice="required")).choices[0]
    assert required.finish_reason == "tool_calls" and required.message.tool_calls


def test_the_answer_of_a_tool_comes_back_in_words(client: openai.OpenAI) -> None:
    body = chat("How warm is the water in tank T-12?", "You help visitors.", tools=TOOLS)
    called = client.chat.completions.create(**body).choices[0].message
    assert called.tool_calls
    body["messages"] += [
        called.model_dump(),  # as an SDK gives it, with all its empty fields
        {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": '{"celsius": 17.5}'},
    ]
    told = client.chat.completions.create(**body).choices[0]
    assert "17.5" in (told.message.content or "")
    assert told.finish_reason == "stop"


# tools, a schema, and what goes wrong between them

ANSWER_FORM = schema_format(
    {
        "text": {"type": "string", "description": "The answer, in a sentence or two"},
        "cited_chunk_ids": {"type": "array", "items": {"type": "string"}, "description": "ids of the chunks used"},
        "confident": {"type": "boolean", "description": "Whether the chunks say it"},
    }
)
SEARCH = tool(
    "search_guide", "Search the visitors' guide: when animals are fed, what tickets cost.", query="What to look for"
)
CHUNKS = json.dumps(
    [
        {"id": "aqua-2#0", "title": "Feeding", "text": "The otters are fed at noon. The penguins are fed at three."},
        {"id": "aqua-1#0", "title": "Tickets", "text": "A ticket costs seven crowns. Children under six enter free."},
    ]
)


def streamed(client: openai.OpenAI, body: dict[str, Any]) -> tuple[str, list[dict[str, str]], str]:
    """Text, tool calls and finish of a stream put together."""
    chunks = list(client.chat.completions.create(**body, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    return text, reassembled(chunks), str(chunks[-1].choices[0].finish_reason)


def whole(client: openai.OpenAI, body: dict[str, Any]) -> tuple[str, list[dict[str, str]], str]:
    choice = client.chat.completions.create(**body).choices[0]
    calls = flat(choice.message) if choice.message.tool_calls else []
    return choice.message.content or "", calls, choice.finish_reason


def both(client: openai.OpenAI, body: dict[str, Any]) -> tuple[str, list[dict[str, str]], str]:
    """What it says whole, which has to be what it says streamed."""
    said = whole(client, body)
    assert streamed(client, body) == said
    return said


def answered(calls: list[dict[str, str]], *results: str) -> list[dict[str, Any]]:
    """The assistant's message with these calls, and a result for each."""
    asked = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in calls
    ]
    said = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return [{"role": "assistant", "content": None, "tool_calls": asked}, *said]


@pytest.mark.parametrize("model", [SMALL, LARGE])
def test_with_tools_and_a_schema_the_calls_come_first(client: openai.OpenAI, model: str) -> None:
    body = chat(QUESTION, "You help visitors.", model=model, tools=[SEARCH], response_format=ANSWER_FORM)
    text, calls, finish = both(client, body)
    assert (text, finish, [call["name"] for call in calls]) == ("", "tool_calls", ["search_guide"])
    body["messages"] += answered(calls, CHUNKS)
    text, calls, finish = both(client, body)
    assert (calls, finish) == ([], "stop")
    answer = json.loads(text)
    assert list(answer) == ["text", "cited_chunk_ids", "confident"]
    assert "noon" in answer["text"]
    assert (answer["cited_chunk_ids"], answer["confident"]) == (["aqua-2#0"], True)


def test_streamed_calls_begin_with_their_name(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(**chat(SEVERAL, "You help visitors.", tools=TOOLS), stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    heads = [delta for delta in deltas if delta.id]
    assert [(head.index, head.type, head.function and head.function.arguments) for head in heads] == [
        (0, "function", ""),
        (1, "function", ""),
    ]
    assert all(head.function and head.function.name == "tank_temperature" for head in heads)
    assert [delta.index for delta in deltas] == sorted(delta.index for delta in deltas)
    pieces = [delta for delta in deltas if not delta.id]
    assert len(pieces) > 6
    assert all(piece.type is None and piece.function and piece.function.name is None for piece in pieces)
    assert all(piece.function and piece.function.arguments for piece in pieces)


def test_a_limit_in_the_middle_of_arguments_leaves_broken_json(client: openai.OpenAI) -> None:
    body = chat(SEVERAL, "You help visitors.", tools=TOOLS)
    _, full, _ = whole(client, body)
    text, calls, finish = both(client, body | {"max_tokens": 4})
    assert (text, finish, len(calls)) == ("", "length", 1)
    assert calls[0]["arguments"] and full[0]["arguments"].startswith(calls[0]["arguments"])
    with pytest.raises(ValueError):
        json.loads(calls[0]["arguments"])


@pytest.mark.parametrize("model", [SMALL, LARGE])
def test_parallel_results_are_all_heard(client: openai.OpenAI, model: str) -> None:
    body = chat(SEVERAL, "You help visitors.", tools=TOOLS, model=model)
    _, calls, _ = both(client, body)
    body["messages"] += answered(calls, '{"celsius": 17.5}', '{"celsius": 21.25}')
    text, calls, finish = both(client, body)
    assert (calls, finish) == ([], "stop")
    assert "17.5" in text and "21.25" in text


@pytest.mark.parametrize("model", [SMALL, LARGE])
@pytest.mark.parametrize("empty", ["", "null", "[]", "{}"])
@pytest.mark.parametrize("form", [None, ANSWER_FORM])
def test_an_empty_result_still_leads_to_an_answer(
    client: openai.OpenAI, model: str, empty: str, form: dict[str, Any] | None
) -> None:
    body = chat(QUESTION, "You help visitors.", tools=[SEARCH], model=model, response_format=form)
    _, calls, _ = whole(client, body)
    body["messages"] += answered(calls, empty)
    text, calls, finish = both(client, body)
    assert (calls, finish) == ([], "stop")
    assert text
    if form:
        assert json.loads(text)["cited_chunk_ids"] == []


def test_a_long_result_is_read(client: openai.OpenAI) -> None:
    body = chat(QUESTION, "You help visitors.", tools=[SEARCH], response_format=ANSWER_FORM, model=LARGE)
    _, calls, _ = whole(client, body)
    filler = [
        {"id": f"f-{number}", "text": f"Bench {number} stands in hall {number % 9}. " * 8} for number in range(480)
    ]
    long = json.dumps([*filler, *json.loads(CHUNKS)])
    assert len(long) > 100_000
    body["messages"] += answered(calls, long)
    answer = json.loads(both(client, body)[0])
    assert "noon" in answer["text"] and answer["cited_chunk_ids"] == ["aqua-2#0"]
    body["model"] = SMALL
    with pytest.raises(openai.BadRequestError) as raised:  # beyond what the small model takes
        client.chat.completions.create(**body)
    assert raised.value.code == "context_length_exceeded"


@pytest.mark.parametrize("dial", ["bad_json", "invalid_enum"])
def test_a_repair_is_drawn_anew(client: openai.OpenAI, turn: Turn, dial: str) -> None:
    """Told that its answer was wrong, the model gets it right or not, whatever it did before."""
    form = schema_format({"animal": {"type": "string", "enum": ["otter", "penguin"]}, "why": {"type": "string"}})
    turn(**{dial: 0.5})

    def valid(text: str) -> bool:
        try:
            return json.loads(text)["animal"] in ("otter", "penguin")
        except ValueError:
            return False

    outcomes: list[list[bool]] = []
    for number in range(24):
        body = chat(f"When are the otters of pool {number} fed?", response_format=form)
        tries: list[bool] = []
        for _ in range(3):
            text, _, _ = both(client, body)
            tries.append(valid(text))
            if tries[-1]:
                break
            body["messages"] += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": "That is not valid: give JSON that keeps to the schema."},
            ]
        outcomes.append(tries)
    repaired = [tries for tries in outcomes if len(tries) > 1]
    assert 5 < len(repaired) < 19
    assert any(tries[-1] for tries in repaired) and any(not tries[1] for tries in repaired)


# responses

RESPONSES_TOOLS = [{"type": "function", **entry["function"]} for entry in TOOLS]


def test_responses_say_what_chat_says(client: openai.OpenAI) -> None:
    said = client.chat.completions.create(**chat(seed=None, temperature=0))
    response = client.responses.create(model=SMALL, instructions=DOCUMENTS, input=QUESTION, temperature=0)
    assert response.output_text == said.choices[0].message.content
    assert response.status == "completed"
    assert response.usage is not None and said.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (
        said.usage.prompt_tokens,
        said.usage.completion_tokens,
    )
    assert response.usage.total_tokens == said.usage.total_tokens


def test_responses_parse_gives_the_pydantic_model(client: openai.OpenAI) -> None:
    response = client.responses.parse(
        model=SMALL, instructions=DOCUMENTS, input=QUESTION, temperature=0, text_format=Feeding
    )
    assert isinstance(response.output_parsed, Feeding)
    assert response.output_parsed.animal == "otter"


def test_responses_stream_is_the_response(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": SMALL, "instructions": DOCUMENTS, "input": QUESTION, "temperature": 0}
    whole = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")


def test_responses_cut_by_a_limit_are_incomplete(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": SMALL, "instructions": DOCUMENTS, "input": QUESTION, "temperature": 0}
    whole = client.responses.create(**asked, max_output_tokens=3)
    assert whole.status == "incomplete"
    assert whole.incomplete_details is not None and whole.incomplete_details.reason == "max_output_tokens"
    *_, last = client.responses.create(**asked, max_output_tokens=3, stream=True)
    assert last.type == "response.incomplete" and last.response.output_text == whole.output_text


def test_responses_call_tools_and_hear_their_answers(client: openai.OpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": SEVERAL}]
    asked: dict[str, Any] = {"model": SMALL, "tools": RESPONSES_TOOLS, "temperature": 0}
    whole = client.responses.create(**asked, input=items)
    calls = [item for item in whole.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"tank_id": "T-12"}, {"tank_id": "T-40"}]
    with client.responses.stream(**asked, input=items) as stream:
        streamed = [item for item in stream.get_final_response().output if item.type == "function_call"]
    assert [(call.call_id, call.arguments) for call in streamed] == [(call.call_id, call.arguments) for call in calls]
    items += [call.model_dump(exclude_none=True) for call in calls]
    items += [
        {"type": "function_call_output", "call_id": call.call_id, "output": '{"celsius": 17.5}'} for call in calls
    ]
    assert "17.5" in client.responses.create(**asked, input=items).output_text


# the other endpoints


def test_embeddings_are_the_same_as_floats_and_as_base64(client: openai.OpenAI, http: httpx2.Client) -> None:
    texts = ["The otters are fed at noon.", "Feeding time of the otters", "Tickets cost seven crowns."]
    floats = client.embeddings.create(model="standin-embed", input=texts, encoding_format="float")
    by_default = client.embeddings.create(model="standin-embed", input=texts)  # the SDK asks for base64
    assert [one.embedding for one in floats.data] == [one.embedding for one in by_default.data]
    raw = http.post("/embeddings", json={"model": "standin-embed", "input": texts, "encoding_format": "base64"}).json()
    decoded = [np.frombuffer(base64.b64decode(one["embedding"]), dtype="<f4") for one in raw["data"]]
    assert [list(map(float, one)) for one in decoded] == [one.embedding for one in floats.data]
    assert [one.index for one in floats.data] == [0, 1, 2]
    otter, feeding, ticket = (np.array(one.embedding) for one in floats.data)
    assert otter @ feeding > otter @ ticket + 0.2
    assert np.isclose(np.linalg.norm(otter), 1, atol=1e-5)
    assert floats.usage.total_tokens == floats.usage.prompt_tokens > 0


def test_embeddings_can_be_shortened(client: openai.OpenAI) -> None:
    full = client.embeddings.create(model="standin-embed", input="An otter").data[0].embedding
    short = np.array(client.embeddings.create(model="standin-embed", input="An otter", dimensions=64).data[0].embedding)
    assert short.shape == (64,)
    assert np.isclose(np.linalg.norm(short), 1, atol=1e-5)
    assert np.allclose(short, np.array(full[:64]) / np.linalg.norm(full[:64]), atol=1e-5)
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="standin-embed", input="An otter", dimensions=len(full) + 1)


def test_moderations_flag_a_threat_and_let_a_question_pass(client: openai.OpenAI) -> None:
    threat, question = client.moderations.create(
        model="standin-moderate", input=["I will find you and kill you.", QUESTION]
    ).results
    assert threat.flagged and not question.flagged
    assert threat.category_scores.violence > question.category_scores.violence
    assert client.moderations.create(input=QUESTION).results[0] == question  # the model may be left out


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return buffer.getvalue()


def test_silence_is_transcribed_as_nothing_in_every_format(client: openai.OpenAI) -> None:
    silence = ("silence.wav", wav(np.zeros(16_000)))
    whole = client.audio.transcriptions.create(model="standin-transcribe", file=silence)
    assert whole.text == ""
    timed = client.audio.transcriptions.create(
        model="standin-transcribe", file=silence, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert (timed.text, timed.duration, timed.words, timed.segments) == ("", 1.0, [], [])
    assert client.audio.transcriptions.create(model="standin-transcribe", file=silence, response_format="text") == "\n"


def vowel(first: float, second: float, seconds: float = 0.25) -> np.ndarray:
    """A vowel with these two formants in hertz, at a pitch of 110, swelling and fading."""
    at = np.arange(round(seconds * 16_000)) / 16_000
    sound = np.zeros_like(at)
    for harmonic in range(1, 60):
        hertz = 110 * harmonic
        gain = sum(1 / (1 + ((hertz - formant) / width) ** 2) for formant, width in ((first, 60), (second, 90)))
        sound += gain / harmonic**0.5 * np.sin(2 * np.pi * hertz * at)
    return sound * np.minimum(1, np.minimum(at, at[::-1]) / 0.04)


def test_whatever_is_heard_has_its_times(client: openai.OpenAI) -> None:
    """Six vowels are no sentence, but the recogniser hears some word in them: its form is what counts here."""
    pause = np.zeros(8_000)
    sound = np.concatenate([pause, *[vowel(700, 1_100), vowel(300, 2_300)] * 3, pause])
    timed = client.audio.transcriptions.create(
        model="standin-transcribe",
        file=("vowels.wav", wav(0.6 * sound / np.abs(sound).max())),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert timed.words and timed.segments
    assert " ".join(word.word for word in timed.words) == timed.text
    assert all(0 <= word.start < word.end <= timed.duration for word in timed.words)
