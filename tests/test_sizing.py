"""The sizing page: written from what was measured, and its arithmetic."""

import json

import pytest

from benchmarks import sizing, unit_costs
from patterns import models


def found() -> dict[str, object]:
    return json.loads(unit_costs.RESULTS.read_text(encoding="utf-8"))


def test_the_page_is_what_the_measured_numbers_give() -> None:
    assert sizing.PAGE.read_text(encoding="utf-8") == sizing.page(found())


def test_a_hundred_times_the_users_are_a_hundred_times_the_load_and_the_money() -> None:
    few, many = (sizing.size(users, found()) for users in sizing.USERS)
    for name in ("requests", "peak", "streams", "service_cores", "sqlite_busy", "tokens_a_minute"):
        assert getattr(many, name) == pytest.approx(100 * getattr(few, name))
    assert many.dollars["openai"] == pytest.approx(100 * (few.dollars["openai"] or 0))
    assert few.processes == 2 and many.processes >= many.service_cores / sizing.BUSY > many.processes - 1


def test_a_request_costs_its_tokens_at_the_price_of_their_tier() -> None:
    used = {"calls": 1, "input": 1_000, "cached_input": 0, "output": 100}
    asked = {"tiers": {"small": used, "large": {**used, "input": 0, "output": 0}}, "embed_tokens": 0}
    assert sizing.dollars_a_request(asked, "openai") == pytest.approx(
        models.tiers_of("openai")["small"].cost(1_000, 100)
    )
