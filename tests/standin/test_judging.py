"""The stand-in as a judge: rubrics, houses and answers that it has never seen, whatever form the prompt and the
verdict have. It computes, so it errs: the shares below are measured, and a stand-in that guesses does not reach them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import openai
import pytest
import unseen_data

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


def right(client: openai.OpenAI, criterion: Mapping[str, Any], style: str) -> list[bool]:
    field = criterion["field"]
    return [
        judged(client, messages(criterion, item, style), form(field))[field] == value(field, item["passed"])
        for item in criterion["items"]
    ]


if __name__ == "__main__":
    pass
