"""Names that nobody told us: found where the environment asks for it, with the package of the extra `pii`."""

import os
import time
from importlib.util import find_spec
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import acme, person_names, pii
from patterns.errors import CallerError

MISSING = find_spec("names") is None
needs_names = pytest.mark.skipif(MISSING and not os.environ.get("CI"), reason="the extra `pii` is not installed")


def said(text: str) -> list[str]:
    return [text[start:end] for start, end in person_names.people(text)]


@needs_names
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("My name is Qwertia Zzz-Opp, hello.", ["Qwertia Zzz-Opp"]),
        ("ich heiße Ömür Ünlü", ["Ömür Ünlü"]),
        ("Ask Mrs. Qwertia or Herr Zzopp.", ["Qwertia", "Zzopp"]),
        ("I gave it to Patricia Zzopp.", ["Patricia Zzopp"]),
        ("Patricia has it.", ["Patricia"]),
        ("Best regards,\nQwertia Zzopp\nGraz", ["Qwertia Zzopp"]),
        ("Jean-Luc O’Neil", []),
        ("She will call Mary, John and Robert O'Neil", ["Mary", "John", "Robert O'Neil"]),
    ],
)
def test_who_is_introduced_or_has_a_common_first_name_is_found(text: str, names: list[str]) -> None:
    assert said(text) == names


@needs_names
def test_no_article_of_the_help_centre_names_a_person() -> None:
    articles = [f"{article.title}\n{article.text}" for article in acme.articles()]
    assert sum(map(len, articles)) > 100_000
    assert [name for text in articles for name in said(text)] == []


@needs_names
@given(st.text() | st.text(alphabet="MaryJohn .,'’-\n"))
def test_names_are_in_order_apart_and_inside(text: str) -> None:
    places = list(person_names.people(text))
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(one[1] <= other[0] for one, other in pairwise(places))


@needs_names
@pytest.mark.parametrize("piece", ["Mary ", "Mary", "my name is ", "M", "Mr ", "O'", "a-"])
def test_four_times_the_text_takes_about_four_times_as_long(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        best = []
        for _ in range(2):
            started = time.process_time()
            said(text)
            best.append(time.process_time() - started)
        return min(best)

    seconds(1_000)
    assert seconds(100_000) < 9 * seconds(25_000) + 0.02


@needs_names
def test_pii_finds_them_where_the_environment_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Patricia Zzopp wrote from ann@mail.example."
    monkeypatch.delenv("PATTERNS_NAMES", raising=False)
    assert pii.scrubbed(text) == "Patricia Zzopp wrote from <EMAIL>."
    monkeypatch.setenv("PATTERNS_NAMES", "1")
    assert pii.scrubbed(text) == "<NAME> wrote from <EMAIL>."
    assert pii.scrubbed(text, names=["Patricia Zzopp"]) == "<NAME> wrote from <EMAIL>."


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(person_names, "import_module", missing)
    person_names.first_names.cache_clear()
    monkeypatch.setenv("PATTERNS_NAMES", "1")
    with pytest.raises(CallerError, match="extra `pii`"):
        pii.find("Patricia")
    monkeypatch.delenv("PATTERNS_NAMES")
    assert pii.find("Patricia") == []
