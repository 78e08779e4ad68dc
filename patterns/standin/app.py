"""The stand-in over HTTP: routes, keys, faults of the network, and the log of what was really generated.

Each API key has a `Scope` of its own: its dials, its request counter and its log.
"""

import asyncio
import base64
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from . import embedding, hearing, moderating, reranking, seeing, sse, tokens, wire
from .api_error import APIError
from .catalogue import MODELS, Kind, Model
from .delivery import Entry, EventStream, Later, Whole
from .dials import Dials
from .generation import Generation, Occasion, prepare
from .http import JSON, MAX_BODY, failure, limited, not_found, read_json, request_id
from .responses import ResponsesRequest
from .weights import WeightsMissing

log = logging.getLogger("patterns.standin")

MAX_SCOPES = 1_000
KEY_PREFIX = "standin"  # so that a real key, sent here by mistake, is refused and never stored


@dataclass(slots=True)
class Scope:
    """What belongs to one API key."""

    name: str
    dials: Dials
    requests: int = 0
    log: deque[Entry] = field(default_factory=lambda: deque(maxlen=1_000))


class StandIn:
    """State and endpoints. `StandIn().asgi` is the ASGI application."""

    def __init__(self, dials: Dials | None = None) -> None:
        self._dials = dials or Dials()
        self.scopes: OrderedDict[str, Scope] = OrderedDict()
        self._cache = tokens.PrefixCache()
        # Joined when the process exits; daemon threads inside ONNX Runtime would abort it.
        self._thinkers = ThreadPoolExecutor(2, thread_name_prefix="standin-thinks")
        # Images are read one at a time, so that text does not wait behind them and memory stays bounded.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="standin-reads")
        routes = [
            Route("/v1/models", self._endpoint(self.models)),
            Route("/v1/models/{model}", self._endpoint(self.model)),
            Route("/v1/chat/completions", self._endpoint(self.chat), methods=["POST"]),
            Route("/v1/responses", self._endpoint(self.responses), methods=["POST"]),
            Route("/v1/embeddings", self._endpoint(self.embeddings), methods=["POST"]),
            Route("/v1/rerank", self._endpoint(self.rerank), methods=["POST"]),
            Route("/v1/moderations", self._endpoint(self.moderations), methods=["POST"]),
            Route("/v1/audio/transcriptions", self._endpoint(self.transcriptions), methods=["POST"]),
            Route("/standin/dials", self._endpoint(self.dials), methods=["GET", "PUT"]),
            Route("/standin/log", self._endpoint(self.read_log), methods=["GET", "DELETE"]),
        ]
        self.asgi = Starlette(routes=routes, exception_handlers={HTTPException: not_found})

    # every request

    def _endpoint(self, handler: Callable[[Request, Scope, Entry], Awaitable[Response]]) -> Any:
        async def endpoint(request: Request) -> Response:
            entry = Entry(request_id=request_id(), path=request.url.path, model="")
            started = time.monotonic()
            scope = None
            try:
                scope = self._scope(request)
                response = await handler(Request(request.scope, limited(request)), scope, entry)
            except APIError as error:
                response = failure(error, entry)
            except WeightsMissing as error:
                response = failure(APIError(503, str(error), "server_error"), entry)
            except RecursionError:
                response = failure(APIError(400, "The request body is nested too deeply."), entry)
            except HTTPException as error:  # what Starlette finds wrong with a form
                response = failure(APIError(error.status_code, error.detail), entry)
            except ClientDisconnect:  # it left while sending its request: nobody reads the answer
                response, entry.ended = Response(status_code=400), "aborted"
            except Exception as error:  # a mistake of ours: the client still gets an answer, and the log an end
                log.exception("%s failed", entry.request_id)
                response = failure(APIError(500, f"The stand-in failed: {error!r}.", "server_error"), entry)
            if scope is not None:
                response.headers.update(_rate_limit_headers(scope, exhausted=response.status_code == 429))
            seconds = time.monotonic() - started
            if entry.ended != "running":
                entry.seconds = seconds
            response.headers.update(
                {"x-request-id": entry.request_id, "openai-processing-ms": str(round(seconds * 1000))}
            )
            return response

        return endpoint

    def _scope(self, request: Request) -> Scope:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise APIError(401, "You didn't provide an API key.", code="invalid_api_key")
        if not key.startswith(KEY_PREFIX):
            raise APIError(
                401,
                f"Incorrect API key provided. The stand-in takes any key that starts with '{KEY_PREFIX}', "
                "never a real one.",
                code="invalid_api_key",
            )
        if key not in self.scopes:
            self.scopes[key] = Scope(key, self._dials)
        self.scopes.move_to_end(key)
        while len(self.scopes) > MAX_SCOPES:
            self.scopes.popitem(last=False)
        return self.scopes[key]

    def _model(self, name: str, kind: Kind, scope: Scope, entry: Entry) -> Model:
        """Look the model up, open its log entry, and let the network's faults happen."""
        entry.model = name
        model = MODELS.get(name)
        if model is None:
            offered = ", ".join(MODELS)
            raise APIError(
                404,
                f"The model '{name}' does not exist or you do not have access to it. The stand-in offers: {offered}.",
                param="model",
                code="model_not_found",
            )
        if model.kind != kind:
            raise APIError(400, f"The model '{name}' is a {model.kind} model and does not answer here.", param="model")
        scope.requests += 1
        scope.log.append(entry)
        dials = scope.dials.for_request(scope.requests)
        if name in dials.outage or "*" in dials.outage:
            raise APIError(503, f"The model '{name}' is overloaded or down.", "server_error", code="unavailable")
        if dials.draw("rate_limited", "429", scope.requests):
            raise APIError(
                429,
                f"Rate limit reached for {name}. Please try again in {dials.retry_after:g}s.",
                "requests",
                code="rate_limit_exceeded",
                headers={"retry-after": f"{dials.retry_after:g}"},
            )
        if dials.draw("server_error", "5xx", scope.requests):
            raise APIError(500, "The server had an error while processing your request.", "server_error")
        return model

    async def _think(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Compute in a worker thread, so that one prompt does not hold up everybody's stream."""
        return await asyncio.get_running_loop().run_in_executor(self._thinkers, work, *arguments)

    # models

    async def models(self, request: Request, scope: Scope, entry: Entry) -> Response:
        return JSON({"object": "list", "data": [_model_object(model) for model in MODELS.values()]})

    async def model(self, request: Request, scope: Scope, entry: Entry) -> Response:
        name = request.path_params["model"]
        if name not in MODELS:
            raise APIError(404, f"The model '{name}' does not exist.", param="model", code="model_not_found")
        return JSON(_model_object(MODELS[name]))

    # text

    async def chat(self, request: Request, scope: Scope, entry: Entry) -> Response:
        asked = wire.parse(wire.ChatRequest, await read_json(request))
        generation = await self._generation(asked, scope, entry)
        if asked.stream:
            usage = asked.stream_options is not None and asked.stream_options.include_usage
            return EventStream(sse.chat_stream(generation, usage), generation, entry)
        return Whole(sse.chat_object, generation, entry)

    async def responses(self, request: Request, scope: Scope, entry: Entry) -> Response:
        asked = wire.parse(ResponsesRequest, await read_json(request)).to_chat()
        generation = await self._generation(asked, scope, entry)
        if asked.stream:
            return EventStream(sse.responses_stream(generation), generation, entry)
        return Whole(sse.responses_object, generation, entry)

    async def _generation(self, asked: wire.ChatRequest, scope: Scope, entry: Entry) -> Generation:
        started = time.monotonic()
        model = self._model(asked.model, "chat", scope, entry)
        varies = asked.seed is None and asked.temperature != 0
        prompt = wire.digest(asked.model_dump(exclude=wire.CHANGES_NOTHING))
        occasion = Occasion(scope.dials.for_request(scope.requests), scope.requests, prompt, varies)
        if wire.has_images(asked):
            read = await asyncio.get_running_loop().run_in_executor(
                self._reader, seeing.with_images_read, asked.messages
            )
            asked = asked.model_copy(update={"messages": read})
        generation: Generation = await self._think(prepare, asked, model, occasion, scope.name, self._cache, started)
        entry.prompt_tokens, entry.cached_tokens = generation.prompt_tokens, generation.cached_tokens
        entry.tokens_planned = len(generation.pieces)
        return generation

    # the other endpoints

    async def embeddings(self, request: Request, scope: Scope, entry: Entry) -> Response:
        asked = wire.parse(wire.EmbeddingRequest, await read_json(request))
        self._model(asked.model, "embedding", scope, entry)
        if any(not text for text in asked.input):
            raise APIError(400, "Invalid value for 'input': it must not contain an empty string.", param="input")
        vectors = await self._think(embedding.encode, asked.input)
        if asked.dimensions is not None:
            if asked.dimensions > vectors.shape[1]:
                raise APIError(400, f"'dimensions' is at most {vectors.shape[1]}.", param="dimensions")
            vectors = vectors[:, : asked.dimensions]
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(vector, asked.encoding_format)}
            for index, vector in enumerate(vectors)
        ]
        entry.prompt_tokens, entry.ended = sum(map(tokens.count, asked.input)), "done"
        usage = {"prompt_tokens": entry.prompt_tokens, "total_tokens": entry.prompt_tokens}
        return JSON({"object": "list", "data": data, "model": asked.model, "usage": usage})

    async def rerank(self, request: Request, scope: Scope, entry: Entry) -> Response:
        started = time.monotonic()
        asked = wire.parse(reranking.RerankRequest, await read_json(request))
        model = self._model(asked.model, "rerank", scope, entry)
        dials = scope.dials.for_request(scope.requests)
        body = await self._think(reranking.rerank_object, asked)
        entry.prompt_tokens = body["usage"]["total_tokens"]
        wait = model.time_to_first_token if dials.time_to_first_token is None else dials.time_to_first_token
        return Later(body, started, wait, entry)

    async def moderations(self, request: Request, scope: Scope, entry: Entry) -> Response:
        asked = wire.parse(wire.ModerationRequest, await read_json(request))
        name = asked.model or "standin-moderate"
        self._model(name, "moderation", scope, entry)
        results = await self._think(moderating.moderate, asked.input)
        entry.ended = "done"
        body = {"id": f"modr-{wire.digest(asked.input)}", "model": name, "results": results}
        return JSON(body)

    async def transcriptions(self, request: Request, scope: Scope, entry: Entry) -> Response:
        async with request.form(max_part_size=MAX_BODY) as form:
            upload, name, kind = form.get("file"), form.get("model"), form.get("response_format") or "json"
            if upload is None or isinstance(upload, str):
                raise APIError(400, "Missing required parameter: 'file'.", param="file")
            if not isinstance(name, str):
                raise APIError(400, "Missing required parameter: 'model'.", param="model")
            if kind not in ("json", "verbose_json", "text"):
                message = "'response_format' is one of json, verbose_json, text."
                raise APIError(400, message, param="response_format")
            self._model(name, "transcription", scope, entry)
            try:
                heard = await self._think(hearing.transcribe, await upload.read())
            except ValueError as error:
                raise APIError(400, str(error), param="file") from None
        entry.ended = "done"
        if kind == "text":
            return Response(heard.text + "\n", media_type="text/plain")
        brief = {"text": heard.text, "usage": {"type": "duration", "seconds": round(heard.duration_seconds)}}
        if kind == "json":
            return JSON(brief)
        timed = {"task": "transcribe", "language": "english", "duration": heard.duration_seconds}
        segments = [
            {"id": index, "start": segment.start, "end": segment.end, "text": segment.text}
            for index, segment in enumerate(heard.segments)
        ]
        words = [{"word": word.word, "start": word.start, "end": word.end} for word in heard.words]
        return JSON(timed | brief | {"segments": segments, "words": words})

    # what a hosted provider does not have

    async def dials(self, request: Request, scope: Scope, entry: Entry) -> Response:
        if request.method == "PUT":
            try:
                scope.dials = Dials.from_json(await read_json(request))
            except ValueError as error:
                raise APIError(400, str(error), param="dials") from None
            scope.requests = 0
        return JSON(scope.dials.to_json())

    async def read_log(self, request: Request, scope: Scope, entry: Entry) -> Response:
        if request.method == "DELETE":
            scope.log.clear()
        return JSON({"data": [asdict(entry) for entry in scope.log]})


def _vector(vector: np.ndarray, form: str) -> Any:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]


def _model_object(model: Model) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": wire.CREATED, "owned_by": "standin"}


def _rate_limit_headers(scope: Scope, exhausted: bool) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "0" if exhausted else str(max(0, 10_000 - scope.requests)),
        "x-ratelimit-reset-requests": f"{scope.dials.retry_after:g}s",
    }
