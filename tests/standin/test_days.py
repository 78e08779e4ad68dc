"""Days that a text names, placed by what today is: a Wednesday in June for most of these."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns.standin.days import days, stated_today

TODAY = dt.date(2027, 6, 9)  # a Wednesday


def read(text: str, today: dt.date | None = TODAY) -> list[str]:
    return [day for _, day, _ in days(text, today)]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("See you tomorrow", "2027-06-10"),
        ("Ruf mich morgen an", "2027-06-10"),
        ("the day after tomorrow", "2027-06-11"),
        ("übermorgen früh", "2027-06-11"),
        ("on Friday, please", "2027-06-11"),
        ("by Tuesday", "2027-06-15"),
        ("next Tuesday at 10", "2027-06-15"),
        ("this Wednesday", "2027-06-16"),
        ("am Donnerstag", "2027-06-10"),
        ("nächsten Dienstag", "2027-06-15"),
        ("Friday next week", "2027-06-18"),
        ("nächste Woche Freitag", "2027-06-18"),
        ("in two weeks", "2027-06-23"),
        ("in zwei Wochen", "2027-06-23"),
        ("in a fortnight", "2027-06-23"),
        ("heute in einer Woche", "2027-06-16"),
        ("10 days from now", "2027-06-19"),
        ("in einem Monat", "2027-07-09"),
        ("on 5 November", "2027-11-05"),
        ("am 5. November", "2027-11-05"),
        ("on January 4th", "2027-01-04"),
        ("5.7.", "2027-07-05"),
        ("on the 5th", "2027-07-05"),
        ("bis zum 20.", "2027-06-20"),
        ("at the weekend", "2027-06-12"),
        ("last Monday", "2027-06-07"),
        ("vor drei Tagen", "2027-06-06"),
        ("2 weeks ago", "2027-05-26"),
        ("on 3 March 2026", "2026-03-03"),
        ("3.4.2026", "2026-04-03"),
        ("3/4/2026", "2026-03-04"),
    ],
)
def test_a_day_is_placed(text: str, day: str) -> None:
    assert read(text) == [day]


@pytest.mark.parametrize(
    "text", ["Guten Morgen!", "in ten minutes", "version 5.11.3", "the 1st time", "30 days", "on 2nd thoughts"]
)
def test_what_is_no_day_is_none(text: str) -> None:
    assert read(text) == []


def test_without_today_only_full_dates_are_read() -> None:
    assert read("on Friday, in two weeks, 5 November", None) == []
    assert read("on 5 November 2027", None) == ["2027-11-05"]


@pytest.mark.parametrize(
    "text",
    [
        "Today is Wednesday, 2027-06-09. Use the tools.",
        "Heute ist Mittwoch, der 2027-06-09.",
        "Current date: 2027-06-09",
    ],
)
def test_today_is_read_from_the_instructions(text: str) -> None:
    assert stated_today(text) == TODAY


@given(st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)), st.integers(1, 60))
def test_days_ahead_are_counted_from_today(today: dt.date, number: int) -> None:
    assert read(f"in {number} days", today) == [(today + dt.timedelta(number)).isoformat()]
    assert today < dt.date.fromisoformat(read("next Sunday", today)[0]) <= today + dt.timedelta(7)


@given(st.text(max_size=60), st.dates())
def test_any_text_can_be_read(text: str, today: dt.date) -> None:
    for said, day, start in days(text, today):
        assert text[start:].startswith(said) and dt.date.fromisoformat(day[:10])
