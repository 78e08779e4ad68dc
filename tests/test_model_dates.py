"""The calendar check of the named models, on days of our own choosing."""

from datetime import date

from patterns import model_dates
from patterns.models import catalogue

LIST = '''
ChatModel: TypeAlias = Literal["a", "b"]
"""Deprecated values:

- "old", "older",
  "gpt-6-luna": Announced shutdown
  date: 2027-03-01. See https://example.invalid for details.
- "odd": Not a supported model ID.
- "last": Announced shutdown date: 2026-01-02. See
"""
'''


def test_dates_are_read_over_line_breaks() -> None:
    march = date(2027, 3, 1)
    expected = {"old": march, "older": march, "gpt-6-luna": march, "last": date(2026, 1, 2)}
    assert model_dates.shutdown_dates(LIST) == expected


def test_a_named_model_is_warned_of_sixty_days_before() -> None:
    named = catalogue()["openai"]["tiers"]["small"]["model"]
    dates = {named: date(2027, 3, 1), "nobody-names-me": date(2020, 1, 1)}
    assert model_dates.warnings(dates, date(2026, 12, 30)) == []
    (line,) = model_dates.warnings(dates, date(2026, 12, 31))
    assert named in line and "2027-03-01" in line


def test_the_installed_sdk_still_lists_dates_where_we_look() -> None:
    dates = model_dates.shutdown_dates(model_dates._sdk_list())
    assert dates["gpt-5-mini"] == date(2026, 12, 11) and len(dates) > 20
