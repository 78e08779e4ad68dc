"""The checks of an eval case, and what the scorecard says."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from patterns import evals
from patterns.course import exercises
from patterns.errors import CallerError
from patterns.events import Answer, ConfirmationRequired, Event, Failed, Message, TextDelta, Turn
from patterns.streaming_ux import Timing

REFUSALS = [
    "I could not find that in the documents I was given.",
    "I couldn't find anything about that.",
    "The documents don't mention the World Cup.",
    "I'm sorry, I can't help with restaurant bookings.",
    "I do not have information about that.",
    "I am unable to answer this.",
    "Das konnte ich in den vorliegenden Dokumenten nicht finden.",
    "Ich konnte dazu leider nichts finden, das weiß ich nicht.",
    "There is no information on this in the documents.",
]
ANSWERS = [
    "You can return a product within 30 days of delivery.",
    "E-104 means that the Wi-Fi password is wrong.",
    "The express fee is not refunded unless we delivered late.",
    "The basic kit does not contain an adapter.",
    "Der Akku lädt unter 5 °C nicht.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_seen(text: str) -> None:
    assert evals.NOT_KNOWN.search(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not evals.NOT_KNOWN.search(text)


def case(**changes: object) -> evals.Case:
    base = {"id": "x", "slice": "easy", "question": "?", "customer": "C-0001"}
    return evals.Case(**{**base, **changes})  # pyright: ignore[reportArgumentType]


def said(text: str, tools: tuple[str, ...] = (), **changes: object) -> Timing:
    answer = Answer(text=text, **changes)  # pyright: ignore[reportArgumentType]
    return Timing(0.0, 0.0, 0.0, (), answer, None, tools)


def test_judging() -> None:
    wanted = case(must=(("30 days", "thirty days"), ("refund",)), must_not=("14 days",))
    assert evals.judge(wanted, said("A Refund within thirty days.")) == ""
    assert evals.judge(wanted, said("A refund within 30 days, or 14 days.")) == "contains 14 days"
    assert evals.judge(wanted, said("Within 30 days.")) == "lacks refund"
    assert evals.judge(case(unknown=True), said(ANSWERS[0])) == "should have said that it does not know"
    assert evals.judge(wanted, said(REFUSALS[0])) == "says that it does not know"


def test_the_field_confident_says_more_than_words() -> None:
    assert evals.judge(case(unknown=True), said(ANSWERS[0], confident=False)) == ""
    assert evals.judge(case(must=(("30 days",),)), said(ANSWERS[0], confident=False)) == "says that it does not know"
    assert evals.judge(case(), said("You're welcome!", confident=False)) == ""


def test_tools_and_outcomes_are_judged() -> None:
    wanted = case(calls=("order_lookup",), no_calls=("schedule_follow_up",), outcome="success")
    assert evals.judge(wanted, said("Shipped.", ("order_lookup",))) == ""
    assert evals.judge(wanted, said("Shipped.")) == "did not use order_lookup"
    assert evals.judge(wanted, said("Ok.", ("order_lookup", "schedule_follow_up"))) == "used schedule_follow_up"
    assert evals.judge(wanted, said("?", ("order_lookup",), outcome="limit_hit")) == "ended as limit_hit"
    waits = Timing(0.0, 0.0, 0.0, (), None, None, ("schedule_follow_up",), ConfirmationRequired("t", "Shall we?"))
    assert evals.judge(case(calls=("schedule_follow_up",)), waits) == ""
    assert evals.judge(case(must=(("yes",),)), waits) == "waits for a confirmation"


async def two_kinds(turn: Turn) -> AsyncGenerator[Event, None]:
    if "fail" in turn.text:
        yield Failed("x", "It broke.", "Try again.", True)
        return
    yield TextDelta("secret 30 days")
    yield Answer(text="secret 30 days")


async def test_unsafe_answers_and_failures_are_counted_apart(turn_dials: Callable[..., None]) -> None:
    cases = [
        case(id="a", must=(("30 days",),)),
        case(id="b", slice="adversarial", unsafe=("secret",)),
        case(id="c", question="fail"),
    ]
    outcomes = await evals.run(two_kinds, cases)
    assert [outcome.reason for outcome in outcomes] == ["", "contains secret", "It broke."]
    scores = evals.scores(outcomes)
    assert scores.by_slice == {"easy": (1, 2), "adversarial": (0, 1)} and scores.unsafe == 1
    assert "easy            1 of 2" in evals.table({"run": scores}) and "unsafe answers" in evals.table({"run": scores})


def test_a_sample_spreads_over_every_slice() -> None:
    cases = [case(id=f"{name}-{number}", slice=name) for name in ("easy", "hard") for number in range(12)]
    cases.append(case(id="rare-0", slice="rare"))
    chosen = [one.id for one in evals.sample(cases, 3)]
    assert chosen == ["easy-0", "easy-4", "easy-8", "hard-0", "hard-4", "hard-8", "rare-0"]
    assert evals.sample(cases, 99) == tuple(cases)


async def test_a_scorecard_of_a_sample_says_so(
    turn_dials: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    cases = evals.load("streaming_ux")
    outcomes = await evals.scorecard("streaming_ux", cases[:2], one_way=two_kinds)
    assert [outcome.case for outcome in outcomes["one way"]] == list(cases[:2])
    assert capsys.readouterr().out.startswith(f"2 of {len(cases)} cases from")
    await evals.scorecard("streaming_ux", one_way=two_kinds)
    assert capsys.readouterr().out.startswith(f"{len(cases)} cases from")


async def echo(turn: Turn) -> AsyncGenerator[Event, None]:
    said = " / ".join(f"{message.role}: {message.text}" for message in turn.history)
    yield Answer(text=f"{turn.tier} {said}")


async def test_history_and_tier_reach_the_handler() -> None:
    asked = case(history=(Message("user", "Hello"), Message("assistant", "Hi")))
    (outcome,) = await evals.run(echo, [asked], tier="small")
    assert outcome.text == "small user: Hello / assistant: Hi"
    (outcome,) = await evals.run(echo, [case()])
    assert outcome.text == "None "


def test_nothing_to_score_is_said() -> None:
    with pytest.raises(CallerError, match="no case"):
        evals.scores([])


# the exercises of notebook 06: the notebook runs their solutions; these are refused


def ignores_the_average(before: Any, after: Any, points: int = 20) -> list[str]:
    found = []
    for name in sorted({group for group, _ in before.values()}):
        ids = [one for one in before if before[one][0] == name and one in after]
        if ids and 100 * sum(before[one][1] - after[one][1] for one in ids) > points * len(ids):
            found.append(name)
    return found


def forgets_chance(people: list[bool], judge: list[bool]) -> float:
    return sum(one == other for one, other in zip(people, judge, strict=True)) / len(people)


def divides_by_nothing(people: list[bool], judge: list[bool]) -> float:
    p, q = sum(people) / len(people), sum(judge) / len(judge)
    expected = p * q + (1 - p) * (1 - q)
    return (forgets_chance(people, judge) - expected) / (1 - expected)


@pytest.mark.parametrize(
    ("name", "solution", "said"),
    [
        ("hidden", lambda before, after, points=20: [], "it returned []; ['a'] is expected"),
        ("hidden", ignores_the_average, "everything fell: it returned ['a', 'b']; [] is expected"),
        ("agreement_beyond_chance", lambda people, judge: None, "it returned None; 1.0 is expected"),
        ("agreement_beyond_chance", forgets_chance, "always the opposite, half and half: it returned 0.0"),
        ("agreement_beyond_chance", divides_by_nothing, "ZeroDivisionError"),
    ],
    ids=["nothing", "no average", "none", "no chance", "division"],
)
async def test_a_wrong_solution_hears_what_was_seen(
    capsys: pytest.CaptureFixture[str], name: str, solution: Any, said: str
) -> None:
    await exercises.check(name, solution)
    line = capsys.readouterr().out
    assert line.startswith("○ Not yet") and said in line
