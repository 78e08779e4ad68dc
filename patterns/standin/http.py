"""Bodies in, JSON out: what every endpoint needs of HTTP."""

import json
import uuid
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive

from .api_error import APIError
from .delivery import Entry

MAX_BODY = 32 * 2**20  # bytes


def limited(request: Request) -> Receive:
    """The request's `receive`, which refuses a body beyond MAX_BODY however it is sent."""
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise APIError(413, f"The request body is larger than {MAX_BODY // 2**20} MiB.")
        return message

    return receive


async def read_json(request: Request) -> Any:
    try:
        return json.loads(await request.body(), parse_constant=_no_constant)
    except ValueError:
        raise APIError(400, "We could not parse the JSON body of your request.") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


async def not_found(request: Request, error: Exception) -> Response:
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    message = f"Invalid URL or method ({request.method} {request.url.path})."
    headers = {**(headers or {}), "x-request-id": request_id()}
    return JSON(APIError(status, message, code="unknown_url").body, status, headers)


def request_id() -> str:
    return f"req_{uuid.uuid4().hex}"


class JSON(JSONResponse):
    """Half of a surrogate pair, which a request may carry and an error repeat, becomes "?"."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def failure(error: APIError, entry: Entry) -> Response:
    entry.ended = f"error {error.status}"
    return JSON(error.body, error.status, error.headers)
