"""The semantic cache's memory: the vectors of questions that were answered, and the nearest that is the same question.

Questions lie apart in partitions: one for each tenant, set of ACL scopes, language and recipe (models, prompt, version
of the articles). A search sees one partition and no other. Two things stand between similar and the same: a threshold
on the cosine, which belongs to the embedding model that it was calibrated for (`cache_calibration.py`), and the guard.
"""

import base64
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import backend, cache_keys
from .backend import Entry
from .cache_keys import Freshness
from .events import Answer, Turn
from .kept_answers import Kept, failing_softly, pack, store, unpack
from .semantic_guard import difference

if TYPE_CHECKING:
    import numpy as np

# Least cosine of two questions that may be one, by provider and model. `cache_calibration.calibrate` finds it.
THRESHOLDS = {"standin/standin-embed": 0.70}

CANDIDATES = 20  # nearest questions that the guard looks at
PARTITIONS = 64  # that are held in memory


@dataclass(slots=True)
class Partition:
    """Row i of `matrix`, float32 (questions, dimension), each of length 1, belongs to `questions[i]`."""

    version: int = -1
    rows: "dict[str, tuple[Entry, str, np.ndarray]]" = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    matrix: "np.ndarray | None" = None

    def refresh(self, entries: list[tuple[str, Entry]], version: int) -> None:
        """Take over what lies in the backend; what is known already is not read again."""
        import numpy as np

        known, self.rows = self.rows, {}
        for key, entry in entries:
            row = known.get(key)
            self.rows[key] = row if row and row[0].stored == entry.stored else _read(entry)
        self.entries, self.questions = [row[0] for row in self.rows.values()], [row[1] for row in self.rows.values()]
        self.matrix = np.stack([row[2] for row in self.rows.values()]) if self.rows else None
        self.version = version

    def nearest(self, question: str, vector: "np.ndarray", threshold: float) -> Entry | None:
        """The entry of the nearest question at or above `threshold` from which nothing tells `question` apart."""
        if self.matrix is None or self.matrix.shape[1] != len(vector):
            return None
        cosines = self.matrix @ vector
        for place in _best_first(cosines, threshold):
            if difference(question, self.questions[place]) is None:
                return self.entries[place]
        return None


def _best_first(cosines: "np.ndarray", threshold: float) -> Iterator[int]:
    """Places of at most CANDIDATES cosines at or above `threshold`. The best is nearly always the one."""
    import numpy as np

    best = int(cosines.argmax())
    if cosines[best] >= threshold:
        yield best
        near = np.flatnonzero(cosines >= threshold)
        yield from near[np.argsort(-cosines[near], kind="stable")][1:CANDIDATES]


def _read(entry: Entry) -> "tuple[Entry, str, np.ndarray]":
    import numpy as np

    value = json.loads(entry.value)
    return entry, value["question"], np.frombuffer(base64.b64decode(value["vector"]), "<f4")


class SemanticMemory:
    """The partitions that this process has read, the least used of which are let go."""

    def __init__(self) -> None:
        self._partitions: OrderedDict[str, Partition] = OrderedDict()

    async def find(self, turn: Turn, recipe: str, vector: "np.ndarray", threshold: float) -> Kept | None:
        """The fresh answer to the question of `turn` in other words."""
        partition = await self._partition(_tag(turn, recipe))
        entry = partition and partition.nearest(turn.text, vector, threshold)
        kept = unpack(entry, turn) if entry else None
        return kept if kept and kept.is_fresh else None

    async def _partition(self, tag: str) -> Partition | None:
        partition = self._partitions.setdefault(tag, Partition())
        self._partitions.move_to_end(tag)
        while len(self._partitions) > PARTITIONS:
            self._partitions.popitem(last=False)
        with failing_softly():
            version = await backend.default().version(tag)
            if version != partition.version:
                partition.refresh(await backend.default().entries(tag), version)
            return partition
        return None


async def remember(
    turn: Turn, recipe: str, vector: "np.ndarray", answer: Answer, lives: Freshness, tags: list[str]
) -> None:
    """Keep `answer` for the question of `turn`, whose vector, of length 1, is `vector`."""
    as_text = base64.b64encode(vector.astype("<f4").tobytes()).decode()
    value = pack(answer, question=turn.text, vector=as_text)
    await store(f"semantic {cache_keys.key(turn, recipe)}", value, lives, [_tag(turn, recipe), *tags])


def _tag(turn: Turn, recipe: str) -> str:
    return f"semantic {cache_keys.digest(cache_keys.audience(turn, recipe))}"
