"""Notebook 05."""

from typing import Any

from ... import tools
from ...errors import CallerError
from ...events import Turn
from . import NotYet, exercise


def _asks(*calls: tuple[str, str]) -> dict[str, Any]:
    functions = [{"name": name, "arguments": arguments} for name, arguments in calls]
    wired = [{"id": f"c{at}", "type": "function", "function": one} for at, one in enumerate(functions)]
    return {"role": "assistant", "content": None, "tool_calls": wired}


ORDER_1, ORDER_2 = ("order_lookup", '{"order_id": "H-1"}'), ("order_lookup", '{"order_id": "H-2"}')
BROKEN = ("search", '{"query"')
RESULT = {"role": "tool", "tool_call_id": "c0", "content": "{}"}
PLAN = {"role": "system", "content": "The plan: look up H-1."}
REPEATED: tuple[tuple[str, list[dict[str, Any]], list[int]], ...] = (
    ("one call, and none before it", [_asks(ORDER_1)], []),
    ("the same call in two messages", [_asks(ORDER_1), RESULT, _asks(ORDER_1)], [0]),
    ("the same tool with another order", [_asks(ORDER_1), RESULT, _asks(ORDER_2)], []),
    ("the same arguments for another tool", [_asks(ORDER_1), RESULT, _asks(("cancel_order", ORDER_1[1]))], []),
    ("the same call three times in one message", [_asks(ORDER_1, ORDER_1, ORDER_1)], [1, 2]),
    ("a call of the message before the last", [_asks(ORDER_2), RESULT, _asks(ORDER_1), RESULT, _asks(ORDER_2)], [0]),
    (
        "the same arguments in another order",
        [_asks(("search", '{"query": "a", "page": 1}')), RESULT, _asks(("search", '{"page":1,"query":"a"}'))],
        [0],
    ),
    (
        "arguments that are no JSON",
        [_asks(("search", '{"query"')), RESULT, _asks(("search", '{"query"'), ORDER_1)],
        [0],
    ),
    ("results at the end", [_asks(ORDER_1), RESULT, _asks(ORDER_2, ORDER_1), RESULT], [1]),
    ("a message without calls first", [PLAN, _asks(ORDER_1), RESULT, _asks(ORDER_2, ORDER_1)], [1]),
)


@exercise
async def repeated(solution: Any) -> str:
    for what, exchange, expected in REPEATED:
        found = solution(exchange)
        if found is None or sorted(found) != expected:
            raise NotYet(f"{what}: it returned {found!r}; {expected} is expected.")
    return "Every call that was made before, however it is written."


@exercise
async def circuit(solution: Any) -> str:
    healthy, ran = True, 0

    @tools.tool
    def stock(item: str) -> str:
        """How many of an item there are."""
        nonlocal ran
        ran += 1
        if not healthy:
            raise CallerError("The stock system does not answer.", "Go on without it.", "unreachable")
        return f"12 of {item}"

    guarded, other = solution(stock, 3), solution(stock, 2)
    if not isinstance(guarded, tools.Tool) or guarded.wire != stock.wire:
        raise NotYet("it must return a tool with the same name, description and arguments.")

    async def calls(made: tools.Tool, works: bool, times: int) -> list[str]:
        nonlocal healthy
        healthy = works
        results = [await tools.run(made, made.arguments(item="hub"), Turn("")) for _ in range(times)]
        return [one["error"] if isinstance(one, dict) else str(one) for one in results]

    if await calls(guarded, True, 5) != ["12 of hub"] * 5:
        raise NotYet("a tool that works must give its result, as often as it is asked.")
    if (said := await calls(guarded, False, 2)) != ["unreachable"] * 2:
        raise NotYet(f"two failures must reach the model as they are (unreachable); it heard {', '.join(said)}.")
    if await calls(guarded, True, 1) != ["12 of hub"]:
        raise NotYet("after two failures of three, the tool must still run.")
    if await calls(guarded, False, 2) != ["unreachable"] * 2 or await calls(guarded, True, 1) != ["12 of hub"]:
        raise NotYet("a success starts the count anew: two failures, a success, two failures are not three in a row.")
    before = ran
    said = await calls(guarded, False, 5)
    if ran - before != 3:
        raise NotYet(f"of five calls to a tool that fails, {ran - before} ran it; expected 3.")
    if said[3:] != ["circuit_open"] * 2:
        raise NotYet(f"after three failures the model heard {said[3]}; circuit_open is expected.")
    if await calls(other, False, 3) != ["unreachable", "unreachable", "circuit_open"]:
        raise NotYet("a second circuit, with most=2, must count for itself and open after two failures.")
    return "Three failures in a row open it, a success starts anew, and each tool counts for itself."
