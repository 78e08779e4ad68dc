"""Checks for the exercises, one module a notebook. Each runs the learner's function and looks at what it does, not at
how it is written.

await check("first_words", first_words)
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from typing import Any

from ...errors import PatternsError


class NotYet(Exception):
    """The exercise is not solved; the message says what was seen and what was expected."""


Checker = Callable[[Any], Awaitable[str]]
_CHECKERS: dict[str, Checker] = {}


def exercise(checker: Checker) -> Checker:
    """Register a check under its function's name. It returns what to say on success, and raises NotYet."""
    _CHECKERS[checker.__name__] = checker
    return checker


async def check(name: str, solution: Any) -> None:
    """Check a solution and print one line. Mistakes in it, whatever they raise, become that line."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    try:
        print(f"✓ {await _CHECKERS[name](solution)}")
    except NotYet as reason:
        print(f"○ Not yet: {reason}")
    except NotImplementedError:
        print("○ Not yet: the function still raises NotImplementedError. Write its body and run the cell again.")
    except PatternsError as error:
        print(f"○ Not yet: {error}")
    except Exception as error:
        print(f"○ Not yet: it raised {type(error).__name__}: {error}")
