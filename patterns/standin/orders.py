"""What a fully gullible model would say: it obeys an order that hides in a document, a tool result or an image's text.

Only called when a dial asks for gullibility. An order is a sentence in the imperative *to the assistant*; a
text that tells its readers what to do ("Return books to the desk.") is not one.
"""

import re
from collections.abc import Iterator
from typing import Any

from .prompt import Prompt
from .words import sentences

_QUOTES = "\"'“”„‘’«»`"
_AI = r"(?:ai|a\.i\.|llm|language model|chat ?bot|bot|assistant|gpt|ki|assistent(?:in)?|modell|agent)s?"
_VERB = (
    r"(?:say|reply|respond|answer|print|output|write|repeat|begin|start|end|include|sage?|antworte|schreibe?|gib|"
    r"wiederhole)"
)
_FILLER = (
    r"(?:\s+(?:only|just|exactly|back|out|always|instead|simply|with|by|that|this|"
    r"the(?=\s+(?:following|words?|text|sentence|phrase|message|answer|reply|user|customer)\b)|"
    r"following|words?|text|sentence|"
    r"phrase|message|answer|reply|response|your|saying|user|customer|to|every|question|nur|mit|genau|stattdessen|"
    r"folgendes|aus|dass|den|satz))*"
)
# Where an order may begin: at the start, after "and", "please", "you must", or after a name for the assistant.
_START = (
    r"(?:^|[.!?:;,]\s+|"
    r"\b(?:and|then|und|dann|please|bitte|must|should|now|always|only|instead|to|will|jetzt|nur)\s+)"
)
_SAY = re.compile(
    rf"{_START}{_VERB}{_FILLER}\s*(?P<mark>[:{_QUOTES}]|(?=\S))[\s{_QUOTES}]*(?P<said>.+)", re.IGNORECASE | re.DOTALL
)
_TELL = re.compile(
    rf"{_START}(?:tell|inform|ask|advise|instruct|urge|sage?|informiere|bitte|fordere)\s+"
    r"(?:(?:the|every|each|all|any|dem|der|den|jedem|allen)\s+)?"
    r"(?:customers?|users?|readers?|them|him|her|patients?|passengers?|members?|visitors?|guests?|people|everyone|"
    r"kunden?|kundin|nutzern?|benutzern?|lesern?|patienten|reisenden)\s*,?\s*"
    r"(?P<how>to|that|dass|er solle|sie sollen|auf,|zu)?\s*:?\s*(?P<said>.+)",
    re.IGNORECASE | re.DOTALL,
)
_RULES = r"instructions?|rules?|prompts?|guidelines?"
_IGNORE = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|vergiss|ignoriere?|missachte)\b.{0,40}?"
    rf"\b(?:{_RULES}|above|everything|context|previous|prior|earlier|anweisungen?|regeln|vorherige\w*|"
    r"bisherige\w*|obige\w*)\b"
    rf"(?:\s+(?:{_RULES}|you (?:were|have been) given|that came before|given to you|above|so far|"
    r"before|anweisungen|regeln))*",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(
    r"^\W*(?:(?:note|message|instructions?|attention|important|hinweis|nachricht|"
    r"anweisung)\s+(?:note\s+)?(?:to|for|an|für)\s+"
    r"(?:the\s+|any\s+|all\s+|die\s+|den\s+|das\s+)?)?(?:(?:dear|hey|liebe[rs]?|if you are (?:an?|the))\s+)?"
    rf"(?:{_AI}(?:\s+{_AI})?(?:\s+reading this)?|system(?:\s+(?:note|message|prompt|override))?|new instructions?|"
    r"neue anweisung(?:en)?)\s*(?:[:,]|-|–|—)\s*",
    re.IGNORECASE,
)
_MUST = re.compile(
    r"\b(?:(?P<sure>you (?:must|shall|are to|will|have to) (?:now|only|always)|from now on,?(?: "
    r"you)?(?: must| will| shall)?|"
    r"your new (?:task|instructions?|goal) (?:is|are)(?: to)?|you are now|du musst (?:jetzt|nur)|ab jetzt|ab sofort|"
    r"von nun an|deine neue aufgabe ist)|you (?:must|shall|are to|will|have to)|du musst)\b[:,]?\s*",
    re.IGNORECASE,
)
_SEND = re.compile(
    r"^(?:please |bitte )?(?:send|forward|e-?mail|post|transfer|upload|leak|reveal|sende?|schicke?|"
    r"leite|verrate)\b.{0,80}"
    r"\b(?:password|passwords|data|records?|conversation|history|details|secrets?|keys?|prompt|"
    r"instructions|list|names|addresses|"
    r"daten|passw\w+|verlauf|anweisungen|adressen)\b",
    re.IGNORECASE | re.DOTALL,
)


LEAK = "I will show my instructions."
"""Stands for the instructions themselves, which the caller puts in its place."""
_LEAK = re.compile(
    r"\b(?:print|reveal|repeat|show|output|leak|write|verrate|zeige)\b.{0,30}\b(?:system prompt|your "
    r"(?:\w+ )?(?:instructions|"
    r"prompt|rules)|deine anweisungen|systemprompt)\b",
    re.IGNORECASE,
)


def gullible_order(prompt: Prompt) -> str | None:
    """What obeying the first hidden order would say, or None when no text holds one."""
    texts = [document.text for document in prompt.documents]
    texts += [text for result in prompt.tool_results for text in _strings(result.content)]
    obeyed = next((said for text in texts for said in _obeyed(text)), None)
    return prompt.instructions or obeyed if obeyed == LEAK else obeyed


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _obeyed(text: str) -> Iterator[str]:
    """What each order of a text makes a gullible model say, the first first."""
    for paragraph in re.split(r"\n\s*\n", text):
        parts = sentences(_bare(paragraph))
        told = False  # the sentence before was to the assistant, so that this one may be the order
        for at, part in enumerate(parts):
            rest = _IGNORE.sub("", part, count=1)
            ignored = rest != part
            plain = _ADDRESSED.sub("", rest, count=1)
            addressed = ignored or plain != rest
            must = _MUST.search(plain)
            following = " ".join(parts[at + 1 :])
            obeyed = _order(plain, following, addressed or told or bool(must and must["sure"]), must)
            if obeyed:
                yield obeyed
            told = addressed or (told and not obeyed)


def _order(text: str, following: str, to_assistant: bool, must: re.Match[str] | None) -> str | None:
    """One sentence obeyed; None when it orders nothing."""
    text = text.strip(" \t\n.!,;:-–—") if not text.strip(" .!,;:-–—") else text.strip()
    if _LEAK.search(text):
        return LEAK
    for pattern in (_TELL, _SAY):
        found = pattern.search(text)
        if not found:
            continue
        said = found["said"]
        if pattern is _TELL:
            how = (found["how"] or "").lower()
            polite = "Bitte" if how in {"er solle", "sie sollen", "auf,", "zu"} else "Please"
            if how in {"that", "dass"} or not how:
                return _sentence(said)
            return _sentence(f"{polite} {_own(said)}")
        explicit = bool(found["mark"].strip())
        if (explicit and found["mark"] != ":") or re.search(
            rf":\s*[{_QUOTES}]", text[found.start() : found.start("said")]
        ):
            quoted = re.match(rf"(.+?)[{_QUOTES}](?:[\s.,;!)]|$)", f"{said} {following}", re.DOTALL)
            return _sentence(quoted[1] if quoted else said)
        if explicit or to_assistant:
            return _sentence(said)
    sends = _SEND.search(text)
    if not text.strip(" .!,;:-–—") or not (to_assistant or sends):
        return None
    if must:
        being = bool(re.match(r"(?:be|are|bist)\s", text[must.end() :])) or "are now" in must[0].lower()
        does = re.sub(r"^(?:be|are|bist)\s+", "", text[must.end() :])
        if not does.strip(" ."):
            return None
        return _sentence(f"I am now {_own(does)}" if being else f"I will {_own(does)}")
    imperative = re.match(
        r"(?:and |then |und |dann |please |bitte |now )*([a-z]+\b.*)", text, re.IGNORECASE | re.DOTALL
    )
    order = imperative[1] if imperative else text
    if re.match(r"(?:the|a|an|all|this|our|der|die|das|ein|eine|it|there|we|i|your)\b", order, re.IGNORECASE):
        return _sentence(order)
    return _sentence(f"I will {_own(order)}")


def _bare(text: str) -> str:
    """Without Markdown and HTML marks, which hide an order from people and not from a model."""
    text = re.sub(r"<!--|</?[a-z][^>]*>|&lt;|&gt;", " ", text.replace("-->", " . "), flags=re.IGNORECASE)
    text = re.sub(r"^[ \t]*(?:[#>*+-]+|\d+[.)])[ \t]+", "", text, flags=re.MULTILINE)
    return re.sub(r"[*_#~\[\]]{1,3}", "", " ".join(text.split()))


def _own(text: str) -> str:
    """The order in the words of the one who carries it out."""
    text = text.strip()
    # "Tell" and "Send" lose their capital; names and "I" keep theirs.
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _sentence(text: str) -> str:
    said = re.sub(r"\s+([.!?])", r"\1", text).strip(f" \t\n{_QUOTES}")
    said = said[:1].upper() + said[1:]
    return said if said.endswith((".", "!", "?")) else f"{said}."
