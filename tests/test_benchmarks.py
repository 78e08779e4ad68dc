"""The arithmetic of the scoreboard and what it does with crashes. Nothing is timed here."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks import __main__ as scoreboard
from benchmarks import embeddings, measure, notebooks, retrieval, retrieval_data
from benchmarks.measure import Entry, Skipped
from benchmarks.retrieval import Answer, Result
from benchmarks.retrieval_data import Chunk, Question
from patterns.events import User

FIELDS = {"row", "metric", "value", "goal", "holds", "peers", "versions", "note"}


@pytest.mark.parametrize(
    ("value", "goal", "expected"),
    [
        (0.2, "≤ 0.2", True),
        (0.2001, "≤ 0.2", False),
        (5.0, "≥ 5", True),
        (4.99, "≥ 5", False),
        (0, "= 0", True),
        (1, "= 0", False),
        (7.0, "", None),
    ],
)
def test_a_goal_holds_up_to_its_limit(value: float, goal: str, expected: bool | None) -> None:
    assert measure.holds(value, goal) is expected


@pytest.mark.parametrize("goal", ["< 5", "5", "≤", "≤ five"])
def test_a_goal_of_another_form_is_refused(goal: str) -> None:
    with pytest.raises(ValueError):
        measure.holds(1.0, goal)


def test_the_goal_is_judged_before_the_value_is_rounded() -> None:
    entry = Entry(10, "cosine", 0.99989999, "≥ 0.9999")
    assert not entry.holds and entry.to_json()["value"] == 0.9999


def test_the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians() -> None:
    ours, theirs = [2.0, 20.0, 3.0], [1.0, 5.0, 2.0]
    assert measure.ratios(ours, theirs) == [2.0, 4.0, 1.5]
    assert measure.ratio(ours, theirs) == 2.0
    assert measure.spread(ours, theirs) == "middle half of 3 rounds 1.75 to 3"
    with pytest.raises(ValueError):
        measure.ratio(ours, [1.0])


def test_rounds_are_interleaved_and_turn_round() -> None:
    order = ""

    def contestant(name: str) -> Callable[[], float]:
        def run() -> float:
            nonlocal order
            order += name
            return float(len(order))

        return run

    measured = measure.interleaved({name: contestant(name) for name in "abc"}, 3)
    assert order == "abccbaabc"
    assert measured == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


@pytest.mark.parametrize(("seconds", "rounds"), [(11.0, 3), (10.0, 5), (0.1, 5)])
def test_only_what_takes_long_is_measured_less_often(seconds: float, rounds: int) -> None:
    measured = notebooks.rounds_enough({"long": lambda: seconds, "other": lambda: 20.0}, ["long"])
    assert [len(times) for times in measured.values()] == [rounds, rounds]


def test_the_clean_environment_has_nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "PATTERNS_PROVIDER", "PATTERNS_MODEL_LARGE", "PYTHONPATH"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PATTERNS_CACHE", "kept")
    cleaned = measure.clean_environment(tmp_path)
    assert not [name for name in cleaned if name.startswith(("OPENAI_", "PYTHON"))]
    ours = {name: value for name, value in cleaned.items() if name.startswith("PATTERNS_")}
    assert ours == {"PATTERNS_CACHE": "kept", "PATTERNS_STATE": str(tmp_path)}
    assert cleaned["PATH"]


def test_times_are_readable_at_any_size() -> None:
    assert measure.milliseconds([0.0004, 0.00123, 9.0]) == "1.23 ms"
    assert measure.milliseconds([26.8]) == "26,800 ms"


# the harness


def module(monkeypatch: pytest.MonkeyPatch, name: str, *parts: Callable[[], list[Entry]]) -> str:
    fake = ModuleType(f"benchmarks.{name}")
    fake.__dict__["PARTS"] = parts
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    return name


def good() -> list[Entry]:
    return [Entry(1, "met", 0.5, "≤ 1", {"other": 0.7}, {"openai": "3"}, "a note"), Entry(1, "missed", 2.0, "≤ 1")]


def broken() -> list[Entry]:
    raise ZeroDivisionError("it broke")


def lacking() -> list[Entry]:
    raise Skipped("no data")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {
        "1": module(monkeypatch, "fake_good", broken, good),
        "2": "there_is_no_such_module",
        "first token": module(monkeypatch, "fake_lacking", lacking),
    }
    monkeypatch.setattr(scoreboard, "ROWS", found)
    return found


def test_a_crash_is_reported_and_the_others_still_run(rows: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    entries = scoreboard.run(rows)
    verdicts = [(entry.row, entry.metric, scoreboard.verdict(entry), entry.holds) for entry in entries]
    assert verdicts == [
        (1, "broken", "crashed", False),
        (1, "met", "holds", True),
        (1, "missed", "MISSED", False),
        (2, "there_is_no_such_module", "crashed", False),
        ("first token", "lacking", "skipped", None),
    ]
    assert entries[0].note == "crashed: ZeroDivisionError: it broke"
    assert "Traceback" in capsys.readouterr().err


def test_the_table_is_aligned_and_hides_nothing(rows: dict[str, str]) -> None:
    lines = scoreboard.table(scoreboard.run(rows)).splitlines()
    results = [line for line in lines if line.endswith(("holds", "MISSED", "crashed", "skipped"))][:5]
    assert len(results) == 5 and len({line.rindex("  ") for line in results}) == 1
    text = "\n".join(lines)
    for said in ("crashed: ZeroDivisionError: it broke", "skipped: no data", "peers: other 0.7", "openai 3", "a note"):
        assert said in text
    assert lines[-1] == "1 goals hold, 1 missed, 1 skipped, 2 crashed"
    assert max(map(len, lines)) <= scoreboard.WIDTH


def test_the_exit_code_is_for_crashes_and_not_for_missed_goals(
    rows: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "out.json"
    assert scoreboard.main(["--json", str(path)]) == 1
    rows["1"] = module(monkeypatch, "fake_good", good)
    assert scoreboard.main(["--json", str(path), "--row", "1", "--row", "first token"]) == 0
    measured = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["metric"] for entry in measured] == ["met", "missed", "lacking"]
    assert all(set(entry) == FIELDS for entry in measured)
    assert [entry["holds"] for entry in measured] == [True, False, None]
    assert "MISSED" in capsys.readouterr().out


def test_every_row_has_its_module() -> None:
    here = Path(scoreboard.__file__).parent
    assert all((here / f"{name}.py").is_file() for name in scoreboard.ROWS.values())
    assert scoreboard.LATEST.relative_to(here).as_posix() == "results/latest.json"


# what the rows compute


def test_covered_time_counts_what_overlaps_once() -> None:
    assert notebooks.covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.6)]) == pytest.approx(4.0)
    assert notebooks.covered([]) == 0


def test_ndcg_by_hand() -> None:
    assert embeddings.ndcg([4, 7, 9], frozenset({4, 7})) == pytest.approx(1.0)
    # one of two, in second place: (1 / log2 3) / (1 + 1 / log2 3)
    assert embeddings.ndcg([1, 4, 9], frozenset({4, 7})) == pytest.approx(0.38685, abs=1e-5)
    assert embeddings.ndcg([*range(10), 99], frozenset({99})) == 0
    assert embeddings.ndcg(range(20), frozenset(range(20))) == pytest.approx(1.0)


def test_cranfield_files_are_read() -> None:
    first = ".I 1\n.T\nwings in\nair .\n.A\nsomebody\n.B\nsomewhere\n.W\nwings in\nair .\nthey fly .\n"
    documents = first + ".I 2\n.T\n.A\n.B\n.W\n"
    assert embeddings.records(documents) == ["wings in air . wings in air . they fly .", ""]
    assert embeddings.records(".I 001\n.W\nwhat\nflies .\n.I 004\n.W\nwhy .\n") == ["what flies .", "why ."]
    relevant = embeddings.judgements("1 3 2\n1 9 -1\n2 85  4\n")
    assert relevant == {0: frozenset({2}), 1: frozenset({84})}


def test_the_bootstrap_interval_is_repeatable_and_holds_the_mean() -> None:
    values = np.linspace(0, 1, 200)
    low, high = embeddings.interval(values)
    assert (low, high) == embeddings.interval(values)
    assert low < 0.5 < high and high - low == pytest.approx(2 * 1.96 * 0.29 / 200**0.5, rel=0.1)


# row 5: what is made up, and how it is graded


@pytest.fixture(scope="module")
def made() -> tuple[list[Chunk], list[Question]]:
    chunks = retrieval_data.chunks(tenants=3, each=60)
    return chunks, retrieval_data.questions(chunks, 80)


def test_the_retrieval_data_comes_from_its_seed_and_every_tenant_has_the_same_codes(
    made: tuple[list[Chunk], list[Question]],
) -> None:
    chunks, questions = made
    assert retrieval_data.chunks(3, 60) == chunks and retrieval_data.questions(chunks, 80) == questions
    codes = [[chunk.facts["code"] for chunk in chunks[start : start + 60]] for start in (0, 60, 120)]
    assert codes[0] == codes[1] == codes[2] and len(set(codes[0])) == 60
    assert len({chunk.text for chunk in chunks}) == len({chunk.id for chunk in chunks}) == 180


def test_only_probes_ask_for_what_their_user_may_not_see(made: tuple[list[Chunk], list[Question]]) -> None:
    chunks, questions = made
    probes = [question for question in questions if question.kind == "probe"]
    for question in questions:
        assert question.may_see(chunks[question.target]) == (question not in probes)
    foreign = sum(question.tenant != chunks[question.target].tenant for question in probes)
    assert len(probes) == 20 and foreign == 10


def test_a_question_names_its_code_or_shares_no_telling_word(made: tuple[list[Chunk], list[Question]]) -> None:
    chunks, questions = made
    for question in questions:
        facts = chunks[question.target].facts
        assert (facts["code"] in question.text) == (question.kind in ("code", "probe"))
        assert (facts["name"] in question.text) == (question.kind in ("name", "probe"))
        assert facts["fault"].partition("=")[0] not in question.text


@pytest.mark.parametrize(("plan", "teams"), list(retrieval_data.USERS))
def test_the_peers_filter_by_the_same_scopes_as_ours(plan: str, teams: tuple[str, ...]) -> None:
    user = User("C-0001", "t", plan, teams)  # type: ignore[arg-type]
    question = Question("code", "", 0, "t", "en", plan, teams)
    assert question.scopes == user.scopes
    for acl in retrieval_data.ACLS:
        for tenant in ("t", "u"):
            chunk = Chunk("c", tenant, "en", acl, "", "", {})
            assert question.may_see(chunk) == (tenant == "t" and not user.scopes.isdisjoint(acl))


def test_a_question_s_vector_lies_near_its_target_or_near_the_topic(made: tuple[list[Chunk], list[Question]]) -> None:
    chunks, questions = made
    rows, asked = retrieval_data.vectors(chunks, questions)
    assert rows.shape == (180, 384) and asked.shape == (80, 384) and rows.dtype == asked.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    for question, vector in zip(questions, asked, strict=True):
        cosine = float(vector @ rows[question.target])
        low, high = {"code": (0.3, 0.7), "probe": (0.999, 1.001)}.get(question.kind, (0.1, 0.4))
        assert low < cosine < high, question.kind


def test_written_and_read_the_retrieval_data_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chunks = retrieval_data.chunks(2, 30)
    monkeypatch.setattr(retrieval_data, "chunks", lambda: chunks)
    retrieval_data.write(tmp_path, 8)
    assert retrieval_data.read_chunks(tmp_path) == chunks
    assert retrieval_data.read_questions(tmp_path) == retrieval_data.questions(chunks, 8)
    assert retrieval_data.read_vectors(tmp_path, "questions").shape == (8, 384)


def test_hits_leave_probes_out_and_leaks_count_every_chunk_shown_to_the_wrong_user() -> None:
    chunks = [
        Chunk("open", "t", "en", ("public",), "", "", {}),
        Chunk("for pro", "t", "en", ("plan:pro", "team:support"), "", "", {}),
        Chunk("elsewhere", "u", "en", ("public",), "", "", {}),
    ]
    questions = [
        Question("code", "", 0, "t", "en", "basic", ()),
        Question("name", "", 1, "t", "en", "basic", ("support",)),
        Question("probe", "", 1, "t", "en", "plus", ()),
    ]
    found = [("open",), ("open", "elsewhere"), ("for pro", "elsewhere", "open")]
    answers = {place: Answer(0.1, ids) for place, ids in enumerate(found)}
    assert retrieval.hit_rate(questions, chunks, answers) == 0.5
    assert retrieval.leaks(questions, chunks, answers) == 3


def test_the_row_compares_rounds_with_llamaindex_and_hits_with_the_best_peer() -> None:
    def result(rounds: list[float], hit_rate: float, leaks: int) -> Result:
        return Result(rounds, rounds, hit_rate, leaks, "built in 1 s, 1 MB", {"numpy": "2"})

    results = {
        "ours": result([0.001, 0.002, 0.001], 0.8, 0),
        "LlamaIndex": result([0.06, 0.1, 0.07], 0.7, 4),
        "Haystack": result([0.2, 0.2, 0.2], 0.9, 0),
    }
    speed, leaks, hits = retrieval.entries(results, {"LlamaIndex with an index a tenant": "skipped: no uv"}, "")
    assert speed.value == pytest.approx(60) and speed.holds and "Haystack ÷ ours 200" in speed.note
    assert leaks.value == 0 and leaks.holds and leaks.peers["LlamaIndex"] == 4
    assert hits.value == pytest.approx(-0.1) and hits.holds is False
    assert hits.peers["LlamaIndex with an index a tenant"] == "skipped: no uv"


def test_without_peers_the_row_says_so_and_still_counts_leaks() -> None:
    ours = Result([0.001] * 3, [0.001] * 3, 0.8, 2, "", {})
    speed, leaks, hits = retrieval.entries({"ours": ours}, dict.fromkeys(retrieval.PEERS, "skipped: no uv"), "")
    assert speed.holds is None and scoreboard.verdict(speed) == scoreboard.verdict(hits) == "skipped"
    assert leaks.holds is False


def test_a_contestant_that_ends_is_a_crash(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="nobody has ended"),
        retrieval.contestant(Path(sys.executable), "nobody", tmp_path),
    ):
        pass
