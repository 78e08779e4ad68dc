"""The table of the house: it names every layer, and nothing that is not there."""

from dataclasses import replace

import pytest

from patterns import complete_assistant, tracing
from patterns.complete_assistant import Storey
from patterns.course import house_table
from patterns.events import Handler


def test_every_layer_of_the_whole_assistant_is_a_row_in_the_order_of_the_house() -> None:
    rows = house_table.rows()
    assert [row.layer for row in rows] == [
        tracing.name_of(storey.layer) for storey in complete_assistant.HOUSE if not storey.until
    ]
    assert not set(house_table.TESTS) - {row.layer for row in rows}, "a test is named for a layer that is gone"


def test_every_row_leads_somewhere() -> None:
    for row in house_table.rows():
        root = house_table._root()
        assert row.test_exists, f"{row.test_file}::{row.test}"
        assert (root / row.code).is_file() and (root / "notebooks" / f"{row.notebook}.ipynb").is_file()
        assert len(row.does) > 20 and row.does.endswith(".") and "\n" not in row.does, row


def test_a_test_that_was_renamed_is_noticed() -> None:
    row = house_table.rows()[0]
    assert not replace(row, test=row.test + "_now").test_exists
    assert not replace(row, test_file="tests/test_gone.py").test_exists


def test_a_layer_without_a_test_is_no_row() -> None:
    def nameless(inner: Handler) -> Handler:
        return inner

    with pytest.raises(KeyError):
        house_table.rows((*complete_assistant.HOUSE, Storey(nameless, "rag")))


def test_the_table_links_to_code_notebook_and_test() -> None:
    lines = house_table.markdown().splitlines()
    assert len(lines) == 2 + len(house_table.rows())
    line = next(line for line in lines if "caching.response_cache" in line)
    assert "(../patterns/caching.py)" in line and "(07_caching.ipynb)" in line and "(../tests/test_caching.py)" in line
