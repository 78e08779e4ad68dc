"""Checkpoints: runs, decisions and actions survive, belong to somebody, and are begun once."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from patterns.checkpoints import Checkpoints
from patterns.errors import CallerError
from patterns.events import Image, Message, Turn, User

YOU, NEIGHBOUR, ABROAD = User("C-0001"), User("C-0002"), User("C-0001", "acme-nord")
TURN = Turn("Pay Ann.", YOU, trace_id="trace_1")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Checkpoints]:
    opened = Checkpoints(tmp_path / "checkpoints.sqlite3")
    yield opened
    opened.close()


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(CallerError) as error:
        action()
    assert error.value.next_step
    return error.value.code


# runs


def test_a_run_comes_back_as_it_was_with_the_user_of_now(book: Checkpoints) -> None:
    turn = replace(
        TURN,
        text="Über Päckchen 📦 \ud800",
        history=(Message("user", "Hi"), Message("assistant", "Hello")),
        images=(Image(b"\x89PNG\x00\xff", "image/png"),),
        exchange=({"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},),
        feature="mail",
    )
    book.save(turn, "waiting", 1.5)
    now = replace(YOU, plan="pro")
    run = book.load("trace_1", now)
    assert run.turn == replace(turn, user=now) and (run.status, run.seconds) == ("waiting", 1.5)
    book.save(turn, "ended", 2.0)
    assert book.load("trace_1", YOU).status == "ended" and book.seconds("trace_1") == 3.5
    assert book.seconds("never saved") == 0.0


@pytest.mark.parametrize("user", [NEIGHBOUR, ABROAD])
def test_a_run_of_somebody_else_is_unknown(book: Checkpoints, user: User) -> None:
    book.save(TURN, "running")
    assert refused(lambda: book.load("trace_1", user)) == "unknown_run"
    for run_id in ("", "trace_2", "' OR 1=1 --", "\ud800"):
        assert refused(lambda: book.load(run_id, YOU)) == "unknown_run"  # noqa: B023


# confirmations


def test_a_decision_is_for_one_action_with_its_arguments(book: Checkpoints) -> None:
    token = book.ask("k", TURN, "Pay?", {"who": "Ann", "amount": 5})
    assert token == book.ask("k", TURN, "Pay?", {"who": "Ann", "amount": 5}) != book.ask("k2", TURN, "Pay?", {})
    assert book.decision("k", {"who": "Ann", "amount": 5}) is None
    assert book.decide(token, True, YOU) == "trace_1"
    assert book.decision("k", {"amount": 5, "who": "Ann"}) == "approved"  # the order does not matter
    for other in ({"who": "Ann", "amount": 6}, {"who": "Ann"}, {"who": "Ann", "amount": 5, "approved": True}, {}):
        assert book.decision("k", other) is None
    assert book.decision("k2", {"who": "Ann", "amount": 5}) is None


@pytest.mark.parametrize("first", [True, False])
def test_the_first_decision_stands(book: Checkpoints, first: bool) -> None:
    token = book.ask("k", TURN, "Pay?", {})
    book.decide(token, first, YOU)
    assert refused(lambda: book.decide(token, not first, YOU)) == "already_decided"
    assert book.decide(token, first, YOU) == "trace_1"
    assert book.decision("k", {}) == ("approved" if first else "declined")


@pytest.mark.parametrize("user", [NEIGHBOUR, ABROAD])
def test_nobody_decides_for_another(book: Checkpoints, user: User) -> None:
    token = book.ask("k", TURN, "Pay?", {})
    assert refused(lambda: book.decide(token, True, user)) == "unknown_token"
    assert book.decision("k", {}) is None


@given(st.text(st.characters(exclude_categories=[]), max_size=60))
def test_no_other_text_is_a_token(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    book = Checkpoints(tmp_path_factory.mktemp("book") / "c.sqlite3")
    token = book.ask("k", TURN, "Pay?", {})
    assert len(token) >= 32
    if text != token:
        assert refused(lambda: book.decide(text, True, YOU)) == "unknown_token"
    assert book.decision("k", {}) is None
    book.close()


# actions


def test_an_action_is_begun_by_one_of_many(tmp_path: Path) -> None:
    books = [Checkpoints(tmp_path / "c.sqlite3") for _ in range(4)]  # as four processes would
    for number in range(25):
        won: list[bool] = []
        start = threading.Barrier(8)

        def begin(book: Checkpoints, key: str, start: threading.Barrier = start, won: list[bool] = won) -> None:
            start.wait(20)
            won.append(book.begin(key, TURN, "pay", {}))

        threads = [threading.Thread(target=begin, args=(books[at % 4], f"k{number}")) for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False] * 7 + [True]
    for book in books:
        book.close()


def test_the_log_of_calls_is_complete_and_says_what_is_not_known(book: Checkpoints) -> None:
    book.begin("k1", TURN, "look", {"what": "ü"})
    book.finish("k1", {"found": [1, "ß"]}, 0.25, 0.001)
    book.begin("k2", TURN, "pay", {})
    book.begin("k3", replace(TURN, trace_id="trace_2"), "pay", {})
    first, second = book.actions("trace_1")
    assert (first.tool, first.arguments, first.result) == ("look", {"what": "ü"}, {"found": [1, "ß"]})
    assert (first.seconds, first.cost_usd) == (0.25, 0.001)
    assert (second.key, second.result, second.seconds) == ("k2", None, None)
    assert book.action("k9") is None


# the file


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Checkpoints(tmp_path / "c.sqlite3")
    first.save(TURN, "waiting")
    token = first.ask("k", TURN, "Pay?", {})
    first.begin("k", TURN, "pay", {})
    first.close()
    second = Checkpoints(tmp_path / "c.sqlite3")
    assert second.decide(token, True, YOU) == "trace_1" and second.load("trace_1", YOU).turn == TURN
    assert not second.begin("k", TURN, "pay", {})
    second.close()


def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sqlite3"
    broken.write_bytes(b"this is no database" * 100)
    assert refused(lambda: Checkpoints(broken)) == "store_unwritable"
    (tmp_path / "file").write_text("")
    assert refused(lambda: Checkpoints(tmp_path / "file" / "c.sqlite3")) == "store_unwritable"


def test_when_the_disk_is_full_nothing_begins(tmp_path: Path) -> None:
    book = Checkpoints(tmp_path / "c.sqlite3")
    db: sqlite3.Connection = book._db  # pyright: ignore[reportPrivateUsage]
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")
    codes = set()
    for number in range(300):
        try:
            book.begin(f"k{number}", TURN, "pay", {"note": "x" * 500})
        except CallerError as error:
            codes.add(error.code)
            assert book.action(f"k{number}") is None
    assert codes == {"store_unwritable"}
    book.close()


class Deciding(RuleBasedStateMachine):
    """Whatever users do with whatever tokens, in whatever order and over restarts: the first decision of the owner."""

    tokens = Bundle("tokens")

    @initialize()
    def open(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.decided: dict[str, str | None] = {}
        self.owners: dict[str, User] = {}
        self.begun: set[str] = set()
        self.restart()

    def teardown(self) -> None:
        self.book.close()
        self.folder.cleanup()

    @rule()
    def restart(self) -> None:
        if hasattr(self, "book"):
            self.book.close()
        self.book = Checkpoints(Path(self.folder.name) / "c.sqlite3")

    @rule(target=tokens, user=st.sampled_from([YOU, NEIGHBOUR, ABROAD]), number=st.integers(0, 3))
    def ask(self, user: User, number: int) -> tuple[str, str]:
        key = f"{user.id}/{user.tenant}/{number}"
        turn = Turn("...", user, trace_id=f"trace_{user.id}_{user.tenant}")
        self.decided.setdefault(key, None)
        self.owners[key] = user
        return key, self.book.ask(key, turn, "Sure?", {"number": number})

    @rule(token=tokens, user=st.sampled_from([YOU, NEIGHBOUR, ABROAD]), approved=st.booleans())
    def decide(self, token: tuple[str, str], user: User, approved: bool) -> None:
        key, secret = token
        decision = "approved" if approved else "declined"
        expected = ""
        if user != self.owners[key]:
            expected = "unknown_token"
        elif self.decided[key] not in (None, decision):
            expected = "already_decided"
        try:
            self.book.decide(secret, approved, user)
            assert not expected
            self.decided[key] = decision
        except CallerError as error:
            assert error.code == expected

    @rule(token=tokens)
    def begin(self, token: tuple[str, str]) -> None:
        key = token[0]
        assert self.book.begin(key, Turn("..."), "pay", {}) == (key not in self.begun)
        self.begun.add(key)

    @invariant()
    def decisions_are_those_of_the_owners(self) -> None:
        for key, decision in getattr(self, "decided", {}).items():
            assert self.book.decision(key, {"number": int(key[-1])}) == decision
            assert self.book.decision(key, {"number": 9}) is None


TestDeciding = Deciding.TestCase
