"""The review queue: what is on disk when, where it goes on, and that no text that it shows can do anything."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns.course.review import Item, Queue, ReviewPanel
from patterns.errors import CallerError

ITEMS = [Item(name, f"{name}?", f"{name}!", signals=("not confident",)) for name in "abc"]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_decisions_are_written_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "labels.jsonl"
    queue = Queue(ITEMS, path, "ann")
    assert queue.current == ITEMS[0] and queue.progress == "0 of 3 read · 0 failed"
    queue.decide(True, note=" fine ")
    assert [(one["id"], one["passed"], one["note"], one["reviewer"]) for one in lines(path)] == [
        ("a", True, "fine", "ann")
    ]
    queue.decide(False, "invents a figure")
    assert queue.progress == "2 of 3 read · 1 failed" and queue.current == ITEMS[2]
    assert lines(path)[1]["mode"] == "invents a figure"


def test_whoever_opens_it_again_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    Queue(ITEMS, path).decide(True)
    again = Queue([Item("z", "", ""), *ITEMS], path)
    assert again.current == Item("z", "", "") and again.progress == "1 of 4 read · 0 failed"
    again.decide(True)
    assert again.current == ITEMS[1]


def test_a_failure_needs_a_name(tmp_path: Path) -> None:
    queue = Queue(ITEMS, tmp_path / "labels.jsonl")
    with pytest.raises(CallerError, match="no name yet"):
        queue.decide(False, "  ")
    assert queue.current == ITEMS[0] and not queue.path.exists()


def test_later_and_back(tmp_path: Path) -> None:
    queue = Queue(ITEMS, tmp_path / "labels.jsonl")
    queue.skip()
    assert queue.current == ITEMS[1]
    queue.decide(True)
    queue.decide(False, "too long")
    assert queue.current == ITEMS[0]
    queue.back()
    assert queue.current == ITEMS[2] and queue.modes == []
    queue.decide(True)
    assert [label.passed for label in queue.labels] == [True, True]
    assert [one["id"] for one in lines(queue.path)] == ["b", "c", "c"]
    queue.decide(True)
    assert queue.current is None and queue.progress == "3 of 3 read · 0 failed"
    with pytest.raises(CallerError, match="Every answer is decided"):
        queue.decide(True)
    queue.skip()
    assert len(Queue(ITEMS, queue.path).labels) == 3


def test_names_are_offered_again(tmp_path: Path) -> None:
    queue = Queue(ITEMS, tmp_path / "labels.jsonl")
    for mode in ("late", "wrong", "wrong"):
        queue.decide(False, mode)
    assert queue.modes == ["wrong", "late"]


def test_a_line_that_was_not_written_to_its_end_is_decided_again(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    queue = Queue(ITEMS, path)
    queue.decide(True)
    queue.decide(True)
    path.write_bytes(path.read_bytes()[:-9])  # killed in the middle of the second
    again = Queue(ITEMS, path)
    assert again.current == ITEMS[1]
    again.decide(False, "cut")
    assert [one["id"] for one in lines(path)] == ["a", "b"]


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    Queue(ITEMS, path).decide(True)
    path.write_text(path.read_text() + '{"id": 3}\n')
    with pytest.raises(CallerError, match=r"labels\.jsonl, line 2: this is no label"):
        Queue(ITEMS, path)
    with pytest.raises(CallerError, match="cannot be read"):
        Queue(ITEMS, tmp_path)


@given(st.lists(st.sampled_from(["pass", "fail", "skip", "back", "reopen"]), max_size=25))
def test_the_file_always_says_what_the_queue_says(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    path = tmp_path_factory.mktemp("queue") / "labels.jsonl"
    queue = Queue(ITEMS, path)
    for step in steps:
        if step == "reopen":
            queue = Queue(ITEMS, path)
        elif step == "skip":
            queue.skip()
        elif step == "back":
            queue.back()
        elif queue.current:
            queue.decide(step == "pass", "" if step == "pass" else "wrong")
    on_disk = {str(one["id"]): one["passed"] for one in lines(path)} if path.exists() else {}
    assert all(on_disk[label.id] == label.passed for label in queue.labels)
    undecided = {item.id for item in ITEMS} - {label.id for label in queue.labels}
    assert (queue.current.id if queue.current else None) in (undecided or {None})


# on screen


def test_the_panel_decides_and_moves_on(tmp_path: Path) -> None:
    panel = ReviewPanel(Queue(ITEMS, tmp_path / "labels.jsonl"))
    assert "a?" in panel._body.value and panel.undone.disabled
    panel.failed.click()
    assert "no name yet" in panel._said.value and 'role="alert"' in panel._said.value
    panel.mode.value = "wrong figure"
    panel.failed.click()
    assert "b?" in panel._body.value and panel._said.value == "" and panel.mode.value == ""
    assert panel.mode.options == ("wrong figure",) and "1 of 3 read · 1 failed" in panel._head.value
    panel.undone.click()
    panel.passed.click()
    panel.skipped.click()
    assert "c?" in panel._body.value
    panel.passed.click()
    panel.passed.click()
    assert "Everything is read" in panel._body.value and panel.passed.disabled and not panel.undone.disabled


def test_the_plain_text_form(tmp_path: Path) -> None:
    panel = ReviewPanel(Queue(ITEMS[:1], tmp_path / "labels.jsonl"))
    said = panel._repr_mimebundle_()["text/plain"]
    assert "0 of 1 read" in said and "question: a?" in said and "answer:   a!" in said and "not confident" in said
    panel.passed.click()
    assert repr(panel) == "[review · 1 of 1 read · 0 failed · nothing left]"


HOSTILE = '<img src=x onerror="alert(1)"></details><script>alert(2)</script> [click](javascript:alert(3))'


def test_what_it_shows_can_do_nothing(tmp_path: Path) -> None:
    item = Item("x", HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,))
    panel = ReviewPanel(Queue([item], tmp_path / "labels.jsonl"))
    shown = panel._body.value
    assert "<img" not in shown and "<script" not in shown and "href" not in shown
    assert shown.count("&lt;img") == 4 and shown.count("</details>") == 1
