"""Row 6: what a cache hit costs, next to GPTCache.

Each contestant is a process of its own that holds the same QUESTIONS with the same vectors, and answers from its cache.
Embedding is left out on both sides: the vector of the question is given.

    python -m benchmarks.caching work NAME      a contestant; reads how many hits to make, prints seconds a hit
"""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from . import measure
from .measure import Entry, Skipped

ROUNDS, EXACT_HITS, SEMANTIC_HITS, SLOW_HITS = 21, 2_000, 400, 10
QUESTIONS, DIMENSION = 1_000, 384
GPTCACHE, BESIDE = "gptcache==0.1.44", ("faiss-cpu==1.15.1", "sqlalchemy==2.1.9")
ANSWER = "24 months from the day of delivery."

# the contestants: each returns a function that makes some hits and returns the seconds of one


def asked(number: int) -> tuple[str, str]:
    """A question that is stored, and the same in other words."""
    return f"What does error E-{number} mean?", f"What is the meaning of the code E-{number}?"


def vectors() -> tuple[Any, Any]:
    """Those of the stored questions and of the same in other words, at a cosine of 0.9 or so."""
    import numpy as np

    dice = np.random.default_rng(6)
    stored = dice.standard_normal((QUESTIONS, DIMENSION)).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    other = stored + 0.025 * dice.standard_normal(stored.shape).astype(np.float32)
    return stored, other / np.linalg.norm(other, axis=1, keepdims=True)


def ours(semantic: bool) -> Callable[[int], float]:
    from patterns import caching, calls
    from patterns.events import Answer, Event, TextDelta, Turn, answer

    given: dict[str, Any] = {}
    for number, (stored, other) in enumerate(zip(*vectors(), strict=True)):
        given |= dict(zip(asked(number), (stored, other), strict=True))

    async def embed(texts: list[str], **_: str) -> list[Any]:
        return [given[text] for text in texts]

    async def recipe(turn: Turn) -> str:
        return "models, prompt, tools and version of the articles: 200 characters or so".ljust(200)

    async def model(turn: Turn) -> AsyncGenerator[Event, None]:
        yield TextDelta(ANSWER)
        yield Answer(text=ANSWER, cited_chunk_ids=("home-warranty#1",), tier="large", cost_usd=0.001)

    loop = asyncio.new_event_loop()
    handler = (caching.semantic_cache(recipe, 0.7) if semantic else caching.response_cache(recipe))(model)

    async def hits(count: int) -> float:
        turns = [Turn(asked(number % QUESTIONS)[semantic]) for number in range(count)]
        started = time.perf_counter()
        for turn in turns:
            end = await answer(handler, turn)
            assert end.served == "cached"
        return (time.perf_counter() - started) / count

    async def fill() -> None:
        for number in range(QUESTIONS):
            await answer(handler, Turn(asked(number)[0]))

    patch.object(calls, "embed", embed).start()
    loop.run_until_complete(fill())
    return lambda count: loop.run_until_complete(hits(count))


def gptcache(store: str) -> Callable[[int], float]:
    """`store`: "map" is its default, exact and in memory; "sqlite" is SQLite with FAISS, by distance."""
    from gptcache import Cache  # pyright: ignore[reportMissingImports]
    from gptcache.adapter.api import get  # pyright: ignore[reportMissingImports]
    from gptcache.processor.pre import get_prompt  # pyright: ignore[reportMissingImports]

    cache, semantic = Cache(), store == "sqlite"
    if semantic:
        from gptcache.manager import CacheBase, VectorBase, get_data_manager  # pyright: ignore[reportMissingImports]
        from gptcache.similarity_evaluation import SearchDistanceEvaluation  # pyright: ignore[reportMissingImports]

        given: dict[str, Any] = {}
        for number, (stored, other) in enumerate(zip(*vectors(), strict=True)):
            given |= dict(zip(asked(number), (stored, other), strict=True))
        cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=lambda prompt, **_: given[prompt],
            data_manager=get_data_manager(CacheBase("sqlite"), VectorBase("faiss", dimension=DIMENSION)),
            similarity_evaluation=SearchDistanceEvaluation(),
        )
    else:
        cache.init(pre_embedding_func=get_prompt)
    cache.import_data([asked(number)[0] for number in range(QUESTIONS)], [ANSWER] * QUESTIONS)

    def hits(count: int) -> float:
        prompts = [asked(number % QUESTIONS)[semantic] for number in range(count)]
        started = time.perf_counter()
        for prompt in prompts:
            assert get(prompt, cache_obj=cache) == ANSWER
        return (time.perf_counter() - started) / count

    return hits


CONTESTANTS: dict[str, Callable[[], Callable[[int], float]]] = {
    "ours-exact": lambda: ours(False),
    "ours-semantic": lambda: ours(True),
    "gptcache-map": lambda: gptcache("map"),
    "gptcache-sqlite": lambda: gptcache("sqlite"),
}


def work(name: str) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # a library that greets must not be taken for a result
        hits = CONTESTANTS[name]()
    print("ready", flush=True)
    for line in sys.stdin:
        print(hits(int(line)), flush=True)


# the measurement


def _peer() -> Path:
    """The Python that has GPTCache, FAISS and SQLAlchemy. Raises Skipped."""
    python = measure.peer(GPTCACHE)
    done = subprocess.run(
        [measure.uv(), "pip", "install", "--quiet", "--python", str(python), *BESIDE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Skipped(f"{' and '.join(BESIDE)} could not be installed ({measure.last_line(done.stderr)})")
    return python


@contextlib.contextmanager
def _running(python: Path, name: str) -> Iterator[Callable[[int], float]]:
    """A contestant, with a folder of its own to write to."""
    with TemporaryDirectory() as folder:
        environment = measure.clean_environment(Path(folder) / "state") | {"PYTHONPATH": str(measure.ROOT)}
        command, pipe = [str(python), "-m", "benchmarks.caching", "work", name], subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=folder, env=environment, text=True) as process:
            assert process.stdin and process.stdout

            def ask(hits: int) -> float:
                assert process.stdin and process.stdout
                process.stdin.write(f"{hits}\n")
                process.stdin.flush()
                if not (line := process.stdout.readline()):
                    raise RuntimeError(f"{name} has ended; its traceback is above")
                return float(line)

            try:
                process.stdout.readline()  # it is ready
                yield ask
            finally:
                process.kill()


def hit_of_a_cache() -> list[Entry]:
    hits = dict.fromkeys(("ours-exact", "gptcache-map"), EXACT_HITS)
    hits |= {"ours-semantic": SEMANTIC_HITS, "gptcache-sqlite": SLOW_HITS}
    peer = _peer()
    with ExitStack() as opened:
        contestants: dict[str, Callable[[], float]] = {}
        for name, count in hits.items():
            python = Path(sys.executable) if name.startswith("ours") else peer
            ask = opened.enter_context(_running(python, name))
            ask(count)  # warm
            contestants[name] = lambda ask=ask, count=count: ask(count)
        measured = measure.interleaved(contestants, ROUNDS)

    def micro(name: str) -> str:
        return f"{1e6 * statistics.median(measured[name]):,.3g} µs"

    versions = measure.versions("pydantic", "numpy")
    exact, semantic = measured["ours-exact"], measured["ours-semantic"]
    durable = measure.ratio(exact, measured["gptcache-sqlite"])
    return [
        Entry(
            6, "response-cache hit ÷ GPTCache", measure.ratio(exact, measured["gptcache-map"]), "≤ 0.8",
            {GPTCACHE: 1.0}, versions,
            f"{micro('ours-exact')} against {micro('gptcache-map')}; "
            f"{measure.spread(exact, measured['gptcache-map'])}. Its default is a dictionary in the memory of one "
            "process, with the question as the whole key. Ours hashes tenant, rights, language, history and recipe, "
            "reads a SQLite file that other processes may have changed (about 5 µs), and ends in an Answer. Against "
            f"GPTCache on SQLite and FAISS: {durable:.2g}.",
        ),
        Entry(
            6, "semantic hit (without embedding) ÷ GPTCache", measure.ratio(semantic, measured["gptcache-sqlite"]),
            "≤ 0.01", {GPTCACHE: 1.0}, versions,
            f"{micro('ours-semantic')} against {micro('gptcache-sqlite')} with {QUESTIONS:,} questions of {DIMENSION} "
            f"dimensions; {measure.spread(semantic, measured['gptcache-sqlite'])}. Both find the question in other "
            "words. A third of ours is the product of matrix and vector; the rest "
            "is the guard, the key, one read of SQLite (has another process stored anything?), and the Answer.",
        ),
    ]  # fmt: skip


PARTS = (hit_of_a_cache,)

if __name__ == "__main__":
    work(sys.argv[2])
