"""Counters of this process, by name and labels: how often something happened that nobody should have to search for.

metrics.count("structured_output.invalid", schema="Triage")
metrics.value("structured_output.invalid")     # over all schemas
"""

import threading
from collections import Counter

_counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
_lock = threading.Lock()


def count(name: str, **labels: str) -> None:
    """Add one."""
    with _lock:
        _counts[name, tuple(sorted(labels.items()))] += 1


def value(name: str, **labels: str) -> int:
    """The sum over all counters of that name that carry these labels."""
    wanted = set(labels.items())
    with _lock:
        return sum(number for (other, having), number in _counts.items() if other == name and wanted <= set(having))
