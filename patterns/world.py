"""A world: what an assistant is about. Everything else of it is the same for Acme and for anybody's own documents."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from .faq_search import Articles, FindContact
from .rag import OpenIndex
from .tools import Tool


@dataclass(frozen=True, slots=True)
class World:
    """`articles` are what `open_index` holds, for the search without a model. `handoff` calls a person; None: nobody
    can be called. What was looked at last before `fresh_since` is not answered from. `contact` is by tenant.
    """

    articles: Articles
    open_index: OpenIndex
    tools: tuple[Tool, ...]
    handoff: Tool | None
    today: Callable[[], date]
    fresh_since: Callable[[], date | None]
    contact: FindContact
