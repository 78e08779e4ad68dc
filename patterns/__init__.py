"""Production patterns for LLM applications: an assistant is a stack of layers around a model call.

    from patterns import Turn, answer, complete_assistant
    print((await answer(complete_assistant.build(), Turn("How long do I have to return a plug?"))).text)

Nothing is loaded before it is used: importing this package needs no key, opens nothing and costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import complete_assistant
    from .errors import CallerError, LimitHit, PatternsError, ProviderError
    from .events import (
        Answer,
        Event,
        Failed,
        Handler,
        Layer,
        Message,
        Reset,
        Status,
        TextDelta,
        Turn,
        User,
        answer,
        stack,
    )

_HOMES = {
    "errors": "CallerError LimitHit PatternsError ProviderError",
    "events": "Answer Event Failed Handler Layer Message Reset Status TextDelta Turn User answer stack",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Answer",
    "CallerError",
    "Event",
    "Failed",
    "Handler",
    "Layer",
    "LimitHit",
    "Message",
    "PatternsError",
    "ProviderError",
    "Reset",
    "Status",
    "TextDelta",
    "Turn",
    "User",
    "answer",
    "complete_assistant",
    "stack",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
