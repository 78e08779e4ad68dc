"""An agent: a model that decides its own next step, inside bounds that it cannot move.

The two layers that notebook 05 puts around the assistant:

    agent       step after step: ask the model, run its tools, hand back the results, until it answers or must stop
    bounded     directly around the model call: refuses the call that would pass a cap (see `bounds.py`)

Every run ends with an Answer whose `outcome` is one of success, partial, failure, human_handoff, limit_hit. Only what
is no matter of this run goes out as an error: a wrong key, a full disk, a budget of the day, a switch that is off.
A run is saved after every step (see `checkpoints.py`); `resume_run` goes on with one that was stopped or was killed.
"""

import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from . import checkpoints, planning, tools
from .bounds import CAPS, Caps, dollars_spent, steps_used
from .errors import CallerError, LimitHit, PatternsError
from .events import Answer, Event, Handler, Layer, Outcome, Reset, TextDelta, ToolCall, Turn, User
from .tool_use import as_message, run_once, settle, unanswered
from .tools import Tool
from .waiting import within

FRUITLESS_STEPS = 2  # steps in a row in which no tool did anything, until a person is asked


def agent(
    available: Sequence[Tool],
    caps: Caps = CAPS,
    *,
    handoff: Tool | None = None,
    plan: bool = False,
    reflect: bool = False,
) -> Layer:
    """Let the model take steps with `available` tools until it answers, within `caps`.

    `handoff` is the tool that calls a person; it is used for the model when a guardrail trips. With `plan` the model
    writes its steps down first, and with `reflect` it looks once at its answer before the customer keeps it: one model
    call more each. A write ends the turn with a ConfirmationRequired; go on with `tool_use.resume`.
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            run = Run(turn, caps, tuple(available), handoff, inner)
            reviewed = not reflect
            try:
                if plan and not turn.exchange:
                    run.said(await planning.make(run.ask, available))
                while True:
                    async with aclosing(run.step()) as events:
                        async for event in events:
                            yield event
                    if run.waits:
                        return
                    if run.answer is None:
                        run.check_progress()
                    elif reviewed or run.is_last:
                        break
                    else:
                        reviewed = True
                        if not (lack := await planning.review(run.ask, run.answer)):
                            break
                        yield Reset(lack)
                        run.said(planning.go_on(run.answer, lack))
                yield run.ended(run.answer)
                return
            except PatternsError as error:
                if _not_of_the_run(error):
                    raise
                stop = error
            if run.shown:
                yield Reset(stop.message)
            yield await run.stopped(stop)

        return handle

    return layer


class Run:
    """One run while this process works on it: the turn with its whole exchange, the clock, and what came of it."""

    def __init__(
        self, turn: Turn, caps: Caps, available: tuple[Tool, ...], handoff: Tool | None, inner: Handler
    ) -> None:
        self.turn, self.caps, self._available, self._handoff, self._inner = turn, caps, available, handoff, inner
        self._handoffs = {tool.name for tool in (*available, handoff) if tool and tool.effect == "handoff"}
        self.answer: Answer | None = None
        self.shown = self.waits = self.is_last = False
        self._book = checkpoints.default()
        self._lap = time.monotonic()
        self._deadline = self._lap + caps.seconds - self._book.seconds(turn.trace_id)

    async def step(self) -> AsyncGenerator[Event, None]:
        """One step: the model's reply, or its tool calls with their results. Sets `answer` or `waits` at the end."""
        self.answer = None
        if not unanswered(self.turn.exchange):
            asked: list[ToolCall] = []
            # The last call is made without tools: the model has to answer with what it has.
            self.is_last = steps_used(self.turn) >= self.caps.steps - 1
            offered = () if self.is_last else tuple(tool.wire for tool in self._available)
            reply = within(self._inner(replace(self.turn, tools=offered)), self._deadline)
            async with aclosing(reply) as events:
                async for event in events:
                    if isinstance(event, Answer):
                        self.answer = event
                        return
                    if isinstance(event, ToolCall):
                        asked.append(event)
                    self.shown = self.shown or isinstance(event, TextDelta)
                    yield event
            self.said(as_message(asked, self.turn))
        left = self._deadline - time.monotonic()
        settled = await settle(self.turn, self._available, self.caps.calls_per_step, self._repeated(), left)
        for event in settled.events:
            yield event
        self.waits = settled.waits
        if self.waits:
            self._save("waiting")
        else:
            self.said(*settled.messages)

    async def ask(self, output: type[BaseModel], *messages: dict[str, Any]) -> Answer | None:
        """One model call on the side, for a value of its own; it counts like every other. None when it fails."""
        turn = replace(self.turn, output=output, tools=(), exchange=(*self.turn.exchange, *messages))
        try:
            async with aclosing(within(self._inner(turn), self._deadline)) as events:
                async for event in events:
                    if isinstance(event, Answer):
                        return event
        except PatternsError as error:
            if _not_of_the_run(error):
                raise
        return None

    def said(self, *messages: dict[str, Any]) -> None:
        """Add messages to the exchange, and save the run."""
        self.turn = replace(self.turn, exchange=(*self.turn.exchange, *messages))
        self._save("running")

    def _save(self, status: checkpoints.Status) -> None:
        before, self._lap = self._lap, time.monotonic()
        self._book.save(self.turn, status, self._lap - before)

    # what may be concluded

    def _repeated(self) -> dict[int, dict[str, str]]:
        """The unanswered calls that were made before in this run, with the same arguments: position -> error.

        A person is called once, whatever the arguments.
        """
        *before, latest = [message["tool_calls"] for message in self.turn.exchange if message.get("tool_calls")]
        made = [call for calls in before for call in calls]
        results = [result for step in self.results() for result in step]
        seen = {_key(call) for call in made}
        called = any(map(self._worked_handoff, made, results))
        errors = {}
        for position, call in enumerate(latest):
            is_handoff = call["function"]["name"] in self._handoffs
            if _key(call) in seen or (is_handoff and called):
                errors[position] = tools.failed(
                    "duplicate_call", "This was asked before, and the result is above.", "Use it, or answer."
                )
            seen.add(_key(call))
            called = called or is_handoff
        return errors

    def _worked_handoff(self, call: dict[str, Any], result: Any) -> bool:
        return call["function"]["name"] in self._handoffs and not error_of(result)

    def results(self) -> list[list[Any]]:
        """The tools' results so far, one list a step."""
        found: list[list[Any]] = []
        for message in self.turn.exchange:
            if message.get("tool_calls"):
                found.append([])
            elif message["role"] == "tool":
                found[-1].append(json.loads(message["content"]))
        return found

    def check_progress(self) -> None:
        """Raises LimitHit when going on is pointless: nobody knows what an action did, or nothing works any more."""
        steps = self.results()
        if "outcome_unknown" in map(error_of, steps[-1]):
            raise LimitHit("An action was begun and its end is not known.", "A person has to look.", "outcome_unknown")
        latest = steps[-FRUITLESS_STEPS:]
        if len(latest) == FRUITLESS_STEPS and all(map(error_of, [result for step in latest for result in step])):
            raise LimitHit("Nothing that was tried has worked.", "Hand over to a person.", "no_progress")

    def worked(self) -> bool:
        """Whether any tool of the run did what it should."""
        return any(not error_of(result) for step in self.results() for result in step)

    def handed_over(self) -> bool:
        """Whether a person was called; a call whose end nobody knows is none."""
        done = self._book.actions(self.turn.trace_id)
        return any(one.tool in self._handoffs and one.result and not error_of(one.result) for one in done)

    # endings

    def ended(self, said: Answer) -> Answer:
        """The model's answer, with how the run ended and what all of its steps cost."""
        outcome: Outcome = said.outcome
        if self.handed_over():
            outcome = "human_handoff"
        elif self.is_last:
            outcome = "limit_hit"
        elif outcome == "success" and not said.confident:
            outcome = "partial" if self.worked() or said.cited_chunk_ids else "failure"
        return self._closed(said.model_copy(update={"outcome": outcome}))

    async def stopped(self, error: PatternsError) -> Answer:
        """What the customer is told when the run had to stop; a person is called where there is a tool for it."""
        guarded = error.code in ("outcome_unknown", "no_progress")
        if self._handoff and guarded and not self.handed_over():
            await run_once(self._handoff, {"reason": error.message}, self.turn, "guardrail")
        outcome: Outcome = "limit_hit" if isinstance(error, LimitHit) else "partial" if self.worked() else "failure"
        if self.handed_over():
            outcome = "human_handoff"
        text = STOPPED.get(self.turn.user.language, STOPPED["en"])["handoff" if self.handed_over() else "stopped"]
        unfinished = Answer(text=text, confident=False, served="simplified", outcome=outcome)
        return self._closed(unfinished.model_copy(update={"trace_id": self.turn.trace_id}))

    def _closed(self, answer: Answer) -> Answer:
        self._save("ended")
        served = "handoff" if answer.outcome == "human_handoff" else answer.served
        return answer.model_copy(update={"served": served, "cost_usd": dollars_spent(self.turn)})


STOPPED = {
    "en": {
        "stopped": "I could not finish this. Please ask again in smaller parts, or ask for a person.",
        "handoff": "I could not finish this by myself. A person will take over and look at what was done.",
    },
    "de": {
        "stopped": "Das habe ich nicht zu Ende gebracht. Bitte fragen Sie in kleineren Teilen.",
        "handoff": "Das habe ich allein nicht zu Ende gebracht. Ein Mensch übernimmt und prüft, was getan wurde.",
    },
}


def _not_of_the_run(error: PatternsError) -> bool:
    """A wrong key, a full disk, a budget of the day, a switch that is off: this run can go on when that is mended."""
    for_developers = isinstance(error, CallerError) and error.code not in ("context_too_long", "bad_request")
    return for_developers or error.code in ("budget", "switched_off")


def _key(call: dict[str, Any]) -> str:
    function = call["function"]
    try:
        arguments = json.dumps(json.loads(function["arguments"] or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        arguments = function["arguments"]
    return f"{function['name']} {arguments}"


def error_of(result: Any) -> str:
    """The error code in a tool's result, or an empty text."""
    return str(result.get("error", "")) if isinstance(result, dict) else ""


async def resume_run(handler: Handler, run_id: str, user: User) -> AsyncGenerator[Event, None]:
    """Go on with a run whose process died: the events of its rest. `run_id` is the turn's trace_id.

    Raises CallerError: `unknown_run`, also for somebody else's; `run_ended` for one that has its answer.
    """
    run = checkpoints.default().load(run_id, user)
    if run.status == "ended":
        raise CallerError("This run has ended.", "Ask a new question.", "run_ended")
    async with aclosing(handler(run.turn)) as events:
        async for event in events:
            yield event
