"""Vectors: an exact search through all of a tenant's vectors that the scope allows.

Measured with 5,000 vectors of 384 dimensions: 0.4 ms, and nothing is missed. Chroma took 2.0 ms, and 8.6 ms with the
filter.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from .scope import Hit, Scope

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Block:
    """What an exact search goes through: row i of `matrix` (chunks, dimension) is the vector of `ids[i]`; by id."""

    version: str
    ids: list[str]
    matrix: "np.ndarray"
    audiences: list[tuple[str, str, tuple[str, ...]]]  # every (tenant, lang, acl) that occurs
    audience: "np.ndarray"  # for each row, which of them
    updated: "np.ndarray"  # for each row, days (date.toordinal)


def load(version: str, rows: Sequence[tuple[str, str, str, str, str, bytes]]) -> Block:
    """`rows` are (chunk id, tenant, lang, acl as JSON, updated as ISO date, vector) in the order of the ids."""
    import numpy as np

    audiences: dict[tuple[str, str, str], int] = {}
    audience = [audiences.setdefault((tenant, lang, acl), len(audiences)) for _, tenant, lang, acl, _, _ in rows]
    return Block(
        version,
        [row[0] for row in rows],
        np.frombuffer(b"".join(row[5] for row in rows), "<f4").reshape(len(rows), -1 if rows else 0),
        [(tenant, lang, tuple(json.loads(acl))) for tenant, lang, acl in audiences],
        np.array(audience, int),
        np.array([date.fromisoformat(row[4]).toordinal() for row in rows], int),
    )


def search(block: Block, vector: "np.ndarray", scope: Scope, limit: int) -> list[Hit]:
    """The `limit` chunks nearest to `vector` (dimension,) among those that the scope allows, nearest first."""
    import numpy as np

    allowed = np.array([scope.allows(*audience, date.max) for audience in block.audiences], bool)
    seen = allowed[block.audience]
    if scope.updated_since:
        seen &= block.updated >= scope.updated_since.toordinal()
    rows = np.flatnonzero(seen)
    if limit < 1 or not len(rows):
        return []
    # Not `@`: its threads wait for each other on a busy machine (24 ms for 1 ms), and their number changes the sums.
    scores = np.round(np.vecdot(block.matrix, vector)[rows], 4)
    if limit < len(rows):  # whoever ties with the last one stays in, so that the order of ids decides
        kept = np.flatnonzero(scores >= np.partition(scores, -limit)[-limit])
        rows, scores = rows[kept], scores[kept]
    best = np.argsort(-scores, kind="stable")[:limit]
    return [Hit(block.ids[rows[at]], round(float(scores[at]), 4)) for at in best]
