"""The source of tools that were written in a notebook, as a module that stands alone.

    tool_source.module([opening_hours, reserve])       text of tools.py, with `TOOLS` at its end

What a function uses comes along: imports of installed packages, other functions of the notebook, plain data. What
cannot be written down is refused with the reason: lambdas, functions inside functions, open files and connections, and
everything that is called like a secret.
"""

import ast
import builtins
import importlib.metadata
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, Literal, get_args, get_origin

from .errors import CallerError
from .tools import Tool

_SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
_HEAD = '"""The tools of the assistant. Written by an export; edit it as you like."""\n'


@dataclass(slots=True)
class _Module:
    """What the module will hold. `packages`: the distributions that it imports from."""

    imports: set[str] = field(default_factory=set)
    data: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)


def module(tools: Sequence[Tool]) -> tuple[str, frozenset[str]]:
    """(the text of the module, names of the distributions that it needs). Raises CallerError (`unfit_tool`)."""
    made = _Module()
    names = []
    for one in tools:
        _add(one.function, one.name, made)
        names.append(one.function.__name__)
    parts = [_HEAD, "\n".join(sorted(made.imports))]
    parts += [f"{name} = {value}" for name, value in made.data.items()]
    parts += [f"\n{source}" for source in made.sources.values()]
    parts.append(f"\nTOOLS = [{', '.join(names)}]\n")
    return "\n".join(part for part in parts if part), frozenset(made.packages)


def _add(function: Callable[..., Any], tool: str, made: _Module) -> None:
    """The source of a function or class of the notebook, behind all that it uses."""
    name = getattr(function, "__name__", "")
    if not isinstance(function, FunctionType | type):
        raise _unfit(tool, "is no plain function", "Write it with `def`.")
    if name == "<lambda>":
        raise _unfit(tool, "is a lambda, which has no source of its own", "Write it with `def`.")
    if "<locals>" in function.__qualname__:
        raise _unfit(
            tool,
            f"uses {name}, which is defined inside another function and takes values from there",
            "Define it at the top level of a cell.",
        )
    if name in made.sources:
        return
    try:
        source = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        raise _unfit(
            tool, f"uses {name}, whose source cannot be found", "Run the cell that defines it again."
        ) from None
    made.sources[name] = ""  # a function may call itself
    world = function.__globals__ if isinstance(function, FunctionType) else vars(sys.modules[function.__module__])
    for used in dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)):
        if used in world and used != name and not hasattr(builtins, used):
            _use(used, world[used], tool, made)
    del made.sources[name]
    made.sources[name] = source.rstrip() + "\n"


def _use(name: str, value: Any, tool: str, made: _Module) -> None:
    if isinstance(value, Tool):
        _add(value.function, tool, made)
    elif isinstance(value, ModuleType):
        _package(value.__name__, name, tool, made)
        alias = "" if name == value.__name__ else f" as {name}"
        made.imports.add(f"import {value.__name__}{alias}")
    elif (home := getattr(value, "__module__", None)) and (own := _name_in(home, value)) and _installed(home):
        _package(home, name, tool, made)
        made.imports.add(f"from {home} import {own}" + ("" if own == name else f" as {name}"))
    elif isinstance(value, FunctionType | type):
        _add(value, tool, made)
    elif get_origin(value) is Literal and _literal(list(get_args(value))):  # an enum would need its class
        made.imports.add("import typing")
        made.data[name] = repr(value)
    elif (text := _literal(value)) is not None:
        if _SECRET.search(name) and isinstance(value, str):
            raise _unfit(
                tool,
                f"uses {name}, which is called like a secret",
                f"Read it inside the function: os.environ[{name!r}].",
            )
        made.data[name] = text
    else:
        what = f"uses {name}, a {type(value).__name__}, which cannot be written into a file"
        raise _unfit(tool, what, "Make it inside the function, or pass it as an argument.")


def _name_in(home: str, value: Any) -> str:
    """The name under which `value` can be imported from its module, or nothing."""
    place = vars(sys.modules.get(home, ModuleType(home)))
    own = getattr(value, "__name__", getattr(value, "_name", None))
    if isinstance(own, str) and place.get(own) is value:
        return own
    return next((key for key, one in place.items() if one is value), "")


def _literal(value: Any) -> str | None:
    try:
        text = repr(value)
        return text if ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _installed(home: str) -> bool:
    top = home.partition(".")[0]
    return top != "__main__" and (top in sys.stdlib_module_names or top == "patterns" or top in _distributions())


def _package(home: str, name: str, tool: str, made: _Module) -> None:
    if not _installed(home):
        raise _unfit(
            tool, f"uses {name} from {home}, which is no installed package", "Copy what it needs into the notebook."
        )
    top = home.partition(".")[0]
    if top not in sys.stdlib_module_names and top != "patterns":
        made.packages.update(_distributions()[top])


def _unfit(tool: str, why: str, next_step: str) -> CallerError:
    return CallerError(f"The tool {tool!r} cannot be exported: it {why}.", next_step, "unfit_tool")
