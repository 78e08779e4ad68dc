"""Who asks: what a search may see, and what it finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from ..chunking import Chunk
from ..events import User


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search may see. `acl` holds the reader's tags, one of which a chunk must have; None sets no bound."""

    tenant: str
    acl: frozenset[str]
    lang: str | None = None
    updated_since: date | None = None

    @classmethod
    def of(cls, user: User) -> "Scope":
        return cls(user.tenant, user.scopes, user.language)

    def allows(self, tenant: str, lang: str, acl: Iterable[str], updated: date) -> bool:
        return (
            tenant == self.tenant
            and (self.lang is None or lang == self.lang)
            and not self.acl.isdisjoint(acl)
            and (self.updated_since is None or updated >= self.updated_since)
        )

    def allows_chunk(self, chunk: Chunk) -> bool:
        return self.allows(chunk.tenant, chunk.lang, chunk.acl, chunk.updated)


@dataclass(frozen=True, slots=True)
class Hit:
    """`score`: of words BM25, of vectors the cosine. Higher is better; the two cannot be compared."""

    chunk_id: str
    score: float
