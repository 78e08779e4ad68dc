"""The stand-in computes and never looks up: no text, name or number of `data/` stands in its code."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DATA, CODE = ROOT / "data", ROOT / "patterns" / "standin"
SHORTEST = 25  # characters of a line or sentence that says something of its own
WORDS = 4


def plain(text: str) -> str:
    return " ".join(text.lower().split())


def sayings(text: str) -> Iterator[str]:
    """Each line of a text, and each sentence of a line, that is long enough to be recognised."""
    for line in text.splitlines():
        for part in (line, *re.split(r"(?<=[.!?])\s+|\s*\|\s*", line)):
            said = plain(part).strip("#>*-|.!? ")
            if len(said) >= SHORTEST and len(said.split()) >= WORDS:
                yield said


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def parsed(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        # What a labelled answer says came from the stand-in in the first place.
        return [{name: value for name, value in row.items() if name != "answer"} for row in rows]
    if path.suffix == ".json":
        return json.loads(text)
    return yaml.safe_load(text) if path.suffix == ".yaml" else text


def texts_of_data() -> set[str]:
    paths = [path for path in DATA.rglob("*") if path.suffix in {".md", ".json", ".jsonl", ".yaml"}]
    found = {said for path in paths for text in strings(parsed(path)) for said in sayings(text)}
    return found | {said for path in paths if path.suffix == ".yaml" for said in sayings(path.read_text("utf-8"))}


def names_of_data() -> set[str]:
    """SKUs, error codes, order ids, article ids and customer names."""
    tenants = parsed(DATA / "world.yaml")["tenants"].values()
    names = {name for tenant in tenants for kind in ("products", "errors") for name in tenant[kind]}
    names |= {order["id"] for order in parsed(DATA / "orders.json")}
    names |= {customer["name"] for customer in parsed(DATA / "customers.json")}
    articles = (DATA / "help_center").rglob("*.md")
    return names | {
        one for path in articles for one in re.findall(r"^id: (\S+)$", path.read_text("utf-8"), re.MULTILINE)
    }


def known(code: dict[str, str], texts: set[str], names: set[str]) -> list[str]:
    """ "file: what" for everything of `texts` and `names` that occurs in a file's source, or in one of its strings."""
    found = []
    for name, source in code.items():
        # Joined literals ("one " "two") are one string only after parsing.
        literals = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
        where = "\n".join(map(plain, [source, *(value for value in literals if isinstance(value, str))]))
        whole_words = set(re.findall(r"[\w-]+", where))
        found += [f"{name}: {text}" for text in texts if text in where]
        found += [
            f"{name}: {one}" for one in names if (plain(one) in where if " " in one else plain(one) in whole_words)
        ]
    return sorted(found)


@pytest.fixture(scope="module")
def code() -> dict[str, str]:
    return {str(path.relative_to(CODE)): path.read_text("utf-8") for path in CODE.rglob("*.py")}


def test_nothing_of_the_data_stands_in_the_code(code: dict[str, str]) -> None:
    assert len(code) > 10
    assert known(code, texts_of_data(), names_of_data()) == []


def test_there_is_something_to_look_for() -> None:
    texts, names = texts_of_data(), names_of_data()
    assert len(texts) > 1_000 and len(names) > 100
    for folder in ("help_center", "tickets", "quizzes", "evals"):
        text = max(strings([parsed(path) for path in (DATA / folder).rglob("*.*")]), key=len)
        assert texts & set(sayings(text)), folder


def test_a_planted_copy_is_found() -> None:
    texts, names = texts_of_data(), names_of_data()
    text = max((one for one in texts if '"' not in one and "\\" not in one), key=len)
    half = len(text) // 2
    for planted in (
        f'ANSWER = "{text}"',
        f"# {text.upper()}",
        f'ANSWER = (\n    "{text[:half]}"\n    "{text[half:]}"\n)',
        f'"""One line,\n{text}\nand another."""',
    ):
        assert f"a.py: {text}" in known({"a.py": planted}, texts, names)
    for name in names:
        assert f"a.py: {name}" in known({"a.py": f"x = {name!r}"}, set(), {name})
    assert (
        known({"a.py": "x = 'the tide comes in twice a day, and nobody here has ever written of it'"}, texts, names)
        == []
    )
