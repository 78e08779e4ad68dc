"""Anybody's documents, tools and cases: what is read, what is named as unread, and the assistant on top of it."""

import codecs
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patterns import (
    acme,
    complete_assistant,
    cost_estimate,
    documents,
    ledger,
    models,
    own_documents,
    own_evals,
    pdf_text,
    plain_bytes,
    tool_use,
)
from patterns import your_own_assistant as own
from patterns.errors import CallerError
from patterns.events import Answer, ConfirmationRequired, Event, ToolResult, Turn, User
from patterns.faq_search import Contact
from patterns.tools import tool

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "own" / "documents"


# reading a folder


def pdf(*pages: str | None, encrypted: bool = False) -> bytes:
    """A PDF; a page that is None is a drawn line without text, an empty one is blank."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        drawn = "0 0 m 500 500 l S" if text is None else f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    lock = ""
    if encrypted:
        zeros = "00" * 32
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{zeros}> /U <{zeros}> /P -4 >>")
        lock = f"/Encrypt {len(objects)} 0 R /ID [<00> <00>]"
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R {lock} >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good document, so that whatever is wrong with the others, something is left to read."""
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "good.md").write_text("# Good\n\nThe tea is free.\n")
    return tmp_path / "papers"


def read(folder: Path) -> own_documents.Library:
    return own_documents.read(folder, "pool")


BAD: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.txt", b"", "has no bytes"),
    "blank": ("a.md", b" \n\n--\n", "has no words"),
    "binary": ("a.txt", b"PK\x03\x04\x00\x00" * 50, "is no text"),
    "picture": ("a.txt", bytes(range(256)), "is no text"),
    "no pdf": ("a.pdf", b"hello", "is no PDF"),
    "cut pdf": ("a.pdf", pdf("text")[:200], "damaged"),
    "encrypted": ("a.pdf", pdf("text", encrypted=True), "password"),
    "scanned": ("a.pdf", pdf(None, None), "Pages 1, 2 are pictures without text"),
    "too large": ("a.txt", b"x " * 5_000_001, "has 10.0 MB, and 10 MB are allowed"),
    "office": ("a.docx", b"PK", "ends in '.docx'"),
    "no ending": ("README", b"hello", "its name has no ending"),
    "front matter": ("a.md", b"---\ntitle: [\n---\n# A\n", "front matter is no YAML"),
    "acl": ("a.md", b"---\nacl: []\n---\n# A\n\nFor the board.\n", "nobody may read it"),
    "date": ("a.md", b"---\nupdated: soon\n---\n# A\n", "not a date"),
    "hidden": (".secret.md", b"# Secret", "is hidden"),
    "html": ("a.html", b"<html><style>p {}</style><p>", "no words"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_sentence_with_a_next_step_and_the_rest_is_read(folder: Path, name: str) -> None:
    file, data, why = BAD[name]
    (folder / file).write_bytes(data)
    library = read(folder)
    assert [one.id for one in library.articles] == ["good.md"]
    ((named, said),) = library.unread
    assert named == file and why in said and said.count(". ") <= 2 and said.endswith("."), said
    assert str(folder) not in said


def test_links_loops_and_pipes_are_named_and_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "private.md").write_text("# Diary\n\nMy password is swordfish.\n")
    (folder / "loop").symlink_to(folder)
    (folder / "link.md").symlink_to(tmp_path / "private.md")
    os.mkfifo(folder / "pipe.txt")
    library = read(folder)
    assert [one.id for one in library.articles] == ["good.md"]
    assert {name: said.partition(",")[0] for name, said in library.unread} == {
        "loop": "It is a link",
        "link.md": "It is a link",
        "pipe.txt": "It is no regular file. Take it out of the folder.",
    }


def test_a_document_never_becomes_public_by_a_mistake_in_its_front_matter(folder: Path) -> None:
    for number, acl in enumerate(("[team:board]", "team:board", "[]", "null", "[1]", "{a: b}", "[team:board")):
        (folder / f"board{number}.md").write_text(f"---\nacl: {acl}\n---\n# Board\n\nWe sell the pool.\n")
    board = [one for one in read(folder).articles if "sell" in one.text]
    assert [one.acl for one in board] == [("team:board",)]


def test_the_pages_of_a_pdf_are_articles_with_their_number_and_an_address_that_opens_there(folder: Path) -> None:
    (folder / "The fees.pdf").write_bytes(pdf("Adults pay 5 euros.", None, "Children pay 2 euros."))
    library = read(folder)
    first, third = (one for one in library.articles if "pay" in one.text)
    assert (first.id, first.title, first.url) == ("the-fees.pdf.p1", "The fees, page 1", "The%20fees.pdf#page=1")
    assert (third.id, third.text) == ("the-fees.pdf.p3", "Children pay 2 euros.")
    ((name, said),) = library.unread
    assert name == "The fees.pdf" and said.startswith("Page 2 is a picture without text.")


def test_a_blank_page_is_nothing_to_complain_about(folder: Path) -> None:
    (folder / "a.pdf").write_bytes(pdf("First.", ""))
    assert pdf_text.read(pdf("First.", "")).pictures == () and read(folder).unread == ()


def test_other_encodings_are_read_and_said(folder: Path) -> None:
    (folder / "latin.txt").write_bytes("Frühstück kostet 5 €".encode("cp1252"))
    (folder / "polish.html").write_bytes('<meta charset="ISO-8859-2"><p>żółw</p>'.encode("iso-8859-2"))
    (folder / "wide.txt").write_bytes(codecs.BOM_UTF16_LE + "Größe".encode("utf-16-le"))
    (folder / "marked.txt").write_bytes(codecs.BOM_UTF8 + "Öl".encode())
    library = read(folder)
    texts = {one.id: one.text for one in library.articles}
    assert texts["latin.txt"] == "Frühstück kostet 5 €" and texts["polish.html"] == "żółw"
    assert texts["wide.txt"] == "Größe" and texts["marked.txt"] == "Öl"
    said = dict(library.assumed)
    assert "Windows-1252" in said["latin.txt"] and "iso-8859-2" in said["polish.html"] and "UTF-16" in said["wide.txt"]
    assert "marked.txt" not in said and "good.md" not in said


def test_names_that_meet_are_told_apart_and_odd_names_become_ids(folder: Path) -> None:
    for name in ("A b.md", "a-b.md", "Ü.md", "ß.md", "x" * 200 + ".md"):
        (folder / name).write_text(f"# Note\n\nThis is {len(name)} {name[:3]}.\n")
    library = read(folder)
    ids = [one.id for one in library.articles]
    assert len(set(ids)) == len(ids) == 6 and library.unread == ()
    for one in library.articles:
        documents.check(one)
    assert read(folder) == library


def test_titles_come_from_the_document_and_else_from_its_name(folder: Path) -> None:
    (folder / "one.html").write_text("<title>Fees &amp; fines</title><p>Text</p>")
    (folder / "two_of-them.txt").write_text("Text")
    (folder / "three.md").write_text("---\ntitle: Third\nupdated: 2026-01-02\n---\n# Another\n\nText\n")
    (folder / "four.md").write_text("Before\n\n## E-mail ##\n\nText\n")
    titles = {one.id: one.title for one in read(folder).articles}
    assert titles == {"good.md": "Good", "one.html": "Fees & fines", "two_of-them.txt": "two of them",
                      "three.md": "Third", "four.md": "E-mail"}  # fmt: skip
    assert next(one.updated for one in read(folder).articles if one.id == "three.md") == date(2026, 1, 2)


@pytest.mark.parametrize("what", ["nothing", "missing", "a file", "only bad ones"])
def test_a_folder_without_documents_says_so(tmp_path: Path, what: str) -> None:
    place = tmp_path / "papers"
    if what == "a file":
        place.write_text("x")
    elif what != "missing":
        place.mkdir()
    if what == "only bad ones":
        (place / "a.docx").write_bytes(b"PK")
    with pytest.raises(CallerError, match=r"a\.docx" if what == "only bad ones" else "papers"):
        own_documents.read(place, "pool")


NAMES = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=60), max_size=4), st.sampled_from([".md", ".txt", ".html", ".pdf"]))
def test_no_bytes_under_any_name_stop_the_others_and_every_file_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], ending: str
) -> None:
    place = tmp_path_factory.mktemp("papers")
    (place / "good.md").write_text("# Good\n\nThe tea is free.\n")
    for name, data in files.items():
        if name not in (".", "..") and len((name + ending).encode()) < 255:
            (place / (name + ending)).write_bytes(data)
    library = read(place)
    assert "good.md" in [one.id for one in library.articles]
    for one in library.articles:
        documents.check(one)
    there = {os.fsdecode(path.name) for path in place.iterdir()}
    assert there == {*library.files, *(name for name, _ in library.unread)}


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_utf8_is_never_taken_for_anything_else(text: str) -> None:
    if not text.startswith("\ufeff"):
        assert plain_bytes.decoded(text.encode(), "a.txt") == (text, "")


# the assistant


def hours(day: Literal["Monday", "Friday", "Sunday"]) -> str:
    """The opening hours of the pool on a day of the week."""
    return "9 to 13" if day == "Sunday" else "7 to 21"


BOOKED: list[str] = []


@tool(effect="write", question="Shall I book a lane on {day}?")
def book_lane(day: Literal["Monday", "Friday", "Sunday"]) -> dict[str, str]:
    """Book a swimming lane in the pool for a day of the week."""
    BOOKED.append(day)
    return {"booked": day}


PAPERS = {
    "sauna.md": "# Sauna\n\nThe sauna is for women only on Tuesday.\n",
    "water.txt": "The water of the big pool has 27 degrees.\n",
    "board.md": "---\nacl: [team:board]\n---\n# Board\n\nThe pool tower will be sold in March.\n",
}


@pytest.fixture
def papers(tmp_path: Path, turn_dials: Callable[..., None]) -> Path:
    turn_dials()
    folder = tmp_path / "papers"
    folder.mkdir()
    for name, text in PAPERS.items():
        (folder / name).write_text(text)
    return folder


async def test_it_answers_from_the_documents_and_names_them(papers: Path) -> None:
    seen: list[tuple[int, int]] = []
    mine = await own.assistant(papers, "Grünau pool", progress=lambda done, of: seen.append((done, of)))
    assert mine.tenant == "grunau-pool" and seen[-1] == (3, 3)
    end = await mine.ask("When is the sauna for women only?")
    assert "Tuesday" in end.text and end.confident and end.cited_chunk_ids == ("sauna.md#1",)
    ((source),) = await mine.sources(end.cited_chunk_ids, mine.user)
    assert source["url"] == "sauna.md" and "Tuesday" in source["text"]
    end = await mine.ask("Who painted the ceiling of the chapel?")
    assert not end.confident and not end.cited_chunk_ids


async def test_who_may_read_what_holds_for_own_documents_too(papers: Path) -> None:
    mine = await own.assistant(papers, "pool")
    question = "When will the pool tower be sold?"
    assert "March" not in (await mine.ask(question)).text
    board = User("chair", mine.tenant, teams=("board",))
    async with aclosing(mine.handler(Turn(question, board))) as events:
        ends = [event async for event in events if isinstance(event, Answer)]
    assert "March" in ends[0].text
    assert await mine.sources(ends[0].cited_chunk_ids, mine.user) == []


async def test_again_only_changes_cost_and_what_is_gone_is_not_found(papers: Path) -> None:
    first = await own.assistant(papers, "pool")
    again = await own.assistant(papers, "pool")
    assert first.report.embedded == 3 and (again.report.embedded, len(again.report.unchanged)) == (0, 3)
    (papers / "sauna.md").unlink()
    (papers / "water.txt").write_text("The water of the big pool has 29 degrees.\n")
    changed = await own.assistant(papers, "pool")
    assert (changed.report.deleted, changed.report.changed, changed.report.embedded) == (
        ("sauna.md",), ("water.txt",), 1,
    )  # fmt: skip
    assert "Tuesday" not in (await changed.ask("When is the sauna for women only?")).text
    assert "29" in (await changed.ask("How warm is the water of the big pool?")).text


async def test_two_folders_do_not_share_an_index_even_under_one_name(papers: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "water.txt").write_text("The water of the lake has 18 degrees.\n")
    mine = await own.assistant(papers, "pool")
    await own.assistant(other, "pool")
    assert "27" in (await mine.ask("How warm is the water of the big pool?")).text


async def events_of(mine: own.Own, question: str) -> list[Any]:
    async with aclosing(mine.handler(mine.turn(question))) as events:
        return [event async for event in events]


async def test_plain_functions_are_tools_and_a_write_waits_for_a_yes(papers: Path) -> None:
    mine = await own.assistant(papers, "pool", [hours, book_lane])
    events = await events_of(mine, "What are the opening hours of the pool on Sunday?")
    assert [event.result for event in events if isinstance(event, ToolResult)] == ["9 to 13"]
    BOOKED.clear()
    events = await events_of(mine, "Please book a swimming lane for Monday.")
    assert isinstance(events[-1], ConfirmationRequired) and BOOKED == []
    assert events[-1].question == "Shall I book a lane on Monday?"
    async with aclosing(tool_use.resume(mine.handler, events[-1].token, True, mine.user)) as rest:
        ends = [event async for event in rest]
    assert BOOKED == ["Monday"] and isinstance(ends[-1], Answer)


async def test_tools_that_a_model_cannot_tell_apart_or_know_are_refused_before_anything_is_read(papers: Path) -> None:
    def search_documents(query: str) -> str:
        """Another search."""
        return query

    def untold(day):  # type: ignore[no-untyped-def]
        """No types."""

    for tools in ([hours, hours], [search_documents], [untold], [lambda day: day]):
        with pytest.raises(CallerError) as refused:
            await own.assistant(papers, "pool", tools)
        assert refused.value.code == "unfit_tool"
    with pytest.raises(CallerError, match="no letters"):
        await own.assistant(papers, "???")
    assert ledger.default().calls() == []


async def test_without_any_model_it_still_finds_a_passage_and_tells_whom_to_call(
    papers: Path, turn_dials: Callable[..., None]
) -> None:
    mine = await own.assistant(papers, "pool", contact=Contact("desk@pool.example", "0555 0199", "daily"))
    turn_dials(outage=("standin-small", "standin-large"))
    end = await mine.ask("When is the sauna for women only?")
    assert end.served == "simplified" and "Tuesday" in end.text and "0555 0199" in end.text
    assert "acme" not in end.text.lower()


async def test_one_stack_two_worlds(papers: Path) -> None:
    mine = await own.assistant(papers, "pool")
    layers = [(one.since, one.until) for one in complete_assistant.house(mine.world)]
    assert layers == [(one.since, one.until) for one in complete_assistant.HOUSE]


async def test_nothing_of_acme_is_read(papers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package is installed without data/."""
    monkeypatch.setenv("PATTERNS_DATA", str(papers / "nowhere"))
    with pytest.raises(CallerError):
        acme.data_folder()
    mine = await own.assistant(papers, "pool", [hours])
    assert "Tuesday" in (await mine.ask("When is the sauna for women only?")).text
    run = await own_evals.run(mine, own_evals.cases([("How warm is the water of the big pool?", "27")]))
    assert not run.failed()


# the sample, its cases, and what it costs


def test_the_sample_is_read_whole_and_its_cases_name_what_is_there() -> None:
    library = own_documents.read(SAMPLE, "lindenhof-library")
    assert len(library.files) == 14 and not library.unread and not library.assumed
    assert {Path(name).suffix for name in library.files} == {".md", ".html", ".txt", ".pdf"}
    texts = {one.id: " ".join(one.text.split()) for one in library.articles}
    cases = own_evals.cases(ROOT / "data" / "own" / "evals.yaml")
    for case in cases:
        sources = [texts[name] for group in case.sources for name in group]
        said = " ".join(sources).lower()
        assert all(any(option.lower() in said for option in group) for group in case.must), case.id
        assert bool(sources) != case.unknown, case.id


def test_the_pdfs_of_the_sample_are_what_their_script_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "data" / "own"))
    import make_pdfs  # type: ignore[import-not-found]

    assert make_pdfs.pdf("Fees", make_pdfs.FEES) == (SAMPLE / "fees.pdf").read_bytes()
    assert make_pdfs.pdf("Story times", make_pdfs.STORIES) == (SAMPLE / "children" / "story-times.pdf").read_bytes()


@pytest.mark.parametrize(
    "wrong", [[], [("", "x")], [("Question?", "")], [("Question?", ())], [("Question?", ["a", " "])]]
)
def test_cases_that_check_nothing_are_refused(wrong: list[Any]) -> None:
    with pytest.raises(CallerError):
        own_evals.cases(wrong)


async def test_a_run_counts_the_calls_of_its_own_assistant_only(papers: Path) -> None:
    mine, other = await own.assistant(papers, "pool"), await own.assistant(papers, "other pool")

    async def with_others_about(turn: Turn) -> AsyncGenerator[Event, None]:
        await other.ask(f"How warm is the water of the big pool? {turn.text}")
        async with aclosing(mine.handler(turn)) as events:
            async for event in events:
                yield event

    cases = own_evals.cases([("How warm is the water of the big pool?", "27"), ("Why?", None)])
    run = await own_evals.run(mine, cases, handler=with_others_about)
    assert "other-pool" in {call.tenant for call in ledger.default().calls()}
    assert {call.tenant for call in run.calls} == {"pool"} and len(cost_estimate.tokens(run.calls)) == 2
    assert "1 of  1" in run.table()


def question(*calls: tuple[str, int, int]) -> list[cost_estimate.Tokens]:
    return [cost_estimate.Tokens(*one) for one in calls]


def test_the_month_is_a_range_and_each_of_its_ends_can_be_done_by_hand() -> None:
    tiers = models.tiers_of("standin")  # small 0.25 and 1.00, large 2.00 and 8.00 dollars a million
    same = [question(("small", 1000, 100), ("large", 1000, 100))] * 8
    one = (1000 * 0.25 + 100 * 1.0 + 1000 * 2.0 + 100 * 8.0) / 1e6
    found = cost_estimate.month(same, tiers, users=10, a_day=(1, 3), cached=(0.0, 0.5))
    assert found.question == pytest.approx((one, one, one))
    assert (found.low, found.middle, found.high) == pytest.approx((300 * 0.5 * one, 600 * 0.75 * one, 900 * one))
    mixed = cost_estimate.month([*same, question(("large", 50_000, 1000))], tiers, users=10)
    low, middle, high = mixed.question
    assert low < middle < high and mixed.low < mixed.middle < mixed.high
    assert "between" in str(mixed) and cost_estimate.month(same, tiers, users=0).high == 0


@pytest.mark.parametrize(
    ("dollars", "said"), [(0, "$0"), (0.0000123, "$0.000012"), (0.0996, "$0.10"), (4.26, "$4.3"), (12345, "$12,000")]
)
def test_dollars_have_two_digits_that_count(dollars: float, said: str) -> None:
    month = cost_estimate.Month((dollars, dollars, dollars), dollars, dollars, dollars, 30)
    assert str(month).startswith(f"one question {said} (95%") and str(month).endswith(f"and {said})")


def test_an_unknown_price_is_an_error_and_no_zero() -> None:
    with pytest.raises(CallerError, match="price"):
        cost_estimate.month([question(("nothing", 10, 10))], models.tiers_of("standin"), users=1)
    assert models.tiers_of("openai")["large"].input
    ranges: Any = ({"users": -1}, {"users": 1, "a_day": (3.0, 1.0)}, {"users": 1, "cached": (0.2, 1.5)})
    for wrong in ranges:
        with pytest.raises(CallerError, match="ranges"):
            cost_estimate.month([question(("large", 1, 1))], models.tiers_of("standin"), **wrong)
    with pytest.raises(CallerError, match="no call"):
        cost_estimate.tokens([])
