"""The last rungs: what is said when no model can be reached, in the language of the customer.

A found passage is served as `simplified`, and anything else as what it is: `unavailable`, or `handoff` where a person
has been told. Each names the ways to reach a person.
"""

import math
from collections.abc import Callable
from datetime import date
from typing import Any

from . import faq_search, tool_use
from .errors import ProviderError
from .events import Answer, Turn
from .rungs import Rungs
from .tools import Tool

AGAIN = 60.0  # seconds after which to try again, where the provider does not say


async def answer(
    turn: Turn,
    allowed: Rungs,
    failure: ProviderError,
    acted: bool,
    fresh_since: Callable[[], date | None],
    handoff: Tool | None,
    articles: faq_search.Articles,
    contact: faq_search.FindContact,
) -> Answer:
    """A passage of the help centre, a person who takes over, or who can be reached and when to try again.

    `acted`: a tool has run in this request, so that its question is about more than an article says.
    """
    words = TEXTS.get(turn.user.language, TEXTS["en"])
    reach = contact(turn.user.tenant)
    help_ = words["reach"].format(email=reach.email, phone=reach.phone, hours=reach.hours) if reach else ""
    own: dict[str, Any] = {"trace_id": turn.trace_id, "cost_usd": 0.0}
    found = faq_search.search(turn.text, turn.user, fresh_since, articles) if allowed.faq and not acted else None
    if found:
        first = found.chunks[0]
        told = "\n\n".join(chunk.text for chunk in found.chunks)
        passage = words["found"].format(title=first.title, text=_short(told), url=first.url)
        text = f"{passage}\n\n{words['otherwise']} {help_}".strip()
        return Answer(
            text=text,
            cited_chunk_ids=tuple(chunk.id for chunk in found.chunks),
            served="simplified",
            outcome="partial",
            **own,
        )
    if allowed.careful and handoff:
        left = await tool_use.run_once(
            handoff, {"reason": f"No model could answer: {turn.text[:300]}"}, turn, "fallback"
        )
        if not left.get("error"):
            text = words["person"].format(reference=left.get("reference", "")) + f" {help_}"
            return Answer(text=text, confident=False, served="handoff", outcome="human_handoff", **own)
    minutes = math.ceil(max(failure.retry_after or 0.0, AGAIN) / 60)
    text = words["unavailable"].format(minutes=minutes) + (words["done"] if acted else "") + f" {help_}"
    return Answer(text=text.strip(), confident=False, served="unavailable", outcome="failure", **own)


def _short(text: str) -> str:
    return text if len(text) <= faq_search.LONGEST else text[: faq_search.LONGEST].rsplit(" ", 1)[0] + " ..."


TEXTS = {
    "en": {
        "found": "Our assistant is out of reach. This is from our help centre, picked by its words alone:\n\n"
        "**{title}**\n{text}\n{url}",
        "otherwise": "Is that not what you need?",
        "reach": "Write to {email} or call {phone} ({hours}).",
        "unavailable": "Our assistant is out of reach. Please try again in {minutes} min.",
        "done": " What was begun before is kept, and nothing is done twice.",
        "person": "We do not want to guess here. A person will look at your question; the reference is {reference}.",
    },
    "de": {
        "found": "Unser Assistent ist nicht erreichbar. Das steht in unserer Hilfe, nur nach Wörtern gesucht:\n\n"
        "**{title}**\n{text}\n{url}",
        "otherwise": "Ist es das nicht?",
        "reach": "Schreiben Sie an {email} oder rufen Sie an: {phone} ({hours}).",
        "unavailable": "Unser Assistent ist nicht erreichbar. Bitte versuchen Sie es in {minutes} min wieder.",
        "done": " Was schon begonnen war, bleibt erhalten, und nichts geschieht doppelt.",
        "person": "Hier wollen wir nicht raten. Ein Mensch sieht sich Ihre Frage an; die Nummer ist {reference}.",
    },
}
