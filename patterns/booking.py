"""What stands around every model call: it is in the ledger and in the budgets before it is made, and settled after.

async with booked(provider, tier, reading=..., most_read=..., most_written=..., labels=...) as entry:
    ...                     # the call; entry.usage and entry.heard() say what came of it
entry.settled               # tokens, dollars, seconds
"""

import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from . import budgets, call_spans, ledger
from .errors import CallerError, PatternsError
from .models import Provider, Tier
from .provider_errors import translate, turned_away
from .replies import Reply
from .token_counts import estimate_tokens

log = logging.getLogger(__name__)

BYTES_A_TOKEN = 2  # at least, in what a model writes: few texts have fewer
UNSEEN_TOKENS = 32  # written by the provider and still on their way when we left


@dataclass(slots=True)
class Entry:
    """A call while it runs: what is known about it. `asked` and `reply` are those of a chat call."""

    started: float
    text: list[str] = field(default_factory=list)
    first: float = 0.0
    usage: Any = None
    request_id: str = ""
    settled: dict[str, Any] = field(default_factory=dict)
    asked: Sequence[Mapping[str, Any]] = ()
    reply: Reply | None = None
    streamed: bool = False

    def heard(self, text: str) -> None:
        self.first = self.first or time.perf_counter() - self.started
        self.text.append(text)


@asynccontextmanager
async def booked(
    chosen: Provider, model: Tier, *, reading: str, most_read: int, most_written: int, labels: Mapping[str, str]
) -> AsyncGenerator[Entry, None]:
    """Hold what the call can cost at most, write it down, and settle both however the block ends; errors become ours.

    `reading` is what the model reads, for an estimate where the provider counts nothing. `most_read` and
    `most_written` are tokens. Raises LimitHit (`budget`) before the block where the call could pass a cap.
    """
    book, most = ledger.default(), model.cost(most_read, most_written)
    async with budgets.reserved(most, labels) as bill:
        call = book.begin(provider=chosen.name, model=model.model, tier=model.name, cost_usd=most, **labels)
        entry, outcome, charged = Entry(time.perf_counter()), "aborted", True
        span = call_spans.call_begun(chosen, model, labels, most_written)
        try:
            yield entry
            outcome = "done"
        except PatternsError as error:
            outcome = error.code
            raise
        except Exception as error:
            charged = not turned_away(error)
            translated = translate(error, chosen, model.model, bool(entry.text))
            outcome = translated.code
            raise translated from error
        finally:
            counted, text = _counted(entry.usage), "".join(entry.text)
            tokens = counted or {
                "input_tokens": estimate_tokens(reading) if charged else 0,
                "output_tokens": estimate_tokens(text),
                "cached_tokens": 0,
            }
            entry.settled = {
                **tokens,
                "cost_usd": model.cost(**tokens),
                "first_token_seconds": entry.first,
                "seconds": time.perf_counter() - entry.started,
                "provider_request_id": entry.request_id,
            }
            call_spans.call_ended(span, outcome, entry)
            if counted or not charged:
                bill.dollars = entry.settled["cost_usd"] or 0.0
            elif text:
                # A cap is held against the provider's count, which nobody knows now: rather too many than too few.
                written = max(len(text.encode()) // BYTES_A_TOKEN, len(entry.text)) + UNSEEN_TOKENS
                bill.dollars = min(bill.dollars, model.cost(most_read, written) or 0.0)
            # else nothing is known, and the call is charged the most that it can have cost
            try:
                book.settle(call, outcome=outcome, estimated=not counted, **entry.settled)
            except CallerError:
                # The call stays open in the book. An answer that was paid for, or a Stop, must not turn into this.
                log.exception("The call %s could not be settled.", call)


def _counted(usage: Any) -> dict[str, int] | None:
    """The provider's own count, or None where it sent none that can be used."""
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if not isinstance(read, int) or not isinstance(written, int):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return {"input_tokens": read, "output_tokens": written, "cached_tokens": cached if isinstance(cached, int) else 0}
