"""Text cut into tokens, and the cache of prompt prefixes.

A real tokenizer learns its pieces from data. This one cuts words into pieces of at most six letters, which gives about
1.3 tokens for an English word, close to what hosted models count. Joined, the pieces are the text again.
"""

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

_PIECE = re.compile(r"\s*[^\W_]{1,6}|\s*[\W_]|\s+", re.UNICODE)

CACHE_MINIMUM = 1024  # tokens; the prompt caches of hosted models start here
CACHE_STEP = 128  # tokens; and count hits in steps of this size
CACHE_SECONDS = 300.0


def split(text: str) -> list[str]:
    """Cut `text` into tokens. `"".join(split(text)) == text`."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    return len(split(text))


class PrefixCache:
    """Remembers which prompt prefixes were seen lately, as a provider's prompt cache does.

    `hit(scope, tokens)` returns how many leading tokens were seen before, and remembers this prompt. Only prompts of at
    least CACHE_MINIMUM tokens take part.
    """

    def __init__(self, capacity: int = 20_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()

    def hit(self, scope: str, tokens: Sequence[str]) -> int:
        if len(tokens) < CACHE_MINIMUM:
            return 0
        with self._lock:
            return self._hit(scope, tokens)

    def _hit(self, scope: str, tokens: Sequence[str]) -> int:
        now, cached, unbroken = self._clock(), 0, True
        digest = hashlib.sha256(scope.encode())
        for end in range(CACHE_STEP, len(tokens) + 1, CACHE_STEP):
            digest.update("\x00".join(tokens[end - CACHE_STEP : end]).encode(errors="surrogatepass"))
            key = digest.digest()
            unbroken = unbroken and now - self._seen.get(key, float("-inf")) < CACHE_SECONDS
            if unbroken:
                cached = end
            self._seen[key] = now
            self._seen.move_to_end(key)
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return cached if cached >= CACHE_MINIMUM else 0
