"""Notebook 04."""

from typing import Any

from ... import ranking
from ...events import Answer, Document
from . import NotYet, exercise

RANKINGS: tuple[tuple[list[list[str]], str], ...] = (
    ([["a", "b", "c"]], "one list stays as it is"),
    ([["a", "b", "c"], ["c", "b", "d"]], "c is first in one list and third in the other, b is second twice"),
    ([["x", "b", "c", "a"], ["y", "d", "e", "a"]], "a is fourth in both, which counts for more the larger k is"),
    ([["a", "b"], ["b", "a"]], "a tie: the one that was met first comes first"),
    ([["a"], []], "a search that found nothing has no say"),
    ([], "no list at all"),
)


@exercise
async def rank_fusion(solution: Any) -> str:
    for k in (60, 1):
        for rankings, why in RANKINGS:
            expected = [found for found, _ in ranking.fuse(*rankings, k=k)]
            given = solution(rankings, k)
            if list(given) != expected:
                raise NotYet(f"{rankings} with k={k} gave {given!r}, and {expected} is right: {why}.")
    return "One list out of many, by ranks alone."


@exercise
async def only_given(solution: Any) -> str:
    documents = tuple(Document(name, "Title", "Text") for name in ("a#1", "b#2"))
    text = "The fee is $5."

    def served(*cited: str) -> Answer:
        end = solution(Answer(text=text, cited_chunk_ids=cited, confident=True), documents)
        if not isinstance(end, Answer):
            raise NotYet(f"it returned {end!r}; an Answer is expected.")
        return end

    for cited, kept in (
        (("b#2", "a#1"), ("b#2", "a#1")),
        (("a#1", "x#9", "a#1"), ("a#1",)),
        (("A#1", "b#2"), ("b#2",)),
    ):
        end = served(*cited)
        if end.cited_chunk_ids != kept:
            raise NotYet(
                f"of {cited} it keeps {end.cited_chunk_ids}, and {kept} was given, each once and in its order."
            )
        if end.text != text or not end.confident:
            raise NotYet(f"an answer that cites {cited} rests on {kept}: its text and its confidence stay.")
    invented = served("x#9")
    if invented.cited_chunk_ids:
        raise NotYet("x#9 was never given to the model, and it is still cited.")
    if text in invented.text:
        raise NotYet("all sources were invented, so the text may be as well: do not serve it.")
    for end, what in ((invented, "whose sources were all invented"), (served(), "without any source")):
        if end.confident:
            raise NotYet(f"an answer {what} is not confident.")
    if served().text != text:
        raise NotYet("an answer that cites nothing invented nothing: its text stays, without confidence.")
    return "Only what was given is cited, and nothing invented is served."
