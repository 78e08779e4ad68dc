"""The endpoints.

    POST   /api/support                 {text, conversation?, resumable?}   the answer, as server-sent events
    GET    /api/support                 the latest conversation; ?conversation= another one
    GET    /api/support/{request_id}    ?after=N: the rest of a running answer, from event N + 1 on
    DELETE /api/support/{request_id}    stop it
    POST   /api/support/confirm         {token, approved, resumable?}       go on with a turn that waits
    GET    /                            the chat page
    GET    /login?token=...             for a demonstration: the token becomes the page's cookie

Every answer has `x-trace` and `x-request-id`, and `x-conversation` where there is one. With `Accept: application/json`
an answer is one JSON object with `x-tier` in its header. A stream begins before anybody knows the tier: there it is in
the `answer` event.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from .. import checkpoints, complete_assistant, models, rag
from ..errors import CallerError, PatternsError
from ..events import Handler, Turn, User, new_id
from ..index import Scope
from . import conversations, guard
from .guard import COOKIE, Decision, Question
from .identity import SESSION_SECONDS, Keys, Person
from .refusals import Refused, refusal
from .stream import Streamed
from .turns import Sources, Turns

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
# Every file that is served: nothing of a request is ever part of a file's name.
FILES = ("style.css", "icon.svg", "app.js", "view.js", "text.js", "wire.js", "words.js")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
SAFE = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

Endpoint = Callable[[Request, Person], Awaitable[ASGIApp]]


async def acme_sources(ids: tuple[str, ...], user: User) -> list[dict[str, str]]:
    """What an answer cites, as far as `user` may see it now."""
    if not ids:
        return []
    index = await rag.acme_index()
    return [
        {
            "id": one.id,
            "title": one.title,
            "heading": one.heading,
            "text": one.text,
            "url": one.url,
            "updated": one.updated.isoformat(),
        }
        for one in index.chunks(ids, Scope.of(user))
    ]


def build(keys: Keys, handler: Handler | None = None, sources: Sources = acme_sources, demo: bool = False) -> Starlette:
    """The service around `handler`, by default the complete assistant. With `demo`, a link can sign a person in."""
    service = Service(keys, Turns(handler or complete_assistant.build(), sources), demo)
    api = "/api/support"
    routes = [
        Route(api, service.endpoint(service.ask), methods=["POST"]),
        Route(api, service.endpoint(service.conversation), methods=["GET"]),
        Route(f"{api}/confirm", service.endpoint(service.confirm), methods=["POST"]),
        Route(api + "/{request_id}", service.endpoint(service.again), methods=["GET"]),
        Route(api + "/{request_id}", service.endpoint(service.stop), methods=["DELETE"]),
        Route("/", _file("index.html"), methods=["GET"]),
        *(Route(f"/{name}", _file(name), methods=["GET"]) for name in FILES),
    ]
    if demo:
        routes.append(Route("/login", service.login, methods=["GET"]))
    made = Starlette(routes=routes, lifespan=_lifespan(warm=handler is None))
    made.router.redirect_slashes = False
    return made


def _lifespan(warm: bool) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        try:
            if warm:  # so that the first customer does not wait for the index
                await rag.acme_index()
        except PatternsError as error:  # what answers without it does so
            log.error("The index of the help centre cannot be used: %s", error)
        yield
        await models.close()

    return lifespan


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return FileResponse(PAGE / name, headers={**SAFE, "cache-control": "no-cache"})

    return serve


class Service:
    def __init__(self, keys: Keys, turns: Turns, demo: bool) -> None:
        self.keys, self.turns, self.demo = keys, turns, demo

    def endpoint(self, answer: Endpoint) -> Callable[[Request], Awaitable[ASGIApp]]:
        """`answer` for whoever is signed in; every error as JSON in words for customers."""

        async def handle(request: Request) -> Any:
            who: Person | None = None
            try:
                who = guard.person(request, self.keys)
                return await answer(request, who)
            except PatternsError as error:
                refused = Refused(error.code)
                if not isinstance(error, CallerError) or error.code not in ("not_signed_in", "not_found"):
                    log.warning("%s %s: %s", request.method, request.url.path, error)
            except Refused as error:
                refused = error
            except Exception:
                log.exception("%s %s failed.", request.method, request.url.path)
                refused = Refused("fault")
            language = "de" if request.headers.get("accept-language", "").lower().startswith("de") else "en"
            told = refusal(refused, who.user if who else None, language)
            headers = {**SAFE, "cache-control": "no-store"}
            if told.retry_after is not None:
                headers["retry-after"] = str(told.retry_after)
            if told.status in (408, 413):
                headers["connection"] = "close"  # what is left of the body is not read
            return JSONResponse(told.body, told.status, headers)

        return handle

    async def ask(self, request: Request, who: Person) -> ASGIApp:
        asked: Question = await guard.body(request, Question)
        self.turns.admit(who.user)
        book = conversations.default()
        conversation = asked.conversation or new_id("conv")
        turn = Turn(asked.text, who.user, history=book.history(conversation, who.user))
        book.begin(turn, conversation)
        return self._streamed(request, turn, asked.resumable, {"x-conversation": conversation})

    async def confirm(self, request: Request, who: Person) -> ASGIApp:
        decided: Decision = await guard.body(request, Decision)
        self.turns.admit(who.user)
        request_id = conversations.default().claim(decided.token, who.user)
        runs = checkpoints.default()
        turn = runs.load(runs.decide(decided.token, decided.approved, who.user), who.user).turn
        await self.turns.stop(request_id)  # its events so far: those of its rest are counted anew
        return self._streamed(request, turn, decided.resumable, {})

    def _streamed(self, request: Request, turn: Turn, resumable: bool, headers: dict[str, str]) -> ASGIApp:
        accepted = request.headers.get("accept", "")
        whole = "application/json" in accepted and "text/event-stream" not in accepted
        events = self.turns.begin(turn, resumable and not whole)
        return Streamed(turn, events, self.turns.sources, whole, self._headers(turn) | headers)

    def _headers(self, turn: Turn) -> dict[str, str]:
        return {**SAFE, "x-trace": turn.trace_id, "x-request-id": turn.request_id}

    async def again(self, request: Request, who: Person) -> ASGIApp:
        request_id = self._own(request, who)
        given = request.query_params.get("after") or request.headers.get("last-event-id") or "0"
        if not given.isdecimal() or len(given) > 9:
            raise Refused("bad_request", "after: a number of an event")
        turn = Turn("", who.user, request_id=request_id)
        events = self.turns.again(request_id, who.user, int(given))
        return Streamed(turn, events, self.turns.sources, False, {**SAFE, "x-request-id": request_id})

    async def stop(self, request: Request, who: Person) -> ASGIApp:
        await self.turns.stop(self._own(request, who))
        return Response(status_code=204, headers=SAFE)

    def _own(self, request: Request, who: Person) -> str:
        request_id = request.path_params["request_id"]
        if not conversations.default().owns(request_id, who.user):
            raise Refused("not_found")
        return request_id

    async def conversation(self, request: Request, who: Person) -> ASGIApp:
        book = conversations.default()
        conversation = request.query_params.get("conversation") or book.latest(who.user)
        turns = []
        for row in book.rows(conversation, who.user):
            shown = row.shown
            if shown and row.state == "answered":
                shown = {**shown, "sources": await self.turns.sources(tuple(shown["cited"]), who.user)}
            how = "stopped" if row.state == "running" and not self.turns.runs(row.request_id) else row.state
            turns.append({"request_id": row.request_id, "question": row.question, "state": how, "shown": shown})
        told = {"name": who.name, "language": who.user.language, "demo": self.demo, "conversation": conversation}
        told["turns"] = turns
        return JSONResponse(told, headers={**SAFE, "cache-control": "no-store"})

    async def login(self, request: Request) -> Response:
        """A page of our own that goes on to the chat: after a redirect, no strict cookie is sent for a foreign link."""
        token = request.query_params.get("token", "")
        try:
            self.keys.read(token)
        except CallerError:
            return HTMLResponse("This link is no longer good. Start the service again for a new one.", 401, SAFE)
        headers = {**SAFE, "cache-control": "no-store", "refresh": "0; url=/"}
        response = HTMLResponse('<!doctype html><title>Signed in</title><a href="/">Go on</a>', headers=headers)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, int(SESSION_SECONDS), httponly=True, samesite="strict", secure=secure)
        return response
