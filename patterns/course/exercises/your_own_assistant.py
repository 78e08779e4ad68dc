"""Notebook 15."""

from typing import Any

from . import NotYet, exercise

TEXTS = {
    "UTF-8": ("Größe: 5 €".encode(), "Größe: 5 €", False),
    "plain English": (b"The tea is free.", "The tea is free.", False),
    "Windows-1252": ("Größe: 5 €".encode("cp1252"), "Größe: 5 €", True),
}
NO_TEXTS = {"a ZIP file": b"PK\x03\x04\x14\x00\x00\x00", "a picture": bytes(range(128)) * 2}


@exercise
async def read_text(solution: Any) -> str:
    for name, (data, text, assumed) in TEXTS.items():
        if (found := solution(data)) != (text, assumed):
            raise NotYet(f"{name} gives {found!r}, and should give {(text, assumed)!r}.")
    for name, data in NO_TEXTS.items():
        try:
            found = solution(data)
        except NotImplementedError:
            raise
        except ValueError:
            continue
        raise NotYet(f"{name} gives {str(found)[:60]!r}, and should raise ValueError: it is no text.")
    return "Text is read, a guess is said, and no text is refused."


ANSWERED, NOT_THERE = [0.2, 0.5, 0.6, 0.7, 0.9], [0.1, 0.3, 0.4, 0.65]


@exercise
async def threshold(solution: Any) -> str:
    for most, wanted in ((0.0, 0.2), (0.2, 0.5), (0.39, 0.5), (0.4, 0.6), (1.0, None)):
        found = solution(ANSWERED, most)
        lost = sum(value < found for value in ANSWERED)
        if lost > most * len(ANSWERED):
            raise NotYet(f"at most {most:.0%} may be turned away: {found} turns away {lost} of {len(ANSWERED)}.")
        if wanted is not None and found != wanted:
            raise NotYet(f"at most {most:.0%} may be turned away: {found} is allowed, and {wanted} is the highest.")
    if solution(sorted(ANSWERED, reverse=True), 0.2) != 0.5:
        raise NotYet("in another order, the same values give another threshold.")
    kept = sum(value >= solution(ANSWERED, 0.2) for value in NOT_THERE)
    return f"The highest threshold that keeps its promise. It still lets {kept} of {len(NOT_THERE)} others through."
