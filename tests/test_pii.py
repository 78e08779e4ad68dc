"""What is personal is found however it is written, what a shop writes all day is not, and no text takes long."""

import json
import logging
import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from patterns.checked_numbers import luhn
from patterns.pii import ScrubbedLogs, Span, find, scrubbed
from tests.people import People


def kinds(text: str) -> list[str]:
    return [span.kind for span in find(text)]


# recall and precision: benchmarks/pii.py measures the same on more


def test_of_2000_generated_pieces_nearly_all_are_found_and_nearly_nothing_else() -> None:
    people = People(seed=11)
    there, found, false = Counter[str](), Counter[str](), Counter[str]()
    while there.total() < 2_000:
        said = people.said()
        spans = find(said.text)
        for one in said.planted:
            there[one.kind] += 1
            found[one.kind] += any(
                span.kind == one.kind and span.start <= one.start and span.end >= one.end for span in spans
            )
        for span in spans:
            false[span.kind] += not any(
                span.kind == one.kind and span.start < one.end and span.end > one.start for one in said.planted
            )
    for kind in ("email", "phone", "card", "iban", "ssn"):
        assert found[kind] / there[kind] >= 0.98, kind
        assert found[kind] / (found[kind] + false[kind]) >= 0.95, kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ann+shop@mail.example", "email"),
        ("mailto:ann@mail.example?subject=x", "email"),
        ("/reset?email=ann%40mail.example&x=1", "email"),
        ('{"e": "ann\\u0040mail.example"}', "email"),
        ("ａｎｎ＠ｍａｉｌ．example", "email"),
        ("ann@mаil.example with a Cyrillic letter", "email"),
        ("an\u200bn@mail.exa\u00admple", "email"),
        ("jürgen@straße.example", "email"),
        ("+43 (0) 664 123 45 67", "phone"),
        ("00436641234567", "phone"),
        ("0664/1234567", "phone"),
        ("(212) 555-0142", "phone"),
        ("212.555.0142 ext. 12", "phone"),
        ("\u202a+49 30 901820\u202c", "phone"),
        ("+٤٩ ٣٠ ٩٠١٨٢٠", "phone"),
        ("020 7946 0958", "phone"),
        ("4111 1111 1111 1111", "card"),
        ("41\u200b11111111111111", "card"),
        ("４１１１-１１１１-１１１１-１１１１", "card"),
        ("3714 496353 98431", "card"),
        ("my card is\n4111 1111 1111 1111", "card"),
        ('"my card is\\n4111 1111 1111 1111"', "card"),
        ('"{\\"text\\": \\"my card is\\\\n4111 1111 1111 1111\\"}"', "card"),
        ('"it is\\r\\nsocial security number 078051120"', "ssn"),
        ('"a\\n\\n0664 1234567"', "phone"),
        ("078-05-1120", "ssn"),
        ("078‑05‑1120", "ssn"),
        ("ssn 078051120", "ssn"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("gb82west12345698765432", "iban"),
        ("AT61-1904-3002-3457-3201 please", "iban"),
    ],
)
def test_each_kind_is_found_in_its_spellings(text: str, kind: str) -> None:
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "order H-100001, K-100001 and N-100001",
        "HX-T100 shows E-101",
        "parcel TP9803179539",
        "tracking 980317953912",
        "order number 4111111111111112",
        "on 2026-11-02, am 02.11.2026, 11/02/2026",
        "$1,299.00 or 1.299,00 €",
        "ticket 20260011234",
        "version 12.4.2003311",
        "192.168.100.200",
        "+1-555-0110",
        "000-12-3456 and 666-12-3456 and 912-12-3456",
        "DE89 3704 0044 0532 0130 01",
        "@acme_help on pods@2.5",
        "3.14159265358979",
        "2 a 5 b 10 c 1234567",
        "a@b, @, @@, a@.example",
        "",
    ],
)
def test_what_a_shop_writes_all_day_is_not_personal(text: str) -> None:
    assert find(text) == []


def test_what_is_escaped_in_json_is_found_in_it() -> None:
    said = {"said": "Jürgen Köhler\nann@mail.example"}
    once = json.dumps(said)
    assert scrubbed(once, names=["Jürgen Köhler"]) == '{"said": "<NAME>\\n<EMAIL>"}'
    assert "<NAME>" in scrubbed(json.dumps(once), names=["Jürgen Köhler"])


def test_a_number_belongs_to_its_region() -> None:
    assert find("0664 1234567", region="US") == []
    assert [span.kind for span in find("0664 1234567", region="AT")] == ["phone"]
    assert [span.kind for span in find("+43 664 1234567", region="US")] == ["phone"]


def test_the_words_before_a_number_say_what_it_is() -> None:
    assert kinds("Call me: 69 987 88 37") == ["phone"]
    assert kinds("My order: 69 987 88 37") == []
    assert kinds("The order came. Call 212 555 0142") == ["phone"]


def test_a_known_name_is_found_and_a_common_word_is_not() -> None:
    names = ["Grace Lindqvist"]
    said = "Grace lindqvist, LINDQVIST: is there a grace period, Lindqvists?"
    assert scrubbed(said, names=names) == "<NAME>, <NAME>: is there a grace period, Lindqvists?"
    assert find(said) == []


@pytest.mark.parametrize("number", ["4111111111111111", "5500000000000004", "378282246310005"])
def test_one_wrong_digit_breaks_the_check_digit(number: str) -> None:
    assert luhn(number)
    for place in range(len(number)):
        wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
        assert not luhn(wrong)


# any text


@given(st.text() | st.text(alphabet="0123456789 -+()./@.aA4DE\u200b\ud800１٤%\\u0"))
@example("\ud800 ann@mail.example \udfff")
@example("%40%40@%2B")
def test_spans_are_in_order_apart_and_inside(text: str) -> None:
    spans = find(text, names=["Ann Lee"])
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))


@given(st.text(alphabet="\u200b\u00ad\u202eäxＡ", max_size=8), st.text(alphabet="\u200b \u202e\n", max_size=3))
def test_a_span_is_where_the_value_stands_in_the_original(before: str, after: str) -> None:
    text = f"{before} 4111 1111 1111 1111{after}"
    assert find(text) == [Span("card", len(before) + 1, len(before) + 20)]


NASTY = {
    "letters": "a",
    "digits": "1",
    "groups": "1 ",
    "zeros": "0664 ",
    "plus": "+43 ",
    "at": "@",
    "a@": "a@",
    "a@a.": "a@a.",
    "dots": "a.",
    "iban": "DE89 ",
    "brackets": "(0) ",
    "invisible": "4\u200b",
    "cards": "4111 1111 1111 1112 ",
    "words": "call order ",
    "escapes": "%40",
    "backslashes": "\\",
    "JSON": "\\u0040",
    "lines": "\\n4",
}


@pytest.mark.parametrize("name", NASTY)
def test_four_times_the_text_takes_about_four_times_as_long(name: str) -> None:
    piece = NASTY[name]

    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        best = []
        for _ in range(2):
            started = time.process_time()
            find(text, names=["Ann Lee"])
            best.append(time.process_time() - started)
        return min(best)

    seconds(1_000)
    assert seconds(100_000) < 9 * seconds(25_000) + 0.02  # a square would be 16


def test_ten_megabytes_are_read() -> None:
    text = "How long is the warranty of order H-100001? " * 230_000 + "ann@mail.example"
    assert find(text) == [Span("email", len(text) - 16, len(text))]


# logs


def test_logs_are_scrubbed_with_their_arguments_and_tracebacks() -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler, log = Lines(), logging.getLogger("patterns.of.a.test")
    handler.addFilter(ScrubbedLogs())
    log.addHandler(handler)
    try:
        log.warning("%s wrote from %s", "ann@mail.example", {"phone": "+43 664 1234567"})
        try:
            raise ValueError("no card 4111 1111 1111 1111")
        except ValueError:
            log.exception("It failed")
    finally:
        log.removeHandler(handler)
    assert lines[0] == "<EMAIL> wrote from {'phone': '<PHONE>'}"
    assert "ValueError: no card <CARD>" in lines[1]
    assert "4111" not in "".join(lines)
