"""How a file of cases is read and added to. What is wrong in it is said with the file, the line and what to do."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns.errors import CallerError
from patterns.eval_cases import FIELDS, Case, add, as_yaml, load, parse
from patterns.events import Message

GOOD = "{id: a, slice: easy, customer: C-0001, question: '?', must: ['30 days']}"


def test_every_field_is_read() -> None:
    (case,) = parse(
        """
- id: a
  slice: multi_turn
  split: test
  customer: C-0001
  question: And by express?
  history: [[user, Hello], [assistant, Hi]]
  must: [a, [b, c]]
  must_not: [d]
  unsafe: [e]
  unknown: true
  sources: [[home-warranty]]
  calls: [order_lookup]
  no_calls: [escalate_to_human]
  outcome: partial
""",
        "x.yaml",
    )
    assert case.history == (Message("user", "Hello"), Message("assistant", "Hi"))
    assert case.must == (("a",), ("b", "c")) and case.sources == (("home-warranty",),)
    assert (case.must_not, case.unsafe, case.unknown, case.split) == (("d",), ("e",), True, "test")
    assert (case.calls, case.no_calls, case.outcome) == (("order_lookup",), ("escalate_to_human",), "partial")


def row(**changes: str) -> str:
    fields = {"id": "b", "slice": "easy", "customer": "C-0001", "question": "'?'", "must": "[x]"} | changes
    return f"- {GOOD}\n- {{{', '.join(f'{name}: {value}' for name, value in fields.items() if value)}}}"


WRONG = [
    ("", 0, "holds no case", "Add cases"),
    ("# nothing yet", 0, "holds no case", "Add cases"),
    ("- {id: [", 1, "this is no YAML", "Mend that line"),
    (f"- {GOOD}\n-\t{GOOD}", 2, "this is no YAML", "Mend that line"),
    (f"- {GOOD}\n- {{id: \x00}}", 2, "this is no YAML", "Mend that line"),
    (f"- {GOOD}\n---\n- {GOOD}", 2, "this is no YAML", "Mend that line"),
    (f"- {GOOD}\n- !!python/object:os.system {{}}", 2, "this is no YAML", "Mend that line"),
    (f"- {GOOD}\n- {{id: b, id: c}}", 2, "id is there twice", "Mend that line"),
    (f"- {GOOD}\n- {{[a, b]: c}}", 2, "this is no YAML", "Mend that line"),
    (f"cases:\n- {GOOD}", 1, "a file of cases is a list", "Begin each case"),
    ("just words", 1, "a file of cases is a list", "Begin each case"),
    (f"- {GOOD}\n- just words", 2, "a case has named fields", "Write it as"),
    (f"- {GOOD}\n-", 2, "a case has named fields", "Write it as"),
    (f"- {GOOD}\n- {GOOD}", 2, "the id a is on line 1 already", "an id of its own"),
    (row(must="", musts="[x]"), 2, "there is no field musts", f"Use some of: {', '.join(FIELDS)}."),
    (row(customer=""), 2, "customer is missing", "Add it"),
    (row(customer="C-9999"), 2, "there is no customer C-9999", "customers.json"),
    (row(must=""), 2, "b checks nothing", "Add one of: must, must_not"),
    (row(must="", unknown="false"), 2, "b checks nothing", "Add one of"),
    (row(question="12"), 2, "question is a text, and 12 is none", "in quotes"),
    (row(id="''"), 2, "id is a text, and '' is none", "in quotes"),
    (row(must="30 days"), 2, "must is a list of texts or lists of texts", "Write it as"),
    (row(must="[30]"), 2, "each entry of must is a text, and 30 is none", "in quotes"),
    (row(must="[[]]"), 2, "must is a list of texts, and [] is none", "Write it as"),
    (row(must="['']"), 2, "each entry of must is a text, and '' is none", "in quotes"),
    (row(must_not="ab"), 2, "must_not is a list of texts, and 'ab' is none", "Write it as"),
    (row(must_not="[no]"), 2, "each entry of must_not is a text, and False is none", "in quotes"),
    (row(calls="[]"), 2, "calls is a list of texts", "Write it as"),
    (row(unknown="maybe"), 2, "unknown is true or false", "Write true"),
    (row(split="train"), 2, "'train' is no split", "Use one of: tune, test"),
    (row(outcome="done"), 2, "'done' is no outcome", "Use one of: success"),
    (row(history="[[user]]"), 2, "history is a list of [user, text]", "Mend it"),
    (row(history="[[system, x]]"), 2, "history is a list of [user, text]", "Mend it"),
    (row(history="hello"), 2, "history is a list of [user, text]", "Mend it"),
]


@pytest.mark.parametrize(("text", "line", "reason", "next_step"), WRONG, ids=[str(at) for at in range(len(WRONG))])
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, reason: str, next_step: str) -> None:
    with pytest.raises(CallerError) as raised:
        parse(text, "bad.yaml")
    said = raised.value.message
    assert said.startswith(f"bad.yaml, line {line}: " if line else "bad.yaml ") and reason in said, said
    assert next_step in raised.value.next_step


def test_in_a_case_of_many_lines_the_line_is_that_of_the_field() -> None:
    text = "# a comment\n\n- id: a\n  slice: easy\n  customer: C-0001\n  question: 'x'\n  must:\n  - y\n  colour: red\n"
    with pytest.raises(CallerError, match="line 9: there is no field colour"):
        parse(text, "bad.yaml")
    with pytest.raises(CallerError, match="line 7: each entry of must is a text"):
        parse(text.replace("- y", "- 3").replace("  colour: red\n", ""), "bad.yaml")


def test_a_file_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"no file nothing\.yaml.*Use one of: .*evals"):
        load("nothing")
    (tmp_path / "latin.yaml").write_bytes(b"- {id: \xfc}")
    with pytest.raises(CallerError, match=r"latin\.yaml cannot be read.*UTF-8"):
        load(tmp_path / "latin.yaml")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for tried in (text, f"- {text}", f"- {{id: {text}}}", f"- {GOOD[:-1]}, must_not: {text}}}"):
        try:
            parse(tried, "x.yaml")
        except CallerError as error:
            assert error.message.startswith("x.yaml") and error.next_step


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=30).filter(
    str.strip
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    words = st.lists(WORDS, max_size=3).map(tuple)
    groups = st.lists(st.lists(WORDS, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple)
    return Case(
        id=draw(WORDS),
        slice=draw(WORDS),
        question=draw(WORDS),
        customer="C-0001",
        history=tuple(Message("user", text) for text in draw(words)),
        must=draw(groups),
        must_not=draw(words),
        unsafe=draw(words),
        unknown=True,
        calls=draw(words),
    )


@given(cases())
def test_a_written_case_is_read_as_it_was(case: Case) -> None:
    line = as_yaml(case)
    assert "\n" not in line
    assert parse(f"- {line}", "x.yaml") == (case,)


def test_a_case_is_added_with_its_note(tmp_path: Path) -> None:
    path = tmp_path / "new" / "grown.yaml"
    first = Case("a", "regression", "Why: is that?", "C-0001", must=(("30 days",),))
    add(first, path, "thumbs down\nsaid: 14 days")
    add(replace(first, id="b"), path)
    assert [case.id for case in load(path)] == ["a", "b"]
    assert path.read_text().startswith("# thumbs down\n# said: 14 days\n- {id: a")
    before = path.read_bytes()
    for wrong in (first, Case("c", "regression", "?", "C-0001")):  # the same id again, and nothing that is checked
        with pytest.raises(CallerError):
            add(wrong, path)
    assert path.read_bytes() == before and [one.name for one in path.parent.iterdir()] == ["grown.yaml"]
