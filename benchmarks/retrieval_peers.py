"""The contestants of row 5, each in a process of its own: `python -m benchmarks.retrieval_peers NAME FOLDER`.

A contestant loads the data of FOLDER, builds what it searches and says so in one line of JSON on its output. Then it
answers: for each line on its input (the position of a question) one line with the seconds that its search took and the
ids of the chunks that it found. The vector of a question is given, so no time is for embedding.

Ours is `retrieval.search` as it ships, without a reranker. The peers do hybrid search with filters as their
documentation describes it: words and vectors, 50 candidates each, fused by reciprocal rank, filtered by tenant, ACL and
language. This module runs in their environments too: beside `ours` it may import nothing but `retrieval_data`.
"""

# The peers' packages are in environments of their own.
# pyright: reportMissingImports=false

import asyncio
import hashlib
import inspect
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .retrieval_data import Chunk, Question, read_chunks, read_questions, read_vectors

CANDIDATES, ANSWERS = 50, 5
MODEL, SECONDS = "made-up vectors", "built_in_seconds.txt"

# Makes ready for a question, outside the time that counts, and returns the search: ids of chunks, best first.
Search = Callable[[], list[str] | Awaitable[list[str]]]
Prepare = Callable[[Question, np.ndarray], Search]
# From the folder with the data: a contestant that is ready, and the seconds that its index took.
Build = Callable[[Path], tuple[Prepare, float]]


def metadata(chunk: Chunk) -> dict[str, Any]:
    return {"tenant": chunk.tenant, "lang": chunk.lang, "acl": list(chunk.acl)}


def ours(folder: Path) -> tuple[Prepare, float]:
    """An `Index` built by `sync` in a process that ends, and opened in this one, as after a restart.

    Building takes minutes: an index is kept beside the data for as long as the code that builds it stays the same.
    """
    from patterns.events import User
    from patterns.index import Index

    parts = sorted(str(module.__file__) for name, module in sys.modules.items() if name.startswith("patterns."))
    code = hashlib.sha256(b"".join(Path(part).read_bytes() for part in [__file__, *parts])).hexdigest()[:16]
    stored = folder.parent / f"{folder.name}-ours-{code}"
    if not (stored / SECONDS).is_file():
        for old in folder.parent.glob(f"{folder.name}-ours-*"):
            shutil.rmtree(old)
        command = [sys.executable, "-m", "benchmarks.retrieval_peers", "build", str(folder), str(stored)]
        subprocess.run(command, check=True)

    from patterns.retrieval import search

    texts = [question.text for question in read_questions(folder)]
    index = Index(stored, given(texts, read_vectors(folder, "questions")), MODEL)

    def prepare(question: Question, vector: np.ndarray) -> Search:
        user = User("C-0001", question.tenant, question.plan, question.teams, question.lang)  # type: ignore[arg-type]

        async def ids() -> list[str]:
            answers = await search(index, question.text, user, keep=ANSWERS, lang=question.lang)
            return [answer.chunk.document_id for answer in answers]

        return ids

    return prepare, float((stored / SECONDS).read_text(encoding="ascii"))


def build_ours(folder: Path, stored: Path) -> None:
    """Build the index in `stored`, and write there how many seconds `sync` took."""
    from patterns.chunking import whole
    from patterns.documents import Article
    from patterns.index import Index

    chunks = read_chunks(folder)
    articles = [
        Article(each.id, each.title, "", each.tenant, each.lang, each.acl, date(2026, 11, 1), each.text)
        for each in chunks
    ]
    index = Index(stored, given([each.text for each in chunks], read_vectors(folder, "chunks")), MODEL)
    started = time.perf_counter()
    asyncio.run(index.sync(articles, whole()))
    seconds = time.perf_counter() - started
    index.close()
    (stored / SECONDS).write_text(str(seconds), encoding="ascii")


def given(texts: Sequence[str], vectors: np.ndarray) -> Callable[[Sequence[str]], Awaitable[np.ndarray]]:
    """An embed function that knows `texts` only."""
    known = dict(zip(texts, vectors, strict=True))

    async def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([known[text] for text in texts])

    return embed


def llamaindex(chunks: list[Chunk], vectors: np.ndarray) -> Prepare:
    """One SimpleVectorStore and one BM25 index over all chunks, both with MetadataFilters.

    A BM25Retriever works out its filter when it is made, by looking at every node. Here, one is kept for each kind of
    reader, made outside the time that counts; so is every object that a question needs.
    """
    from llama_index.core import MockEmbedding, VectorStoreIndex
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import QueryBundle, TextNode
    from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
    from llama_index.retrievers.bm25 import BM25Retriever

    hidden = ["tenant", "lang", "acl"]  # a filter field is no text to search or to embed
    nodes = [
        TextNode(
            id_=chunk.id,
            text=f"{chunk.title}\n{chunk.text}",
            metadata=metadata(chunk),
            embedding=vector.tolist(),
            excluded_embed_metadata_keys=hidden,
        )
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(vectors.shape[1]))
    words = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=CANDIDATES)
    words.bm25.corpus = words.corpus  # what a retriever with other filters on the same index takes over
    kept: dict[Any, Any] = {}

    def retriever(question: Question) -> Any:
        filters = MetadataFilters(
            filters=[
                MetadataFilter(key="tenant", value=question.tenant),
                MetadataFilter(key="lang", value=question.lang),
                MetadataFilter(key="acl", value=sorted(question.scopes), operator=FilterOperator.ANY),
            ]
        )
        return QueryFusionRetriever(
            [
                index.as_retriever(similarity_top_k=CANDIDATES, filters=filters),
                BM25Retriever(existing_bm25=words.bm25, similarity_top_k=CANDIDATES, filters=filters),
            ],
            llm=MockLLM(),
            mode="reciprocal_rerank",  # type: ignore[arg-type]
            similarity_top_k=ANSWERS,
            num_queries=1,
            use_async=False,
        )

    def prepare(question: Question, vector: np.ndarray) -> Search:
        reader = (question.tenant, question.lang, question.scopes)
        if reader not in kept:
            kept[reader] = retriever(question)
        bundle = QueryBundle(question.text, embedding=vector.tolist())
        return lambda: [found.node.node_id for found in kept[reader].retrieve(bundle)]

    return prepare


def llamaindex_per_tenant(chunks: list[Chunk], vectors: np.ndarray) -> Prepare:
    """Not a filter on the tenant, but an index for each one: the same as above, 20 times, over 5,000 chunks."""
    of = np.array([chunk.tenant for chunk in chunks])
    indexes = {
        tenant: llamaindex([chunks[place] for place in np.flatnonzero(of == tenant)], vectors[of == tenant])
        for tenant in sorted(set(of.tolist()))
    }
    return lambda question, vector: indexes[question.tenant](question, vector)


def haystack(chunks: list[Chunk], vectors: np.ndarray) -> Prepare:
    """A pipeline of both retrievers of the InMemoryDocumentStore and a DocumentJoiner."""
    from haystack import Document, Pipeline
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    store = InMemoryDocumentStore()
    store.write_documents(
        [
            Document(
                id=chunk.id,
                content=f"{chunk.title}\n{chunk.text}",
                # A filter is "in" or "==" and so on: for a list that shares a tag with another, one field a tag.
                meta={"tenant": chunk.tenant, "lang": chunk.lang, **{f"acl {tag}": True for tag in chunk.acl}},
                embedding=vector.tolist(),
            )
            for chunk, vector in zip(chunks, vectors, strict=True)
        ]
    )
    pipeline = Pipeline()
    pipeline.add_component("words", InMemoryBM25Retriever(store, top_k=CANDIDATES))
    pipeline.add_component("vectors", InMemoryEmbeddingRetriever(store, top_k=CANDIDATES))
    pipeline.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=ANSWERS))
    pipeline.connect("words", "joiner")
    pipeline.connect("vectors", "joiner")

    def equal(field: str, value: Any) -> dict[str, Any]:
        return {"field": f"meta.{field}", "operator": "==", "value": value}

    def prepare(question: Question, vector: np.ndarray) -> Search:
        tags = {"operator": "OR", "conditions": [equal(f"acl {tag}", True) for tag in sorted(question.scopes)]}
        filters = {
            "operator": "AND",
            "conditions": [equal("tenant", question.tenant), equal("lang", question.lang), tags],
        }
        asked = {
            "words": {"query": question.text, "filters": filters},
            "vectors": {"query_embedding": vector.tolist(), "filters": filters},
        }
        return lambda: [found.id for found in pipeline.run(asked)["joiner"]["documents"]]

    return prepare


def in_memory(build: Callable[[list[Chunk], np.ndarray], Prepare]) -> Build:
    def from_folder(folder: Path) -> tuple[Prepare, float]:
        chunks, vectors = read_chunks(folder), read_vectors(folder, "chunks")
        started = time.perf_counter()
        return build(chunks, vectors), time.perf_counter() - started

    return from_folder


CONTESTANTS: dict[str, tuple[Build, tuple[str, ...]]] = {
    "ours": (ours, ("numpy",)),
    "llamaindex": (in_memory(llamaindex), ("llama-index-core", "llama-index-retrievers-bm25", "bm25s", "numpy")),
    "llamaindex-per-tenant": (in_memory(llamaindex_per_tenant), ()),
    "haystack": (in_memory(haystack), ("haystack-ai", "numpy")),
}


def megabytes() -> int:
    """Memory of this process that is in use now; where the system does not say so, at most so far."""
    status = Path("/proc/self/status")
    if status.is_file():
        held = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS"))
        return int(held.split()[1]) // 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)


def say(**said: Any) -> None:
    print(json.dumps(said), flush=True)


async def timed(search: Search) -> tuple[float, list[str]]:
    """In a running loop, as in an application."""
    started = time.perf_counter()
    found = search()
    found = await found if inspect.isawaitable(found) else found
    return time.perf_counter() - started, found


def serve(name: str, folder: Path) -> None:
    build, packages = CONTESTANTS[name]
    questions, asked = read_questions(folder), read_vectors(folder, "questions")
    prepare, built = build(folder)
    say(seconds=built, versions={package: version(package) for package in packages})
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            place = int(line)
            seconds, found = runner.run(timed(prepare(questions[place], asked[place])))
            say(seconds=seconds, found=found, megabytes=megabytes())


if __name__ == "__main__":
    what, *folders = sys.argv[1:]
    if what == "build":
        build_ours(*map(Path, folders))
    else:
        serve(what, *map(Path, folders))
