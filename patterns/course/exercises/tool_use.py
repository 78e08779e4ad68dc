"""Notebook 03."""

import json
from typing import Any

from ... import acme, acme_tools, tools
from ...events import Turn
from . import NotYet, exercise

CANCELLABLE = (("C-0002", "H-100108"), ("C-0009", "h-100109"), ("C-0041", "K-100109"))
TOO_LATE = (("C-0001", "H-100098"), ("C-0011", "H-100085"))


@exercise
async def cancel_order(solution: Any) -> str:
    made = solution()
    if not isinstance(made, tools.Tool):
        raise NotYet(f"it returned {made!r}; a function under @tool(...) is expected.")
    if made.effect != "write":
        raise NotYet(f'its effect is "{made.effect}". Cancelling changes something: the customer must say yes first.')
    if list(made.arguments.model_fields) != ["order_id"]:
        raise NotYet(
            f"the model fills {', '.join(made.arguments.model_fields)}; it may fill order_id, and nothing else."
        )
    if "H-100108" not in made.asks({"order_id": "H-100108"}):
        raise NotYet("the question to the customer does not name the order.")
    foreign = await _cancelled(made, "C-0001", "H-100108")
    missing = await _cancelled(made, "C-0001", "H-199999")
    if "error" not in foreign or "error" not in missing:
        raise NotYet("C-0001 could cancel an order that is not in this account.")
    if foreign["error"] != missing["error"]:
        raise NotYet(
            "the errors tell somebody else's order from one that does not exist: its number is worth guessing."
        )
    for customer, order_id in TOO_LATE:
        if "error" not in await _cancelled(made, customer, order_id):
            raise NotYet(f"{order_id} could be cancelled, and it is {acme.orders()[order_id]['status']}.")
    for customer, order_id in CANCELLABLE:
        result = await _cancelled(made, customer, order_id)
        if isinstance(result, dict) and "error" in result:
            raise NotYet(f"{order_id} belongs to {customer} and is not shipped, and yet: {result['message']}")
    return "Only the customer's own orders, only before they are shipped, and only after a yes."


async def _cancelled(made: tools.Tool, customer: str, order_id: str) -> Any:
    """The tool's result, and the check that the desk has the cancellation exactly when it is no error."""
    before = len(acme_tools.desk().work("cancellation"))
    turn = Turn("", acme.user(customer))
    result = await tools.run(made, made.arguments(order_id=order_id), turn)
    left = acme_tools.desk().work("cancellation")[before:]
    wrong = isinstance(result, dict) and result.get("error")
    if wrong == "tool_failed":
        raise NotYet(f"it failed for {order_id} of {customer}. Raise a CallerError that says what is wrong.")
    if wrong and left:
        raise NotYet(f"it refused {order_id}, and left the cancellation on the desk all the same.")
    if not wrong and [one.customer for one in left] != [customer]:
        raise NotYet(f'after cancelling {order_id}, desk().work("cancellation") has {len(left)} more; expected 1.')
    return result


LONG = [{"id": f"H-{number}", "status": "delivered" * (number % 4)} for number in range(200_000, 200_060)]


@exercise
async def paged(solution: Any) -> str:
    limit = 400
    first = solution(LONG, 1, limit)
    if not isinstance(first, dict) or not {"items", "page", "pages"} <= first.keys():
        raise NotYet(f"it returned {str(first)[:80]}; a dict with items, page and pages is expected.")
    seen: list[Any] = []
    for page in range(1, first["pages"] + 1):
        shown = solution(LONG, page, limit)
        if len(json.dumps(shown)) > limit:
            raise NotYet(f"page {page} has {len(json.dumps(shown))} characters of JSON; {limit} are allowed.")
        if (shown["page"], shown["pages"]) != (page, first["pages"]):
            raise NotYet(f"page {page} says that it is page {shown['page']} of {shown['pages']}.")
        seen += shown["items"]
    if seen != LONG:
        raise NotYet(f"all pages together have {len(seen)} items; each of the {len(LONG)} must come once, in order.")
    if first["pages"] > 16:
        raise NotYet(f"it makes {first['pages']} pages; fill each page as far as the limit allows.")
    for page in (0, first["pages"] + 1):
        beyond = solution(LONG, page, limit)
        if not isinstance(beyond, dict) or not {"error", "message", "next_step"} <= beyond.keys():
            raise NotYet(f"page {page} does not exist: answer with tools.failed(code, message, next_step).")
    if solution([], 1, limit).get("pages") != 1:
        raise NotYet("an empty list has one page, which is empty.")
    return "Every item once, each page within the limit, and an error that says which pages there are."
