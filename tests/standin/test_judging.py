"""The stand-in as a judge: rubrics, houses and answers that it has never seen, whatever form the prompt and the
verdict have. It computes, so it errs: the shares below are measured, and a stand-in that guesses does not reach them.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import openai
import pytest
import unseen_data
from hypothesis import given
from hypothesis import strategies as st
from standin_requests import Turn

from patterns.standin import rubric

CRITERIA = unseen_data.load("judged")["criteria"]
Messages = list[dict[str, str]]


def tagged(item: Mapping[str, Any]) -> str:
    documents = "\n".join(f'<DOC id="{at}">\n{text}\n</DOC>' for at, text in enumerate(item.get("documents", ())))
    parts = [f"<question>{item['question']}</question>", documents]
    return "\n".join([*parts, f"<answer>{item['answer']}</answer>" if "answer" in item else ""])


def headed(item: Mapping[str, Any]) -> str:
    parts = ["## Retrieved context", *item["documents"]] if "documents" in item else []
    parts += ["## User question", item["question"]]
    return "\n\n".join([*parts, "## Assistant response", item["answer"]] if "answer" in item else parts)


def labelled(item: Mapping[str, Any]) -> str:
    parts = [f"Source: {text}" for text in item.get("documents", ())]
    parts += [f"Question: {item['question']}"]
    return "\n".join([*parts, f"Answer: {item['answer']}"] if "answer" in item else parts)


STYLES: dict[str, Callable[[Mapping[str, Any]], str]] = {"tags": tagged, "headings": headed, "labels": labelled}


def form(field: str) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "string", "enum": ["PASS", "FAIL"]} if field == "verdict" else {"type": "boolean"}
    properties = {"critique": {"type": "string"}, field: kind}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def value(field: str, passed: bool) -> bool | str:
    return ("PASS" if passed else "FAIL") if field == "verdict" else passed != (field == "hallucinated")


def messages(criterion: Mapping[str, Any], item: Mapping[str, Any], style: str) -> Messages:
    write, field = STYLES[style], criterion["field"]
    said = [{"role": "system", "content": f"You are a strict judge.\n\nCriterion: {criterion['text']}"}]
    for one in criterion.get("examples", ()):
        reply = json.dumps({"critique": "As a person decided.", field: value(field, one["passed"])})
        said += [{"role": "user", "content": write(one)}, {"role": "assistant", "content": reply}]
    return [*said, {"role": "user", "content": write(item)}]


def judged(client: openai.OpenAI, said: Messages, schema: Mapping[str, Any]) -> dict[str, Any]:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "judgement", "strict": True, "schema": dict(schema)}}
    asked: Any = said
    reply = client.chat.completions.create(
        model="standin-judge", messages=asked, response_format=wanted, seed=7, temperature=0
    )
    return json.loads(reply.choices[0].message.content or "")


def shares(client: openai.OpenAI, style: str) -> dict[bool, list[bool]]:
    """Whether each item was judged as a person did: of criteria that constants were looked at with, and of others."""
    found: dict[bool, list[bool]] = {True: [], False: []}
    for one in CRITERIA:
        field = one["field"]
        found[one.get("tune", False)] += [
            judged(client, messages(one, item, style), form(field))[field] == value(field, item["passed"])
            for item in one["items"]
        ]
    return found


@pytest.mark.parametrize("style", STYLES)
def test_unseen_rubrics_and_answers(client: openai.OpenAI, style: str) -> None:
    """Measured: 0.80 of the criteria held out (0.77 under headings), 0.91 of all."""
    found = shares(client, style)
    assert len(found[False]) >= 30 and sum(found[False]) / len(found[False]) >= 0.7
    every = [*found[True], *found[False]]
    assert len(every) >= 110 and sum(every) / len(every) >= 0.85


def test_a_guess_would_be_right_half_of_the_time() -> None:
    for tuned in (True, False):
        passed = [item["passed"] for one in CRITERIA if one.get("tune", False) is tuned for item in one["items"]]
        assert sum(passed) / len(passed) == 0.5


ITEM = {
    "documents": ["The kiosk opens at nine. A newspaper costs two crowns. Bread is sold until noon."],
    "question": "What does a newspaper cost?",
    "answer": "A newspaper costs two crowns.",
}
WRONG = ITEM | {"answer": "A newspaper costs seven crowns and comes with a free magazine."}
GROUNDED = {"text": "Every claim in the answer is stated in the documents.", "field": "passed"}


@pytest.mark.parametrize(
    ("properties", "good", "bad"),
    [
        ({"passed": {"type": "boolean"}}, {"passed": True}, {"passed": False}),
        ({"hallucinated": {"type": "boolean"}}, {"hallucinated": False}, {"hallucinated": True}),
        ({"label": {"type": "string", "enum": ["fail", "pass"]}}, {"label": "pass"}, {"label": "fail"}),
        ({"label": {"enum": ["unsupported", "supported"]}}, {"label": "supported"}, {"label": "unsupported"}),
        ({"verdict": {"enum": ["yes", "no", "unclear"]}}, {"verdict": "yes"}, {"verdict": "no"}),
    ],
    ids=["boolean", "turned boolean", "pass or fail", "supported or not", "three ways"],
)  # fmt: skip
def test_verdicts_in_many_forms(
    client: openai.OpenAI, properties: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    more = {
        "reason": {"type": "string", "maxLength": 60},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "problems": {"type": "array", "items": {"type": "string"}},
    }
    every = more | properties
    whole = {"type": "object", "properties": every, "required": [*every], "additionalProperties": False}
    high, low = (judged(client, messages(GROUNDED, one, "tags"), whole) for one in (ITEM, WRONG))
    for found in (high, low):
        jsonschema.validate(found, whole)
    assert good.items() <= high.items() and bad.items() <= low.items()
    assert high["score"] > low["score"] and high["problems"] == [] and "seven crowns" in low["problems"][0]


def test_examples_move_the_threshold(client: openai.OpenAI) -> None:
    criterion = {"text": "The answer is short enough.", "field": "passed"}
    lengths = [f"{'It is open every day of the week and also on holidays. ' * times}".strip() for times in (1, 3, 9)]

    def examples(longest: int) -> list[dict[str, Any]]:
        return [{"question": "When?", "answer": one, "passed": at <= longest} for at, one in enumerate(lengths)]

    asked = {"question": "When?", "answer": "You may come on any day that you like, and on holidays too. " * 4}
    strict, patient = (
        judged(client, messages(criterion | {"examples": examples(at)}, asked, "tags"), form("passed"))["passed"]
        for at in (0, 2)
    )
    assert (strict, patient) == (False, True)


def test_examples_may_stand_in_the_instructions() -> None:
    block = f"<example>\n{tagged(WRONG)}\n<verdict>fail</verdict>\n</example>"
    system = {"role": "system", "content": f"Criterion: {GROUNDED['text']}\n\n{block}"}
    case = rubric.read([system, {"role": "user", "content": tagged(ITEM)}])
    assert case is not None and case.item.answer == ITEM["answer"]
    assert [(item.answer, passed) for item, passed in case.examples] == [(WRONG["answer"], False)]


@pytest.mark.parametrize("style", STYLES)
def test_the_parts_are_told_apart(style: str) -> None:
    case = rubric.read(messages(GROUNDED, ITEM, style))
    assert case is not None and case.criterion == GROUNDED["text"]
    assert (case.item.question, case.item.answer) == (ITEM["question"], ITEM["answer"])
    assert case.item.documents == tuple(ITEM["documents"])


def test_a_complaint_about_the_form_changes_no_verdict(client: openai.OpenAI) -> None:
    said = messages(GROUNDED, WRONG, "tags")
    complaint = "Your reply was not valid: passed: field required. Reply again with JSON only, and fit the schema."
    again = [*said, {"role": "assistant", "content": "{oops"}, {"role": "user", "content": complaint}]
    assert judged(client, again, form("passed")) == judged(client, said, form("passed"))


def test_only_the_judge_judges(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Any = {
        "messages": messages(GROUNDED, WRONG, "tags"),
        "response_format": {"type": "json_schema", "json_schema": {"name": "j", "schema": form("passed")}},
        "seed": 7,
    }
    before = {
        model: client.chat.completions.create(model=model, **asked) for model in ("standin-small", "standin-large")
    }

    def refuse(*_: object) -> None:
        raise AssertionError("asked to judge")

    monkeypatch.setattr("patterns.standin.verdicts.fill", refuse)
    for model, reply in before.items():
        same = client.chat.completions.create(model=model, **asked)
        assert same.choices[0].message.content == reply.choices[0].message.content
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="standin-judge", **asked)


@pytest.mark.parametrize("schema", [unseen_data.ANSWER, form("passed")], ids=["answer", "verdict"])
def test_asked_anything_else_it_answers_like_the_large_one(client: openai.OpenAI, schema: dict[str, Any]) -> None:
    house = next(unseen_data.questions())
    asked: Any = {
        "messages": house.messages,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
        "seed": 7,
    }
    large, judge = (
        client.chat.completions.create(model=model, **asked).choices[0].message.content
        for model in ("standin-large", "standin-judge")
    )
    assert large == judge


def test_a_judge_that_drifts_compares_words_only(client: openai.OpenAI, turn: Turn) -> None:
    item = {"question": "What is the price of a bike?", "answer": "A bicycle costs 200 euros."}
    criterion = {"text": "The answer gives what the question asks for.", "field": "passed"}
    said = messages(criterion, item, "tags")
    assert judged(client, said, form("passed"))["passed"]
    turn(drift=1.0)
    assert not judged(client, said, form("passed"))["passed"]


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_can_be_read(system: str, user: str) -> None:
    case = rubric.read([{"role": "system", "content": system}, {"role": "user", "content": user}])
    assert case is None or isinstance(case.item.answer, str)
    rubric.decided(user)
