"""What a customer is told when there is no answer, in their language, and the HTTP status that goes with it.

The errors inside speak to developers: they name settings, files and providers. None of that goes out. What happened is
told apart by its code alone, and whoever needs the details finds them in the log under the trace id.
"""

import math
from dataclasses import dataclass
from typing import Any

from .. import faq_search
from ..events import Failed, User

PROVIDER = "rate_limited overloaded unreachable timeout stream_cut bad_stream breaker_open quota invalid no_answer"
# Code of an error -> HTTP status and which words. Any other code is our own fault: 500.
KINDS: dict[str, tuple[int, str]] = {
    **dict.fromkeys(PROVIDER.split(), (503, "unavailable")),
    "switched_off": (503, "switched_off"),
    "busy": (503, "busy"),
    "rate_limit": (429, "rate_limit"),
    "too_many_streams": (429, "too_many_streams"),
    "budget": (402, "budget"),
    "refused": (422, "refused"),
    "context_too_long": (413, "too_long"),
    "too_large": (413, "too_long"),
    "bad_request": (400, "bad_request"),
    "json_only": (415, "bad_request"),
    "not_signed_in": (401, "not_signed_in"),
    "wrong_origin": (403, "wrong_origin"),
    "not_found": (404, "not_found"),
    "unknown_token": (404, "not_found"),
    "already_decided": (409, "already_decided"),
    "too_slow": (408, "too_slow"),
}
# Seconds after which to come back, where nobody has named a time.
COME_BACK = {"unavailable": 30.0, "switched_off": 300.0, "busy": 5.0, "rate_limit": 2.0, "too_many_streams": 2.0}


class Refused(Exception):
    """There is no answer, for the reason `code`; `detail` is for whoever wrote the client."""

    def __init__(self, code: str, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code, self.detail, self.retry_after = code, detail, retry_after


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status, its body, and the seconds after which it makes sense to come back (None: it does not)."""

    status: int
    body: dict[str, Any]
    retry_after: int | None = None


def refusal(error: Failed | Refused, user: User | None = None, language: str = "en") -> Refusal:
    """What `user` is told about `error`; `language` where nobody is signed in."""
    status, kind = KINDS.get(error.code, (500, "fault"))
    message, next_step = TEXTS.get(user.language if user else language, TEXTS["en"])[kind]
    wait = error.retry_after if error.retry_after is not None else COME_BACK.get(kind)
    seconds = None if wait is None or kind not in COME_BACK else max(1, math.ceil(wait))
    told: dict[str, Any] = {"code": error.code if status != 500 else "fault", "message": message}
    told["next_step"] = next_step.format(reach=_reach(user, language))
    if isinstance(error, Refused) and error.detail:
        told["detail"] = error.detail
    if seconds is not None:
        told["retry_after"] = seconds
    return Refusal(status, {"error": told}, seconds)


def _reach(user: User | None, language: str) -> str:
    language = user.language if user else language
    contact = faq_search.contact(user.tenant) if user else None
    words = REACH.get(language, REACH["en"])
    return words[0].format(email=contact.email, phone=contact.phone) if contact else words[1]


REACH = {
    "en": ("write to {email} or call {phone}", "contact our support team"),
    "de": ("schreiben Sie an {email} oder rufen Sie an: {phone}", "wenden Sie sich an unseren Kundendienst"),
}
TEXTS = {
    "en": {
        "unavailable": ("Our assistant is out of reach at the moment.", "Try again shortly, or {reach}."),
        "switched_off": ("Our assistant is switched off at the moment.", "Try again later, or {reach}."),
        "busy": ("Many people are asking at the moment.", "Try again in a few seconds."),
        "rate_limit": ("That was many questions in a short time.", "Wait a moment, then ask again."),
        "too_many_streams": (
            "Several of your questions are being answered already.",
            "Wait for one of them, or stop it.",
        ),
        "budget": ("What the assistant may be used for today is used up.", "Ask again tomorrow, or {reach}."),
        "refused": ("The assistant cannot answer this.", "Ask in other words, or {reach}."),
        "too_long": ("That is too long.", "Ask in fewer words, or in parts."),
        "bad_request": ("This request cannot be read.", "Reload the page and ask again."),
        "not_signed_in": ("You are not signed in.", "Sign in, then ask again."),
        "wrong_origin": ("This request does not come from our page.", "Open our own page and ask there."),
        "not_found": ("This is not here, or no longer.", "Ask the question again."),
        "already_decided": ("This has been decided before, and nothing was done twice.", "Ask again to change it."),
        "too_slow": ("The request did not arrive in time.", "Check your connection and ask again."),
        "fault": ("Something went wrong on our side.", "Try again, or {reach}."),
    },
    "de": {
        "unavailable": (
            "Unser Assistent ist gerade nicht erreichbar.",
            "Versuchen Sie es bald wieder, oder {reach}.",
        ),
        "switched_off": (
            "Unser Assistent ist gerade ausgeschaltet.",
            "Versuchen Sie es später wieder, oder {reach}.",
        ),
        "busy": ("Gerade fragen sehr viele Menschen.", "Versuchen Sie es in ein paar Sekunden wieder."),
        "rate_limit": ("Das waren viele Fragen in kurzer Zeit.", "Warten Sie kurz und fragen Sie dann wieder."),
        "too_many_streams": (
            "Mehrere Ihrer Fragen werden schon beantwortet.",
            "Warten Sie auf eine davon, oder halten Sie eine an.",
        ),
        "budget": ("Für heute ist der Assistent aufgebraucht.", "Fragen Sie morgen wieder, oder {reach}."),
        "refused": ("Das kann der Assistent nicht beantworten.", "Fragen Sie mit anderen Worten, oder {reach}."),
        "too_long": ("Das ist zu lang.", "Fragen Sie kürzer, oder in Teilen."),
        "bad_request": (
            "Diese Anfrage ist nicht lesbar.",
            "Laden Sie die Seite neu und fragen Sie noch einmal.",
        ),
        "not_signed_in": ("Sie sind nicht angemeldet.", "Melden Sie sich an und fragen Sie dann wieder."),
        "wrong_origin": (
            "Diese Anfrage kommt nicht von unserer Seite.",
            "Öffnen Sie unsere eigene Seite und fragen Sie dort.",
        ),
        "not_found": ("Das gibt es hier nicht, oder nicht mehr.", "Stellen Sie die Frage noch einmal."),
        "already_decided": (
            "Das ist schon entschieden, und nichts geschah doppelt.",
            "Fragen Sie noch einmal, um es zu ändern.",
        ),
        "too_slow": (
            "Die Anfrage kam nicht rechtzeitig an.",
            "Prüfen Sie die Verbindung und fragen Sie noch einmal.",
        ),
        "fault": ("Bei uns ist etwas schiefgegangen.", "Versuchen Sie es noch einmal, oder {reach}."),
    },
}
