"""The house as a table: each layer, what it does, the notebook that brings it, its code, and a test that holds it.

Everything but the test is read from the code, so that the table cannot be older than what it shows.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import complete_assistant, state, tracing
from ..complete_assistant import Storey

# For each layer a test that fails without it. `tests/test_house_table.py` checks that each is there.
TESTS = {
    "streaming_ux.acknowledge": "streaming_ux::test_statuses_come_before_words_and_the_pieces_make_the_answer",
    "streaming_ux.report_failures": (
        "streaming_ux::test_a_cut_stream_is_retried_behind_a_reset_and_fails_with_a_sentence"
    ),
    "streaming_ux.heartbeat": "streaming_ux::test_heartbeats_come_while_nothing_else_does_and_stop_with_it",
    "cost_control.recorded": "cost_control::test_the_row_is_there_before_the_reader_has_the_end",
    "cost_control.kill_switch": "cost_control::test_a_switched_off_assistant_makes_no_call_and_says_so",
    "cost_control.rate_limited": "cost_control::test_a_hundred_at_once_get_no_more_places_than_there_are",
    "multimodal.checked": "multimodal::test_pictures_are_prepared_before_they_go_on",
    "output_guard.guarded": "safety_privacy::test_an_address_that_nobody_vouches_for_is_not_shown",
    "fallbacks.ladder": "fallbacks::test_an_outage_moves_down_to_a_passage_that_says_what_it_is",
    "caching.response_cache": "caching::test_the_same_question_is_answered_once_and_then_costs_nothing",
    "breaker.guarded": "breaker::test_an_open_breaker_costs_no_call",
    "caching.semantic_cache": "semantic_cache::test_the_same_question_in_other_words_is_a_hit",
    "rolling_summary.summarised": "rolling_summary::test_the_old_part_becomes_one_message_and_the_recent_part_stays",
    "multimodal.look": "multimodal::test_the_assistant_gets_what_a_picture_says_and_not_the_picture",
    "rag.retrieve": "rag::test_the_model_is_given_what_the_customer_may_see_and_nothing_else",
    "agent_loop.agent": "agent_loop::test_a_loop_is_stopped_and_a_person_called",
    "authority.asked_for": "safety_privacy::test_a_write_that_nobody_asked_for_is_not_even_asked_about",
    "fallbacks.tiers": "fallbacks::test_the_small_model_answers_when_the_large_one_is_down",
    "cascade.cascade": "cascade::test_a_sure_small_answer_is_shown_and_the_large_model_is_not_asked",
    "rag.grounded": "rag::test_no_citation_is_served_that_nobody_gave",
    "structured_output.structured": "structured_output::test_there_are_never_more_repairs_than_allowed",
    "retries.retried": "fallbacks::test_it_is_tried_again_once_and_says_so_after_the_first_word",
    "retries.impatient": "fallbacks::test_a_silent_call_is_given_up",
    "hedging.hedged": "fallbacks::test_a_call_that_takes_unusually_long_is_made_twice_and_the_loser_is_closed",
    "pseudonyms.pseudonymised": "pseudonyms::test_the_model_reads_stand_ins_and_the_customer_reads_the_values",
    "bounds.bounded": "bounds::test_the_call_after_the_last_is_refused_and_never_made",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One layer. `notebook` is its file's stem, `code` and `test_file` are paths from the checkout."""

    layer: str
    does: str
    notebook: str
    code: str
    test_file: str
    test: str

    @property
    def test_exists(self) -> bool:
        path = _root() / self.test_file
        return path.is_file() and self.test in _functions(path)


def rows(house: Sequence[Storey] = complete_assistant.HOUSE) -> list[Row]:
    """The layers of the whole assistant, in the order in which a request meets them.

    Raises KeyError for a layer that has no test.
    """
    notebooks = {path.stem[3:]: path.stem for path in (_root() / "notebooks").glob("*.ipynb")}
    found = []
    for storey in house:
        if storey.until:
            continue
        layer = tracing.name_of(storey.layer)
        file, _, test = TESTS[layer].partition("::")
        module, function = layer.split(".")
        code = importlib.import_module(f"patterns.{module}")
        doc = (inspect.getdoc(getattr(code, function)) or "").partition("\n\n")[0]
        does = " ".join(re.split(r"[.:;](?:\s|$)", doc)[0].split())
        found.append(
            Row(
                layer,
                f"{does}.",
                notebooks[storey.since],
                f"patterns/{module}.py",
                f"tests/test_{file}.py",
                test,
            )
        )
    return found


def markdown(house: Sequence[Storey] = complete_assistant.HOUSE) -> str:
    """The table, with links that work from `notebooks/`."""
    lines = ["| | layer | what it does | notebook | a test that fails without it |", "|-:|---|---|---|---|"]
    for number, row in enumerate(rows(house), 1):
        layer, notebook = f"[`{row.layer}`](../{row.code})", f"[{row.notebook[:2]}]({row.notebook}.ipynb)"
        test = f"[{row.test.removeprefix('test_').replace('_', ' ')}](../{row.test_file})"
        lines.append(f"| {number} | {layer} | {row.does} | {notebook} | {test} |")
    return "\n".join(lines)


def _root() -> Path:
    return state.checkout() or Path.cwd()


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
