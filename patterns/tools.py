"""Tools: typed functions that a model may ask for, and one safe way to run them.

    @tool
    def order_lookup(order_id: Annotated[str, Field(description="...")], turn: Turn) -> dict: ...

The name, the docstring and the typed arguments become the JSON schema that the model sees. A parameter of type Turn is
filled by us, never by the model: it carries the authenticated user. `run` returns a JSON value in every case; what goes
wrong is `{"error": code, "message": ..., "next_step": ...}`, which the model can act on. It never raises.
"""

import asyncio
import inspect
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from . import call_spans
from .errors import CallerError, PatternsError
from .events import Turn
from .schemas import portable
from .tool_results import fitted

log = logging.getLogger(__name__)

TIMEOUT = 5.0  # seconds a tool may take

Effect = Literal["read", "handoff", "write"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function with what the model is told about it.

    `effect`: "read" changes nothing and may be repeated; "handoff" gives the matter to people, once; "write" changes
    something, once, and only after the customer has said yes to `question`. `strict` says that the schema is within the
    portable subset, which every provider can enforce; a tool from elsewhere (see `mcp_client.py`) may not be.
    """

    name: str
    description: str
    function: Callable[..., Any]
    arguments: type[BaseModel]
    effect: Effect = "read"
    question: str | Callable[[Mapping[str, Any]], str] = ""
    timeout: float = TIMEOUT
    turn_parameter: str = ""
    strict: bool = True

    @property
    def wire(self) -> dict[str, Any]:
        """The tool as Chat Completions wants it."""
        schema = _schema(self.arguments, self.strict)
        function = {"name": self.name, "description": self.description, "parameters": schema, "strict": self.strict}
        return {"type": "function", "function": function}

    def asks(self, arguments: Mapping[str, Any]) -> str:
        """What the customer is asked before a write with these arguments."""
        return self.question.format(**arguments) if isinstance(self.question, str) else self.question(arguments)


@cache  # made for every call of a model, and slow to make
def _schema(arguments: type[BaseModel], strict: bool) -> dict[str, Any]:
    return portable(arguments) if strict else arguments.model_json_schema()


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(*, effect: Effect = "read", question: str = "", timeout: float = TIMEOUT) -> Callable[..., Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    effect: Effect = "read",
    question: str = "",
    timeout: float = TIMEOUT,
) -> Any:
    """Make a Tool of a typed function with a docstring; plain and async functions both work.

    `question` is what the customer is asked before a write, with the arguments in braces: "Call you on {day}?".
    Raises CallerError for a function that a model could not be told about.
    """

    def made(function: Callable[..., Any]) -> Tool:
        name = function.__name__
        description = inspect.getdoc(function) or ""
        if not description:
            raise _unfit(
                name, "has no docstring, and the model chooses by it", "Write what it does and when to use it."
            )
        if (effect == "write") != bool(question):
            raise _unfit(name, "must have a question exactly when it writes", "Give `question=` to a write, only.")
        arguments, turn_parameter = _arguments(function)
        created = Tool(name, description, function, arguments, effect, question, timeout, turn_parameter)
        _ = created.wire  # a schema that no provider can enforce is found here, not at the first call
        return created

    return made if function is None else made(function)


def _arguments(function: Callable[..., Any]) -> tuple[type[BaseModel], str]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    turn_parameter = ""
    for parameter in inspect.signature(function).parameters.values():
        if hints.get(parameter.name) is Turn and not turn_parameter:
            turn_parameter = parameter.name
        elif Turn in _parts(hints.get(parameter.name)):  # the model must never be offered to fill it
            raise _unfit(function.__name__, f"must take one Turn as `turn: Turn`, not {parameter.name!r}", "Change it.")
        elif parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _unfit(function.__name__, f"cannot be given {parameter.name!r} by name", "Use named parameters.")
        elif parameter.name not in hints:
            raise _unfit(function.__name__, f"does not say the type of {parameter.name!r}", "Annotate each parameter.")
        else:
            given = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], given)
    if not fields:  # a schema without fields is refused by some providers
        raise _unfit(function.__name__, "takes no argument", "Give it one, for example what it is asked for.")
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields), turn_parameter


def _parts(hint: Any) -> Iterator[Any]:
    """A type and all that it is made of: `list[Turn | None]` holds a Turn."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _unfit(name: str, why: str, next_step: str) -> CallerError:
    return CallerError(f"The tool {name!r} {why}.", next_step, "unfit_tool")


def failed(code: str, message: str, next_step: str) -> dict[str, str]:
    """What the model is told of a tool call that did not work."""
    return {"error": code, "message": message[:500], "next_step": next_step}  # a message may quote the model


def check(name: str, arguments: dict[str, Any] | str, tools: Sequence[Tool]) -> tuple[Tool, BaseModel] | dict[str, str]:
    """The tool with its validated arguments, or the error for the model."""
    found = next((one for one in tools if one.name == name), None)
    if found is None:
        names = ", ".join(one.name for one in tools)
        return failed("unknown_tool", f"There is no tool {name!r}.", f"Use one of: {names}.")
    if isinstance(arguments, str):
        return failed("invalid_arguments", "The arguments are no JSON object.", "Send one JSON object.")
    try:
        return found, found.arguments.model_validate(arguments)
    except ValidationError as error:
        wrong = "; ".join(
            ": ".join([*map(str, one["loc"]), one["msg"].removeprefix("Value error, ")]) for one in error.errors()[:3]
        )
        return failed("invalid_arguments", f"{wrong}.", "Correct the arguments, or ask the customer for them.")
    except Exception:
        log.exception("A validator of the tool %s failed.", found.name)
        return _broken(found)


async def run(tool: Tool, arguments: BaseModel, turn: Turn, seconds: float = math.inf, call_id: str = "") -> Any:
    """What the tool returns, as JSON (see `tool_results`), or an error for the model. Never raises.

    It may take its own timeout, and at most `seconds`. `call_id` is the model's, for the trace.
    """
    with call_spans.tool(tool.name, arguments, call_id) as ended:
        return ended(await _outcome(tool, arguments, turn, seconds))


async def _outcome(tool: Tool, arguments: BaseModel, turn: Turn, seconds: float) -> Any:
    patience = min(tool.timeout, seconds)
    if patience <= 0:
        return failed("timeout", f"There was no time left for {tool.name}.", "Go on without it, and say so.")
    given = dict(arguments)
    if tool.turn_parameter:
        given[tool.turn_parameter] = turn
    try:
        return await _within(tool, given, patience)
    except _Late:
        return failed("timeout", f"{tool.name} gave no answer in {patience:.3g} s.", "Go on without it, and say so.")
    except PatternsError as error:
        return failed(error.code, error.message, error.next_step)
    except Exception:
        # The model and the customer learn nothing of what is inside; the log does.
        log.exception("The tool %s failed.", tool.name)
        return _broken(tool)


def _broken(tool: Tool) -> dict[str, str]:
    return failed("tool_failed", f"{tool.name} does not work at the moment.", "Go on without it, and say so.")


class _Late(Exception):
    """No answer in time. Not TimeoutError, which a tool may raise for reasons of its own."""


async def _within(tool: Tool, given: dict[str, Any], seconds: float) -> Any:
    work = _task(tool, given) if inspect.iscoroutinefunction(tool.function) else _thread(tool, given)
    try:
        await asyncio.wait({work}, timeout=seconds)
        if not work.done():
            raise _Late
        error = work.exception()
        if error is not None:
            raise _for_future(error)
        return work.result()
    finally:
        work.cancel()  # and not waited for: a tool that does not let itself be stopped must not stop us


def _task(tool: Tool, given: dict[str, Any]) -> "asyncio.Future[Any]":
    async def work() -> Any:
        try:
            return fitted(await tool.function(**given))
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise  # by us, not by the tool
            raise RuntimeError(repr(error)) from error
        except (SystemExit, KeyboardInterrupt) as error:  # would end the event loop
            raise RuntimeError(repr(error)) from error

    task = asyncio.create_task(work(), name=f"tool-{tool.name}")
    _running.add(task)
    task.add_done_callback(_ended)
    return task


_running: "set[asyncio.Task[Any]]" = set()  # asyncio itself keeps no task alive


def _ended(task: "asyncio.Task[Any]") -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that nobody warns that it never was


def _thread(tool: Tool, given: dict[str, Any]) -> "asyncio.Future[Any]":
    # A thread cannot be stopped. A daemon thread at least does not keep the process from ending.
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def work() -> None:
        try:
            outcome = (done.set_result, fitted(tool.function(**given)))
        except BaseException as error:
            outcome = (done.set_exception, _for_future(error))
        try:
            loop.call_soon_threadsafe(_settle, done, *outcome)
        except RuntimeError:
            log.warning("The tool %s ended after its caller had gone.", tool.name)

    threading.Thread(target=work, name=f"tool-{tool.name}", daemon=True).start()
    return done


def _for_future(error: BaseException) -> Exception:
    # A future takes no StopIteration, and nothing that ends programs may come out of a tool.
    return error if isinstance(error, Exception) and not isinstance(error, StopIteration) else RuntimeError(repr(error))


def _settle(done: "asyncio.Future[Any]", setter: Callable[[Any], None], value: Any) -> None:
    if not done.done():
        setter(value)
