"""Two looks that an agent may take: at its steps before it begins, and at its answer before the customer keeps it.

Both are model calls of their own and cost what a call costs. Notebook 05 measures whether they are worth it.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from .events import Answer
from .tools import Tool

Ask: TypeAlias = Callable[..., Awaitable[Answer | None]]  # (output model, *messages) -> the answer with that output


class Step(BaseModel):
    """One step of a plan. `after` names the steps whose results it needs."""

    model_config = ConfigDict(extra="forbid")

    number: Annotated[int, Field(ge=1, le=20, description="1 for the first step, then counting up.")]
    tool: Annotated[str, Field(description="The tool that this step uses.")]
    purpose: Annotated[str, Field(max_length=200, description="What this step finds out or does.")]
    after: Annotated[tuple[int, ...], Field(max_length=20, description="Numbers of the steps that must come before.")]


class Plan(BaseModel):
    """The steps of a run. A plan that waits for itself, or for a step that is not there, is no plan."""

    model_config = ConfigDict(extra="forbid")

    steps: Annotated[tuple[Step, ...], Field(max_length=10, description="The steps, each with one tool.")]

    @model_validator(mode="after")
    def can_be_done(self) -> "Plan":
        """Raises ValueError for a number used twice, a step that is missing, and steps that wait for each other."""
        waits_for = {step.number: set(step.after) for step in self.steps}
        if len(waits_for) < len(self.steps):
            raise ValueError("two steps have the same number")
        if missing := sorted(set().union(*waits_for.values()) - waits_for.keys()):
            raise ValueError(f"there is no step {missing[0]}")
        while waits_for:
            ready = [number for number, before in waits_for.items() if not before & waits_for.keys()]
            if not ready:
                raise ValueError(f"the plan is circular: steps {', '.join(map(str, waits_for))} wait for each other")
            for number in ready:
                del waits_for[number]
        return self


class Review(BaseModel):
    """A look at a drafted answer."""

    model_config = ConfigDict(extra="forbid")

    missing: Annotated[str, Field(max_length=300, description="What the question asks and the draft does not answer.")]
    complete: Annotated[bool, Field(description="True when the draft answers every part of the question.")]


async def make(ask: Ask, available: Sequence[Tool]) -> dict[str, Any]:
    """A message with the plan, for the steps that follow; one that says so when no plan could be made."""
    plan = _plan_with(tuple(tool.name for tool in available))
    offered = "\n".join(f"{tool.name}: {tool.description}" for tool in available)
    wanted = {"role": "system", "content": f"First write down the steps that this needs. The tools:\n{offered}"}
    made = await ask(plan, wanted)
    if made is None or not isinstance(made.output, Plan) or not made.output.steps:
        return {"role": "system", "content": "There is no plan. Take one step at a time."}
    listed = "\n".join(f"{step.number}. {step.tool}: {step.purpose}" for step in made.output.steps)
    return {"role": "system", "content": f"The plan:\n{listed}"}


@cache
def _plan_with(names: tuple[str, ...]) -> type[Plan]:
    """A Plan whose steps use these tools only."""
    allowed: Any = Literal[names]
    field = Field(description=Step.model_fields["tool"].description)
    step: Any = create_model("Step", __base__=Step, tool=(allowed, field))
    steps: Any = tuple[step, ...]  # pyright: ignore[reportInvalidTypeForm]
    return create_model("Plan", __base__=Plan, steps=(steps, Plan.model_fields["steps"]))


async def review(ask: Ask, draft: Answer) -> str:
    """What the draft lacks; empty when nothing, or when the model cannot say."""
    wanted = {"role": "system", "content": "Compare the draft with the customer's question, part by part."}
    made = await ask(Review, {"role": "assistant", "content": draft.text}, wanted)
    if made is None or not isinstance(made.output, Review) or made.output.complete:
        return ""
    return made.output.missing


def go_on(draft: Answer, lack: str) -> dict[str, Any]:
    """The message that sends the model back to work."""
    return {"role": "system", "content": f"Your draft was: {draft.text}\nIt does not answer this yet: {lack}"}
