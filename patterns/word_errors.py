"""Word error rate: how far what was heard is from what was said.

The least number of words to insert, delete or replace (Levenshtein's distance on words, 1966), divided by the
words that were said. It can pass 1. Case and punctuation do not count, as is usual.
"""

import re


def words(text: str) -> list[str]:
    """Lower-case words; apostrophes inside a word stay."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("\u2019", "'"))


def word_errors(said: str, heard: str) -> int:
    """Insertions, deletions and replacements that lead from one to the other, at least."""
    wanted, found = words(said), words(heard)
    row = list(range(len(found) + 1))
    for at, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], at
        for place, other in enumerate(found, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
    return row[-1]


def word_error_rate(said: str, heard: str) -> float:
    """Word errors for each word said; 0 when nothing was said and nothing heard, and infinite when only heard."""
    errors, count = word_errors(said, heard), len(words(said))
    return errors / count if count else float("inf") if errors else 0.0
