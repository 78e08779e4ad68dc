"""The index: nobody sees what is not theirs, a sync follows its source, and nothing is ever half there."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import metrics
from patterns.chunking import Chunk, recursive, sections, whole
from patterns.documents import Article
from patterns.errors import CallerError, ProviderError
from patterns.events import Plan, User
from patterns.index import Index, Report, Scope
from patterns.index import folder as index_folder
from patterns.index.folder import IndexFolder

DIMENSION = 16
DAY = date(2026, 1, 1)
READER = Scope("acme", frozenset(["public"]))
WORDS = ["refund", "parcel", "camera", "battery", "invoice", "doorbell", "plan", "café", "Größe", "HX-B005", "alarm"]


class Model:
    """An embedding model without meaning: a vector that depends on the text only. `asked` holds what it was asked."""

    def __init__(self, dimension: int = DIMENSION) -> None:
        self.dimension = dimension
        self.asked: list[str] = []

    async def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        assert len(texts) <= 128
        return np.stack([vector_of(text, self.dimension) for text in texts])


def vector_of(text: str, dimension: int = DIMENSION) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


def article(number: int = 1, text: str = "", tenant: str = "acme", **changes: Any) -> Article:
    text = text or f"The refund of parcel {number} takes days."
    made = Article(f"doc-{number}", f"Title {number}", "", tenant, "en", ("public",), DAY, text)
    return replace(made, **changes)


def found(index: Index, question: str = "refund", scope: Scope = READER) -> list[str]:
    return sorted(hit.chunk_id for hit in index.search_words(question, scope, 1000))


def near(index: Index, scope: Scope = READER, text: str = "anything", limit: int = 1000) -> list[str]:
    return [hit.chunk_id for hit in index.search_vectors(vector_of(text), scope, limit)]


Opening = Callable[..., Index]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opening]:
    """Opens the index of the test, again and again if need be."""
    indexes: list[Index] = []

    def open_index(embed: Any = None, model: str = "random-16", folder: str = "index", **options: Any) -> Index:
        indexes.append(Index(tmp_path / folder, embed or Model(), model, **options))
        return indexes[-1]

    yield open_index
    for index in indexes:
        index.close()


# a sync follows its source


async def test_a_second_sync_of_the_same_does_nothing(opened: Opening) -> None:
    model = Model()
    index = opened(model)
    source = [article(number) for number in range(300)]
    first = await index.sync(source, whole())
    version, asked = index.version("acme"), len(model.asked)
    assert (len(first.added), first.chunks, first.embedded) == (300, 300, 300) and asked == 300
    assert len(found(index)) == len(near(index)) == 300
    second = await index.sync(source, whole())
    ids = tuple(one.id for one in source)
    assert second == Report((), (), ids, (), (), 300, 0)
    assert len(model.asked) == asked and index.version("acme") == version


async def test_only_what_changed_is_embedded(opened: Opening) -> None:
    model = Model()
    index = opened(model)
    await index.sync([article(1), article(2)], whole())
    report = await index.sync([article(1), article(2, "The refund is new."), article(3)], whole())
    assert (report.added, report.changed, report.unchanged) == (("doc-3",), ("doc-2",), ("doc-1",))
    assert report.embedded == 2 and model.asked.count(article(1).text) == 1
    assert index.chunks(["doc-2#1"], READER)[0].text == "The refund is new."
    assert near(index, text="The refund is new.")[0] == "doc-2#1"
    assert found(index, "parcel") == ["doc-1#1", "doc-3#1"]


async def test_what_is_gone_from_the_source_is_gone(opened: Opening) -> None:
    index = opened()
    other = Scope("acme-nord", frozenset(["public"]))
    await index.sync([article(1), article(2), article(1, tenant="acme-nord")], whole())
    assert found(index, scope=other) == near(index, other) == ["doc-1#1"]
    report = await index.sync([article(2)], whole())
    assert sorted(report.deleted) == ["doc-1", "doc-1"] and report.chunks == 1
    assert found(index) == near(index) == ["doc-2#1"]
    assert found(index, scope=other) == near(index, other) == []
    assert index.chunks(["doc-1#1"], READER) == index.chunks(["doc-1#1"], other) == []
    assert index.version("acme-nord") == index.version("never-seen")


async def test_a_longer_document_that_becomes_short_leaves_no_chunk_behind(opened: Opening) -> None:
    index = opened()
    await index.sync([article(1, "\n\n".join(f"Refund number {n} is paid." for n in range(9)))], recursive(10))
    assert len(found(index)) > 3
    await index.sync([article(1)], recursive(10))
    assert len(found(index)) == len(near(index)) == len(index.chunks([f"doc-1#{n}" for n in range(9)], READER))


async def test_a_change_of_metadata_alone_counts_at_once_and_embeds_nothing(opened: Opening) -> None:
    index = opened()
    await index.sync([article(1)], whole())
    version = index.version("acme")
    assert found(index) == near(index) == ["doc-1#1"]
    report = await index.sync([article(1, acl=("team:staff",))], whole())
    assert (report.changed, report.embedded) == (("doc-1",), 0)
    assert found(index) == near(index) == index.chunks(["doc-1#1"], READER) == []
    staff = Scope("acme", frozenset(["team:staff"]))
    assert found(index, scope=staff) == near(index, staff) == ["doc-1#1"]
    assert index.version("acme") != version
    await index.sync([article(1)], whole())
    assert index.version("acme") == version, "the same content has the same version again"


async def test_another_chunker_takes_effect_and_embeds_new_texts_only(opened: Opening) -> None:
    model = Model()
    index = opened(model)
    long = article(1, "# A\n\nFirst part.\n\n# B\n\nSecond part.")
    await index.sync([long], sections())
    report = await index.sync([long], whole())
    assert (report.changed, report.embedded, found(index, "part")) == (("doc-1",), 1, ["doc-1#1"])
    asked = len(model.asked)
    assert (await index.sync([long], sections())).embedded == 0
    other = opened(model, folder="other")  # its first text tells it the dimension; all others are known
    assert (await other.sync([long], sections())).embedded == 1
    assert len(model.asked) == asked + 1


async def test_progress_counts_up_to_all_documents(opened: Opening) -> None:
    seen: list[tuple[int, int]] = []
    await opened().sync([article(n) for n in range(200)], whole(), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (200, 200) and len({done for done, _ in seen}) > 2


# what cannot be used


async def test_duplicate_ids_are_refused_before_anything_changes(opened: Opening) -> None:
    index = opened()
    await index.sync([article(1)], whole())
    with pytest.raises(CallerError, match="doc-2") as caught:
        await index.sync([article(2), article(2, "other")], whole())
    assert caught.value.code == "duplicate_id"
    assert found(index) == ["doc-1#1"]


async def test_one_bad_document_does_not_stop_the_others_and_keeps_its_old_version(opened: Opening) -> None:
    index = opened()
    await index.sync([article(1)], whole())
    bad = [article(1, "   "), article(2, "x" * 50, tenant="../up"), article(3, acl=()), article(4)]
    report = await index.sync(bad, whole())
    assert [name for name, _ in report.failed] == ["doc-1", "doc-2", "doc-3"]
    assert all(message for _, message in report.failed) and report.added == ("doc-4",) and not report.deleted
    assert found(index) == ["doc-1#1", "doc-4#1"]


async def test_a_text_that_the_model_refuses_fails_its_own_document_only(opened: Opening) -> None:
    async def picky(texts: Sequence[str]) -> np.ndarray:
        if any("forbidden" in text for text in texts):
            raise CallerError("The text is too long.", "Cut it.", "context_too_long")
        return await Model()(texts)

    index = opened(picky)
    report = await index.sync([article(1), article(2, "forbidden refund"), article(3)], whole())
    assert report.added == ("doc-1", "doc-3")
    assert report.failed == (("doc-2", "The text is too long. Cut it."),)


async def test_a_chunker_that_numbers_badly_fails_the_document_and_leaves_nothing_of_it(opened: Opening) -> None:
    def twins(given: Article) -> list[Chunk]:
        return whole()(given) * 2

    index = opened()
    report = await index.sync([article(1)], twins)
    assert [name for name, _ in report.failed] == ["doc-1"] and report.chunks == 0
    assert found(index) == near(index) == []


async def test_a_provider_that_fails_ends_the_sync_and_the_next_one_goes_on(opened: Opening) -> None:
    class Flaky(Model):
        broken = True

        async def __call__(self, texts: Sequence[str]) -> np.ndarray:
            if self.broken and len(self.asked) > 150:
                raise ProviderError("It is down.", "Try later.", "unreachable", transient=True)
            return await super().__call__(texts)

    model = Flaky()
    index = opened(model)
    source = [article(number) for number in range(400)]
    with pytest.raises(ProviderError):
        await index.sync(source, whole())
    there = len(found(index))
    assert 0 < there < 400 and there == len(near(index))
    model.broken = False
    report = await index.sync(source, whole())
    assert len(report.unchanged) == there and len(model.asked) == 400
    assert len(found(index)) == 400


@pytest.mark.parametrize(
    "vectors", [np.full((1, 16), np.nan), np.ones((2, 16)), np.ones(16), np.ones((1, 0)), np.full((1, 16), np.inf)]
)
async def test_vectors_that_are_none_are_refused(opened: Opening, vectors: np.ndarray) -> None:
    async def broken(texts: Sequence[str]) -> np.ndarray:
        return vectors

    index = opened(broken)
    with pytest.raises(CallerError) as caught:
        await index.sync([article(1)], whole())
    assert caught.value.code == "bad_vectors" and found(index) == []
    with pytest.raises(CallerError, match="finite"):
        index.search_vectors(np.full(16, np.nan), READER, 5)


async def test_another_model_is_refused_when_opening_syncing_and_searching(opened: Opening) -> None:
    index = opened()
    late = opened(Model(), "other-model")  # nothing is in the folder yet
    await index.sync([article(1)], whole())
    for attempt in (lambda: opened(Model(), "other-model"), lambda: near(late)):
        with pytest.raises(CallerError) as caught:
            attempt()
        assert caught.value.code == "mixed_embeddings"
        assert all(part in str(caught.value) for part in ("random-16", "16", "other-model", "Index.rebuild"))
    with pytest.raises(CallerError, match="other-model"):
        await late.sync([article(2)], whole())
    assert found(index) == ["doc-1#1"]


async def test_another_dimension_is_refused_and_rebuild_is_the_way_out(opened: Opening, tmp_path: Path) -> None:
    index = opened()
    await index.sync([article(1), article(1, tenant="acme-nord")], whole())
    with pytest.raises(CallerError, match=r"16 dimensions.*8 dimensions") as caught:
        await opened(Model(8)).sync([article(2)], whole())
    assert caught.value.code == "mixed_embeddings"
    with pytest.raises(CallerError, match=r"16 dimensions.*8 dimensions"):
        index.search_vectors(vector_of("x", 8), READER, 5)
    rebuilt = await Index.rebuild(tmp_path / "index", Model(8), "random-8", 0)
    assert (await rebuilt.sync([article(2)], whole())).chunks == 1
    assert [hit.chunk_id for hit in rebuilt.search_vectors(vector_of("x", 8), READER, 5)] == ["doc-2#1"]
    assert metrics.value("index.chroma_failed") == 0
    with pytest.raises(CallerError, match="random-8"):
        near(index)
    rebuilt.close()


# who sees what


def forbidden(chunk: Chunk, user: User, scope: Scope) -> bool:
    """The rule, written a second time."""
    plans = ["basic", "plus", "pro"]
    tags = {"public", *("team:" + team for team in user.teams)}
    tags |= {f"plan:{plan}" for plan in plans if plans.index(plan) <= plans.index(user.plan)}
    fresh = scope.updated_since is None or chunk.updated >= scope.updated_since
    return not (chunk.tenant == user.tenant and tags & set(chunk.acl) and chunk.lang == user.language and fresh)


TENANTS = ["acme-home", "acme-kitchen", "acme-nord", "a.b", "a-b", "a_b", "con"]
TAGS = ["public", "plan:basic", "plan:plus", "plan:pro", "team:a-b", "team:a_b", "team:A_b", "team:ed", "team:e"]
PLANS: list[Plan] = ["basic", "plus", "pro"]


def random_articles(chance: random.Random, count: int) -> list[Article]:
    return [
        Article(
            f"doc-{number}", chance.choice(WORDS), "", tenant, chance.choice(["en", "de"]),
            tuple(chance.sample(TAGS, chance.choice([1, 1, 2, 3]))), DAY + timedelta(days=chance.randrange(100)),
            " ".join(chance.choices(WORDS, k=12)) + f" {tenant} {number}",
        )
        for tenant in TENANTS
        for number in range(count)
    ]  # fmt: skip


def random_scope(chance: random.Random) -> tuple[User, Scope]:
    teams = tuple(tag[5:] for tag in TAGS if tag.startswith("team:") and chance.random() < 0.3)
    user = User("C-1", chance.choice(TENANTS), chance.choice(PLANS), teams, chance.choice(["en", "de"]))
    since = DAY + timedelta(days=chance.randrange(100)) if chance.random() < 0.3 else None
    return user, replace(Scope.of(user), updated_since=since)


async def test_ten_thousand_readers_see_nothing_that_is_not_theirs(opened: Opening) -> None:
    chance = random.Random(7)
    index = opened()
    source = random_articles(chance, 60)
    await index.sync(source, whole())
    chunks: dict[str, list[Chunk]] = defaultdict(list)
    for one in source:
        chunks[one.tenant] += whole()(one)
    every_id = [f"doc-{number}#1" for number in range(60)]
    leaks, shown = 0, 0
    for _ in range(10_000):
        user, scope = random_scope(chance)
        by_id = {chunk.id: chunk for chunk in chunks[user.tenant]}
        mine = {chunk.id for chunk in by_id.values() if not forbidden(chunk, user, scope)}
        question = " ".join(chance.choices(WORDS, k=3))
        words, vectors = index.search_words(question, scope, 5), index.search_vectors(vector_of(question), scope, 5)
        hits = [*words, *vectors]
        leaks += sum(hit.chunk_id not in mine for hit in hits)
        assert len({hit.chunk_id for hit in vectors}) == min(5, len(mine)), "filtered after the ranking"
        matching = {one for one in mine if not set(question.split()).isdisjoint(by_id[one].text.split())}
        titled = {one for one in mine if by_id[one].title in question.split()}
        assert len({hit.chunk_id for hit in words}) == min(5, len(matching | titled)), "filtered after the ranking"
        asked = chance.sample(every_id, 6)
        read = index.chunks(asked, scope)
        leaks += sum(forbidden(chunk, user, scope) for chunk in read)
        assert {chunk.id for chunk in read} == mine & set(asked)
        shown += len(hits)
    assert leaks == 0 and shown > 10_000


async def test_chroma_and_the_exact_scan_find_the_same(opened: Opening) -> None:
    chance = random.Random(3)
    index, large = opened(), opened(scan_rows=0)
    await index.sync(random_articles(chance, 60), whole())
    for _ in range(200):
        _, scope = random_scope(chance)
        text, everything = str(chance.random()), 60
        scan = index.search_vectors(vector_of(text), scope, everything)
        asked = large.search_vectors(vector_of(text), scope, everything)
        assert [hit.chunk_id for hit in asked] == [hit.chunk_id for hit in scan] or [
            hit.score for hit in asked
        ] == pytest.approx([hit.score for hit in scan], abs=2e-4)
    assert metrics.value("index.chroma_failed") == 0
    nobody = Scope("acme-home", frozenset())
    assert near(large, nobody) == near(index, nobody) == found(index, scope=nobody) == []


async def test_chroma_is_read_and_is_not_needed(opened: Opening, tmp_path: Path) -> None:
    index = opened(scan_rows=0)
    await index.sync([article(1), article(2)], whole())
    with index._folder.tenant("acme") as chunks:
        assert index._folder.chroma.keys("acme") == set(chunks.keys())
        key = chunks.keys()[0]
    index._folder.chroma.remove("acme", [key])  # whoever reads there does not find it now
    assert len(near(index)) == 1
    index._folder.chroma._open(0.0).delete_collection("tenant-acme-chunks")
    before = metrics.value("index.chroma_failed")
    assert len(near(index)) in (0, 2)
    index.close()
    for path in (tmp_path / "index" / "chroma").iterdir():
        if path.is_file():
            path.unlink()
    again = opened(scan_rows=0)
    assert len(near(again)) == 2 and metrics.value("index.chroma_failed") >= before
    assert (await again.sync([article(1), article(2)], whole())).embedded == 0
    assert len(again._folder.chroma.keys("acme")) == len(near(again)) == 2


async def test_tricky_tenants_stay_apart_and_no_name_leaves_the_folder(opened: Opening, tmp_path: Path) -> None:
    index = opened(scan_rows=0)
    names = ["a.b", "a-b", "a_b", "a..b", "adb", "a.", "a-", "a.sqlite3-wal", "con", "index", "chroma", "0", "x" * 128]
    await index.sync([article(1, f"The refund of {name}.", tenant=name) for name in names], whole())
    for name in names:
        scope = Scope(name, frozenset(["public"]))
        assert found(index, scope=scope) == near(index, scope) == ["doc-1#1"]
        assert index.chunks(["doc-1#1"], scope)[0].text == f"The refund of {name}."
    for name in ("", "..", "../acme", "a/b", "A.B", "a\\b", "a\0", ".hidden", "x" * 129, "ä"):
        for ask in (found, near, lambda index, scope: index.chunks(["doc-1#1"], scope)):
            with pytest.raises(CallerError, match="no name of a tenant"):
                ask(index, scope=Scope(name, frozenset(["public"])))
    assert sorted(os.listdir(tmp_path)) == ["index", "state"]  # noqa: PTH208
    before = index._folder.tenants()
    assert found(index, scope=Scope("unknown", frozenset(["public"]))) == [] and index._folder.tenants() == before


# words are words


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATTERNS_STATE", str(folder / "state"))
        index = Index(folder / "index", Model(), "random-16")
        secret = article(9, "secret refund", acl=("team:staff",))
        asyncio.run(index.sync([article(1), article(2, "Café Größe HX-B005, naïve"), secret], whole()))
    yield index
    index.close()


SYNTAX = st.sampled_from(
    ['"', "*", "(", ")", "AND", "OR", "NOT", "NEAR(", "acl", "lang", ":", "^", "+", "-", "{title text}", "'", ";", "\0",
     "x7465616d3a73746166660", "secret", "refund", " ", "\ud800", "\U0001e900", "é", "_", "İ"]
)  # fmt: skip


@given(st.lists(st.one_of(SYNTAX, st.text(st.characters(exclude_categories=[]))), max_size=30).map(" ".join))
def test_any_text_is_a_question_and_none_is_syntax(small: Index, question: str) -> None:
    hits = small.search_words(question, READER, 10)
    assert {hit.chunk_id for hit in hits} <= {"doc-1#1", "doc-2#1"}
    assert all(hit.score > 0 for hit in hits)


@pytest.mark.parametrize("question", ["cafe", "CAFÉ", "cafe\u0301", "grosse größe", "b005", "Is the HX-B005 naive?"])
def test_words_match_without_accents_and_case(small: Index, question: str) -> None:
    assert found(small, question) == ["doc-2#1"]


@pytest.mark.parametrize("question", ["", "?!", "_", "\U0001e900", "the of a", "  \n"])
def test_a_question_without_words_finds_little_and_fails_never(small: Index, question: str) -> None:
    assert set(found(small, question)) <= {"doc-1#1", "doc-2#1"}
    assert small.search_words(question + " refund", READER, 0) == small.search_vectors(vector_of("x"), READER, 0) == []
    assert small.search_words("refund", READER, -1) == small.search_vectors(vector_of("x"), READER, -1) == []


def test_a_very_long_question_is_answered(small: Index) -> None:
    assert found(small, "refund " + " ".join(f"word{number}" for number in range(20_000))) == ["doc-1#1"]


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=20), max_size=10))
def test_any_ids_can_be_asked_for(small: Index, ids: list[str]) -> None:
    assert small.chunks([*ids, "doc-9#1", "doc-2#1", "doc-1#1"], READER)[-2:] == small.chunks(
        ["doc-2#1", "doc-1#1"], READER
    )


# processes


def parts_of(number: int, version: int) -> str:
    count = 1 + (number + version) % 4
    return "\n\n".join(f"Refund {number} in version {version} part {part} of {count}." for part in range(count))


def corpus(version: int) -> list[Article]:
    """30 documents for two tenants; each names its version in every part, and some come and go."""
    return [
        article(number, parts_of(number, version), tenant=tenant)
        for tenant in ("acme", "acme-nord")
        for number in range(15)
        if (number + version) % 7
    ]


def check_whole(index: Index) -> set[str]:
    """Every visible document is there in all its parts, and all are of one version. Returns the versions seen."""
    versions: set[str] = set()
    for tenant in ("acme", "acme-nord"):
        ids = [f"doc-{number}#{part}" for number in range(15) for part in range(1, 6)]
        seen: dict[str, list[list[str]]] = defaultdict(list)
        for chunk in index.chunks(ids, Scope(tenant, frozenset(["public"]))):
            seen[chunk.document_id].append(chunk.text.rstrip(".").split())
        for texts in seen.values():
            assert {text[4] for text in texts} == {texts[0][4]}, texts
            assert [text[6] for text in texts] == [str(part) for part in range(int(texts[0][8]))], texts
            versions.add(texts[0][4])
    return versions


async def write_for_ever(folder: Path) -> None:
    index = Index(folder, Model(), "random-16")
    version = 1
    while True:
        await index.sync(corpus(version), recursive(12))
        print(version, flush=True)
        version += 1


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Starts another process that syncs on and on; it has synced once when the call returns."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, __file__, str(tmp_path / "index")]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        assert started[-1].stdout and started[-1].stdout.readline()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


async def test_a_killed_sync_leaves_whole_documents_and_the_next_one_repairs(
    opened: Opening, writer: Callable[[], "subprocess.Popen[str]"]
) -> None:
    chance = random.Random()
    scope = Scope("acme", frozenset(["public"]))
    for _ in range(4):
        process = writer()
        await asyncio.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.wait()
        with closing(opened(scan_rows=0)) as index:
            check_whole(index)
            words, scanned = found(index, "refund", scope), near(index, scope)
            assert words == sorted(scanned) and words
    index = opened(scan_rows=0)
    report = await index.sync(corpus(0), recursive(12))
    assert not report.failed and check_whole(index) == {"0"}
    for tenant in ("acme", "acme-nord"):
        with index._folder.tenant(tenant) as chunks:
            assert index._folder.chroma.keys(tenant) == set(chunks.keys()), "orphans"
    assert sorted(near(index, scope)) == found(index, "refund", scope)
    assert metrics.value("index.chroma_failed") == 0


async def test_a_reader_beside_a_writer_sees_whole_documents(
    opened: Opening, writer: Callable[[], "subprocess.Popen[str]"]
) -> None:
    writer()
    index = opened(scan_rows=0)
    versions: set[str] = set()
    until = time.monotonic() + 30
    while len(versions) < 4 and time.monotonic() < until:
        versions |= check_whole(index)
        assert found(index) and near(index)
    assert len(versions) >= 4


async def test_a_sync_waits_for_the_other_one(opened: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = opened(), opened()
    reports = await asyncio.gather(first.sync([article(1)], whole()), second.sync([article(1)], whole()))
    assert sorted(len(report.added) for report in reports) == [0, 1]
    monkeypatch.setattr(index_folder, "LOCK_SECONDS", 0.1)
    async with first._folder.alone():
        with pytest.raises(CallerError) as caught:
            await second.sync([], whole())
    assert caught.value.code == "index_busy" and found(second) == ["doc-1#1"]
    assert (await second.sync([], whole())).deleted == ("doc-1",)


async def test_many_tenants_do_not_keep_many_files_open(opened: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_folder, "OPEN_TENANTS", 3)
    index = opened()
    await index.sync([article(1, tenant=f"t{number}") for number in range(10)], whole())
    assert all(found(index, scope=Scope(f"t{number}", frozenset(["public"]))) for number in range(10))
    assert len(index._folder._open) == 3


async def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CallerError) as caught:
        Index(tmp_path / "file", Model(), "random-16")
    assert caught.value.code == "store_unwritable"
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "index.sqlite3").write_bytes(b"this is no database, whatever its name is" * 100)
    with pytest.raises(CallerError, match="cannot be used"):
        IndexFolder(tmp_path / "index")


if __name__ == "__main__":
    asyncio.run(write_for_ever(Path(sys.argv[1])))
