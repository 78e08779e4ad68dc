"""Vectors by text, so that a text is embedded once: re-chunking or another index pays only for what is new.

One SQLite file for all indexes. It can be deleted at any time: then the texts are embedded again.
"""

import hashlib
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import store
from ..errors import CallerError

if TYPE_CHECKING:
    import numpy as np

Embed = Callable[[Sequence[str]], Awaitable["np.ndarray"]]  # n texts → float32 (n, dimension)

BATCH = 128  # texts a call
SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (
    model TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    text_sha256 BLOB NOT NULL,
    vector BLOB NOT NULL,               -- float32, little-endian
    PRIMARY KEY (model, dimension, text_sha256)
) WITHOUT ROWID;
"""


class EmbeddingCache:
    """The file at `path`. `model` must be unique among all that write to it: two providers, two names.

    Raises CallerError (`store_unwritable`) when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with store.trouble(path, "embedding cache"):
            self._db = store.connect(path, SCHEMA)

    def get(self, model: str, dimension: int, texts: Sequence[str]) -> dict[str, "np.ndarray"]:
        """The vectors, float32 (dimension,), of those `texts` that are there."""
        import numpy as np

        found: dict[str, np.ndarray] = {}
        query = "SELECT vector FROM embeddings WHERE model = ? AND dimension = ? AND text_sha256 = ?"
        with self._lock, store.trouble(self.path, "embedding cache"):
            for text in texts:
                if row := self._db.execute(query, (model, dimension, _sha256(text))).fetchone():
                    found[text] = np.frombuffer(row[0], "<f4")
        return found

    def put(self, model: str, vectors: Mapping[str, "np.ndarray"]) -> None:
        rows = [(model, len(row), _sha256(text), row.astype("<f4").tobytes()) for text, row in vectors.items()]
        with self._lock, store.trouble(self.path, "embedding cache"), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        self._db.close()


def checked(vectors: "np.ndarray", count: int) -> "np.ndarray":
    """`vectors` as float32 (count, dimension), each of length 1. Raises CallerError `bad_vectors` when they are not."""
    import numpy as np

    array = np.asarray(vectors, np.float32)
    if array.ndim != 2 or len(array) != count or not array.size or not np.isfinite(array).all():
        raise CallerError(
            f"The embedding model gave {array.shape} numbers for {count} texts, or some that are not finite.",
            "Check the embed function: it gives one row of numbers a text.",
            "bad_vectors",
        )
    return array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12)


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
