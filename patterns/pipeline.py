"""The agent's task as a fixed pipeline: our code decides the steps, and the model is asked once.

    order numbers in the question, by pattern  ->  look each up  ->  search the help centre  ->  one model call

It makes one call every time, cannot loop, and can do nothing that is not in it: notebook 05 compares it with the agent.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from . import acme_tools, rag, streaming_ux, structured_output
from .core import model_call, support_prompt
from .events import Event, Handler, Status, ToolCall, Turn, stack
from .tool_use import as_message, settle

ORDER_NUMBER = re.compile(r"\b[HKN]-\d{6}\b", re.IGNORECASE)
MOST_ORDERS = 4  # as many as an agent may look up in one step
MAX_TOKENS = 1_000


def look_up_orders(inner: Handler) -> Handler:
    """Look up each order that the question names, and give the model the results as if it had asked for them."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        numbers = dict.fromkeys(number.upper() for number in ORDER_NUMBER.findall(turn.text))
        name = acme_tools.order_lookup.name
        calls = [ToolCall(f"order-{number}", name, {"order_id": number}) for number in list(numbers)[:MOST_ORDERS]]
        if calls:
            yield Status("searching", "your orders")
            turn = replace(turn, exchange=(as_message(calls, turn),))
            settled = await settle(turn, [acme_tools.order_lookup], MOST_ORDERS)
            turn = replace(turn, exchange=(*turn.exchange, *settled.messages))
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event

    return handle


def build() -> Handler:
    """The assistant with the pipeline in place of the agent."""
    return stack(
        model_call(support_prompt, max_tokens=MAX_TOKENS),
        streaming_ux.acknowledge,
        streaming_ux.report_failures,
        streaming_ux.heartbeat(),
        streaming_ux.cap_history(),
        rag.retrieve(rag.acme_index, fresh_since=rag.fresh_since),
        look_up_orders,
        rag.grounded,
        structured_output.structured(),
        streaming_ux.restart(),
    )
