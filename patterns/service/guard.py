"""What a request must be before anybody reads it: its size, its origin, its form."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from .identity import Keys, Person, not_signed_in
from .refusals import Refused

MAX_BODY = 64 * 1024  # bytes
BODY_SECONDS = 10.0  # for a body to arrive
MAX_TEXT = 4_000  # characters of a question
COOKIE = "patterns_session"


class Question(BaseModel):
    """A request for an answer. Nothing else is read: a client has no say in who it is, or in what was said before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1, max_length=MAX_TEXT)
    conversation: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,64}$")  # it comes back in a header
    resumable: bool = False


class Decision(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(min_length=1, max_length=200)
    approved: bool
    resumable: bool = False


def person(request: Request, keys: Keys) -> Person:
    """Who asks: by `Authorization: Bearer ...`, or by the cookie of the page. Raises CallerError (`not_signed_in`)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer":
            raise not_signed_in()
        return keys.read(token.strip())
    found = keys.read(request.cookies.get(COOKIE, ""))
    if request.method not in ("GET", "HEAD"):
        # A browser sends a cookie along whoever wrote the page. It also says whose page it was, and no page can lie.
        origin = urlsplit(request.headers.get("origin", ""))
        if not origin.netloc or origin.netloc != request.headers.get("host", ""):
            raise Refused("wrong_origin")
    return found


async def body(request: Request, model: type[BaseModel]) -> Any:
    """The body as a `model`. Raises Refused: too large, too slow, not JSON, or not what the model allows."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused("json_only", "Send the body as application/json.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise Refused("too_large", f"A body has at most {MAX_BODY} bytes.")
    read = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                read += piece
                if len(read) > MAX_BODY:
                    raise Refused("too_large", f"A body has at most {MAX_BODY} bytes.")
    except TimeoutError:
        raise Refused("too_slow") from None
    except ClientDisconnect:
        raise Refused("too_slow") from None
    try:
        return model.model_validate(json.loads(read))
    except ValidationError as error:
        raise _misformed(error) from None
    except (ValueError, RecursionError):
        raise Refused("bad_request", "The body is no JSON object.") from None


def _misformed(error: ValidationError) -> Refused:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "string_too_long":
        return Refused("too_large", f"{place}: {problem['msg']}")
    return Refused("bad_request", f"{place}: {problem['msg']}" if place else str(problem["msg"]))
