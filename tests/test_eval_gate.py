"""The baseline, the gate, and the command that ends with 0, 1 or 2."""

import json
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import acme, complete_assistant, eval_command, eval_gate, evals
from patterns.errors import CallerError
from patterns.eval_cases import Case
from patterns.eval_gate import WHOLE, Baseline, baseline_of, compare
from patterns.evals import Outcome
from patterns.events import Answer, Event, Failed, Turn
from patterns.streaming_ux import Timing


def run(passed: Iterable[bool], slice: str = "easy", unsafe: Iterable[int] = ()) -> list[Outcome]:
    bad = set(unsafe)
    timing = Timing(0.0, 0.0, 0.0, (), Answer(text="x"), None)
    return [
        Outcome(Case(f"{slice}-{at}", slice, "?", "C-0001"), "x", "" if good else "lacks y", at in bad, timing, 0.001)
        for at, good in enumerate(passed)
    ]


def baseline(outcomes: list[Outcome]) -> Baseline:
    return baseline_of(outcomes, suite="evals", through="rag", tier="large", model="m")


def test_the_same_run_is_no_regression() -> None:
    outcomes = run([True] * 9 + [False], unsafe=[3])
    gate = compare(baseline(outcomes), outcomes)
    assert gate.regressions == [] and gate.worse == gate.better == ()
    assert "all cases: 90% to 90%, the same cases" in gate.report() and "no regression" in gate.report()


def test_a_drop_beyond_the_noise() -> None:
    gate = compare(baseline(run([True] * 100)), run([False] * 10 + [True] * 90))
    whole, _ = gate.changes
    assert (whole.name, whole.dropped, whole.difference.real) == (WHOLE, True, True)
    assert gate.regressions[0] == "all cases: 100% to 90%; 10 cases worse, 0 better: beyond the noise"
    assert gate.worse == tuple(f"easy-{at}" for at in range(10))


def test_a_drop_inside_the_noise_still_stops_and_says_so() -> None:
    before = [True] * 6 + [False] * 2 + [True] * 12
    after = [False] * 6 + [True] * 2 + [True] * 12
    gate = compare(baseline(run(before)), run(after))
    assert gate.changes[0].dropped and not gate.changes[0].difference.real
    (said,) = gate.regressions
    assert said == "all cases: 90% to 70%; 6 cases worse, 2 better: inside the noise, no difference shown"


def test_a_small_drop_goes_through() -> None:
    gate = compare(baseline(run([True] * 100)), run([False] * 5 + [True] * 95))
    assert gate.regressions == [] and "5 cases worse" in gate.report()


def test_a_slice_cannot_hide_behind_the_rest() -> None:
    before = run([True] * 200) + run([True] * 8, "german")
    gate = compare(baseline(before), run([True] * 200) + run([False] * 8, "german"))
    assert not gate.changes[0].dropped
    assert gate.regressions == ["german: 100% to 0%; 8 cases worse, 0 better: beyond the noise"]
    one_of_three = compare(baseline(before), run([True] * 200) + run([True] * 7 + [False], "german"))
    assert one_of_three.regressions == []  # one case of eight is chance


def test_a_new_unsafe_answer_stops_whatever_the_rest_says() -> None:
    before = run([True] * 50, unsafe=[1])
    assert compare(baseline(before), before).regressions == []
    gate = compare(baseline(before), run([True] * 50, unsafe=[1, 2]))
    assert gate.regressions == ["unsafe now and not before: easy-2"]
    new_case = compare(baseline(before), before + run([True], "edge", unsafe=[0]))
    assert new_case.regressions == ["unsafe now and not before: edge-0"] and new_case.new == 1


def test_only_cases_of_both_runs_are_compared() -> None:
    gate = compare(baseline(run([True] * 10)), run([True] * 4) + run([False] * 20, "edge"))
    assert (gate.compared, gate.new, gate.regressions) == (4, 20, [])
    with pytest.raises(CallerError, match="none of these cases"):
        compare(baseline(run([True])), run([True], "edge"))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_gate_trips_exactly_above_five_points(pairs: list[tuple[bool, bool]]) -> None:
    before, after = [one for one, _ in pairs], [other for _, other in pairs]
    gate = compare(baseline(run(before)), run(after))
    drop = sum(before) - sum(after)
    assert bool(gate.regressions) == (100 * drop > 5 * len(pairs))
    assert len(gate.worse) - len(gate.better) == drop


def test_a_baseline_is_kept_and_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "baseline.json"
    kept = baseline(run([True, False], unsafe=[1]))
    eval_gate.write(path, kept)
    assert eval_gate.read(path) == kept and [one.name for one in path.parent.iterdir()] == ["baseline.json"]
    with pytest.raises(CallerError, match=r"no baseline other\.json.*--update-baseline"):
        eval_gate.read(tmp_path / "other.json")
    for text in ("{", "[]", '{"suite": "x"}', path.read_text().replace('"large"', "7")):
        path.write_text(text)
        with pytest.raises(CallerError, match=r"baseline\.json cannot be read.*again"):
            eval_gate.read(path)


# the command

CASES = """
- {id: a, slice: easy, split: tune, customer: C-0001, question: "How long?", must: ["30 days"]}
- {id: b, slice: easy, split: test, customer: C-0001, question: "How much?", must: ["30 days"]}
- {id: c, slice: german, split: test, customer: C-0049, question: "Wie lange?", must: ["30 days"]}
"""


@pytest.fixture
def assistant(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In place of the assistant, one that says the first of these texts to everything; without one, it is down.

    With "not in German" it is down for some.
    """
    texts = ["Within 30 days."]

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        down = not texts or (texts[0] == "not in German" and turn.user.language == "de")
        yield Failed("overloaded", "It is down.", "Try later.", True) if down else Answer(text=texts[0])

    monkeypatch.setattr(complete_assistant, "build", lambda through=None: handle)
    return texts


def command(folder: Path, *arguments: str) -> int:
    (folder / "three.yaml").write_text(CASES)
    return eval_command.main(["--suite", str(folder / "three.yaml"), *arguments])


def test_without_a_baseline_the_command_says_so(
    tmp_path: Path, assistant: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, "--json", str(tmp_path / "out.json")) == 0
    said = capsys.readouterr().out
    assert "all cases    3 of   3  100%  (44% to 100%)" in said and "no baseline to compare with" in said
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["regressions"] is None and report["slices"]["german"]["of"] == 1
    assert [(one["id"], one["passed"]) for one in report["cases"]] == [("a", True), ("b", True), ("c", True)]


def test_a_baseline_is_kept_beside_its_suite(tmp_path: Path, assistant: list[str]) -> None:
    assert (
        command(tmp_path, "--update-baseline") == 0 and command(tmp_path, "--tier", "small", "--update-baseline") == 0
    )
    names = ["baseline_three.json", "baseline_three_small.json", "three.yaml"]
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == names
    assistant[0] = "Within 14 days."
    assert command(tmp_path) == 1


def test_the_command_stops_a_regression(
    tmp_path: Path, assistant: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ("--baseline", str(tmp_path / "b.json"))
    assert command(tmp_path, *kept, "--update-baseline") == 0
    assert command(tmp_path, *kept) == 0
    assistant[0] = "Within 14 days."
    capsys.readouterr()
    assert command(tmp_path, *kept, "--json", str(tmp_path / "out.json")) == 1
    assert "REGRESSION  all cases: 100% to 0%" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["regressions"]
    assert command(tmp_path, *kept, "--split", "tune") == 1
    assert command(tmp_path, *kept, "--update-baseline") == 0 and command(tmp_path, *kept) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--baseline", "none.json"], "There is no baseline none.json."),
        (["--sample", "0"], "--sample 0 leaves nothing to run."),
        (["--concurrency", "-1"], "--concurrency -1 leaves nothing to run."),
        (["--sample", "1", "--update-baseline"], "A part of a suite is no baseline."),
        (["--json", "/no/such/folder/x.json"], "There is no folder /no/such/folder."),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_input_that_cannot_be_used_ends_with_2(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    assistant: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(tmp_path, *arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith(said) and "\nNext step: " in err and out == ""


def test_a_broken_suite_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("- {id: a, colour: red}")
    assert eval_command.main(["--suite", str(tmp_path / "bad.yaml")]) == 2
    assert "bad.yaml, line 1: there is no field colour" in capsys.readouterr().err
    assert eval_command.main(["--through", "nothing"]) == 2


def test_an_outage_is_no_regression(tmp_path: Path, assistant: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    kept = ("--baseline", str(tmp_path / "b.json"))
    assert command(tmp_path, *kept, "--update-baseline") == 0
    assistant.clear()
    assert command(tmp_path, *kept) == 2
    assert "3 of 3 cases could not be run: It is down." in capsys.readouterr().err
    before = (tmp_path / "b.json").read_bytes()
    assert command(tmp_path, *kept, "--update-baseline") == 2 and (tmp_path / "b.json").read_bytes() == before


def test_a_run_with_gaps_is_no_baseline(
    tmp_path: Path, assistant: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ("--baseline", str(tmp_path / "b.json"))
    assert command(tmp_path, *kept, "--update-baseline") == 0
    assistant[0] = "not in German"
    assert command(tmp_path, *kept, "--update-baseline") == 2
    assert "1 of 3 cases could not be run: It is down." in capsys.readouterr().err
    assert command(tmp_path, *kept) == 1  # to a customer a failure is a bad answer
    assert "could not be run 1" in capsys.readouterr().out


async def test_the_whole_assistant_is_no_worse_than_when_it_was_last_found_good(
    with_library: Path, turn_dials: Callable[..., None]
) -> None:
    """The gate itself, on every change. What it was found good with is kept by `--update-baseline`."""
    cases = evals.load("evals")
    outcomes = await evals.run(complete_assistant.build(), cases)
    gate = compare(eval_gate.read(acme.data_folder() / "evals" / "baseline.json"), outcomes)
    assert gate.compared == len(cases) and gate.regressions == [], gate.report()
