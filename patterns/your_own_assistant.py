"""An assistant on your own documents, with your own tools: the same layers as Acme's, on another world.

    mine = await own.assistant("my_documents/", name="Lindenhof library", tools=[opening_hours, reserve])
    print(mine)                                         what was read, and what was not
    await mine.ask("How long may I keep a film?")       an Answer, with the ids of what it rests on

Documents are read by `own_documents.py`. A tool is a typed function with a docstring; one that changes something is
made with `@tool(effect="write", question=...)`, and then somebody has to say yes first. Evals are in `own_evals.py`,
what it would cost is in `cost_estimate.py`, and `export.py` writes a folder that serves it.

Everybody may read every document, unless its front matter says otherwise (`acl`).
"""

import asyncio
import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from . import complete_assistant, events, own_documents, rag
from .chunking import sections
from .errors import CallerError
from .events import Answer, Handler, Message, Turn, User
from .faq_search import Contact
from .index import Index, Report, Scope
from .own_documents import Library, Progress
from .tools import Tool, tool
from .world import World

VISITOR = "visitor"
TITLES_TOLD = 12  # titles of documents in the description of the search, by which the model chooses it


@dataclass(frozen=True, slots=True)
class Own:
    """An assistant on its own documents. `tools` are those it was given; the search of its documents comes on top."""

    name: str
    tenant: str
    folder: Path
    language: str
    library: Library
    report: Report
    tools: tuple[Tool, ...]
    contact: Contact | None
    world: World = field(repr=False)
    handler: Handler = field(repr=False)

    @property
    def user(self) -> User:
        """Who asks, where nobody has signed in."""
        return self.visitor(VISITOR)

    def visitor(self, visitor_id: str) -> User:
        return User(visitor_id, self.tenant, language=self.language)

    def turn(self, question: str, *history: Message) -> Turn:
        return Turn(question, self.user, history)

    async def ask(self, question: str, *history: Message) -> Answer:
        """The answer to one question. Raises TurnFailed, also where a tool waits for a yes: for those use `handler`."""
        return await events.answer(self.handler, self.turn(question, *history))

    async def sources(self, ids: tuple[str, ...], user: User) -> list[dict[str, str]]:
        """What an answer cites, as far as `user` may see it now."""
        index = await self.world.open_index()
        return [
            {"id": one.id, "title": one.title, "text": one.text, "url": one.url, "updated": one.updated.isoformat()}
            for one in index.chunks(ids, Scope.of(user))
        ]

    def __str__(self) -> str:
        given = [one.name for one in self.tools]
        lines = [
            f"{self.name}: {_count(len(self.library.files), 'file')} read, {_count(self.report.chunks, 'passage')}",
            f"tools: {', '.join(given) or 'none'}, and the search of the documents",
        ]
        lines += [f"not read  {name}: {why}" for name, why in (*self.library.unread, *self.report.failed)]
        lines += [f"assumed   {name}: {what}" for name, what in self.library.assumed]
        return "\n".join(lines)


async def assistant(
    folder: str | Path,
    name: str,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    *,
    language: str = "en",
    contact: Contact | None = None,
    today: Callable[[], date] = date.today,
    progress: Progress | None = None,
) -> Own:
    """The whole assistant on the documents in `folder`. Call it again when they have changed: only changes cost.

    `language` is that of the documents and of the answers where neither says otherwise. A tool with the effect
    "handoff" calls a person also where the assistant cannot go on; `contact` is told where nothing works.
    `progress(done, all)` is called for the files as they are read, and then for the passages of each as they are done.

    Raises CallerError for a folder in which nothing can be read, a name without letters and a tool that a model could
    not be told about, and what the provider raises when the documents are embedded.
    """
    tenant, given = _tenant(name), _as_tools(tools)
    root = _absolute(folder)
    library = await _read(root, tenant, language, progress)
    place = f"own/{tenant}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"
    report = await rag.index_at(place).sync(library.articles, sections(), progress)

    async def open_index() -> Index:
        return rag.index_at(place)

    world = World(
        articles=lambda: library.articles,
        open_index=open_index,
        tools=(_search(open_index, name, library), *given),
        handoff=next((one for one in given if one.effect == "handoff"), None),
        today=today,
        fresh_since=lambda: None,
        contact=lambda _: contact,
    )
    handler = complete_assistant.build(world=world)
    return Own(name, tenant, root, language, library, report, given, contact, world, handler)


def _absolute(folder: str | Path) -> Path:
    return Path(folder).expanduser().resolve()


async def _read(root: Path, tenant: str, language: str, progress: Progress | None) -> Library:
    """In a thread, since a PDF takes a while: what the loop does meanwhile goes on."""
    loop = asyncio.get_running_loop()

    def told(done: int, of: int) -> None:
        if progress:
            loop.call_soon_threadsafe(progress, done, of)

    return await asyncio.to_thread(own_documents.read, root, tenant, language, told)


def _tenant(name: str) -> str:
    """The name as a tenant: it separates budgets, caches and indexes from those of others."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()  # "Grünau" is "grunau"
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:60].strip("-")
    if not slug:
        raise CallerError(f"The name {name!r} has no letters a to z and no digits.", "Choose another.", "bad_request")
    return slug


def _as_tools(functions: Sequence[Tool | Callable[..., Any]]) -> tuple[Tool, ...]:
    made = tuple(one if isinstance(one, Tool) else tool(one) for one in functions)
    names = [*(one.name for one in made), "search_documents"]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CallerError(f"Two tools are called {twice[0]!r}.", "Give each a name of its own.", "unfit_tool")
    return made


def _search(open_index: rag.OpenIndex, name: str, library: Library) -> Tool:
    @tool
    async def search_documents(
        query: Annotated[str, Field(description="What to look for, in a few words.")], turn: Turn
    ) -> list[dict[str, str]]:
        """Search the documents."""
        return await rag.search_index(open_index, query, turn)

    titles = list(dict.fromkeys(one.title.rpartition(", page ")[0] or one.title for one in library.articles))
    about = "; ".join(title[:60] for title in titles[:TITLES_TOLD])
    return replace(search_documents, description=f"Search the documents of {name}: {about}.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
