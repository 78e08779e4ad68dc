"""A world: what an assistant is about. Everything else of it is the same for Acme and for anybody's own documents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from .faq_search import Articles, FindContact
from .rag import OpenIndex
from .tools import Tool


@dataclass(frozen=True, slots=True)
class World:
    """`articles` are what `open_index` holds, for the search without a model. `handoff` calls a person; None: nobody
    can be called. What was looked at last before `fresh_since` is not answered from. `contact` is by tenant. `own_data`
    names the fields of tool results that hold the customer's own data, and no free text that others wrote.
    """

    articles: Articles
    open_index: OpenIndex
    tools: tuple[Tool, ...]
    handoff: Tool | None
    today: Callable[[], date]
    fresh_since: Callable[[], date | None]
    contact: FindContact
    own_data: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
