"""The environment check of notebook 00: what is there, what is missing, and what to type to mend it."""

import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

from .. import acme, calls, ledger, models, state
from ..errors import PatternsError

PACKAGES = ("openai", "chromadb", "jupyterlab", "ipywidgets", "matplotlib")
FREE_BYTES = 500 * 2**20
TOKENS_READ, TOKENS_WRITTEN = 1_800, 120  # a usual call of the assistant, as the ledger of notebook 01 shows it


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is what to do, and empty when all is well."""

    what: str
    detail: str
    fix: str = ""


def versions() -> str:
    """One line: Python and the packages that the course stands on."""
    found = [f"python {sys.version.split()[0]}"]
    return " · ".join([*found, *(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)])


def begin(calls: int) -> None:
    """The first output of every notebook: versions, and which provider will answer, at about what cost.

    `calls` is how many model calls the notebook makes; on a paid provider, their price is estimated before the first.
    """
    print(versions())
    print(models.notice())
    if models.provider().paid:
        price = models.provider().tier("large").cost(calls * TOKENS_READ, calls * TOKENS_WRITTEN)
        print(f"this notebook makes about {calls} calls: {'price unknown' if price is None else f'about ${price:.2f}'}")


async def examine() -> list[Finding]:
    """Run every check. None raises: a failed one is a Finding with its fix."""
    findings = [_attempt("python", _python), _attempt("packages", _packages), _attempt("data", _data)]
    findings += [_attempt("state folder", _state), await _provider()]
    return findings


async def check_environment() -> bool:
    """Print the findings, one a line. Returns whether all is well."""
    findings = await examine()
    for finding in findings:
        print(f"{'✗' if finding.fix else '✓'} {finding.what:14} {finding.detail}")
        if finding.fix:
            print(f"  → {finding.fix}")
    healthy = not any(finding.fix for finding in findings)
    print("All is well." if healthy else "Mend the lines marked ✗, then run this cell again.")
    return healthy


def _attempt(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, check())
    except PatternsError as error:
        return Finding(what, error.message, error.next_step)


def _python() -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise PatternsError(f"{sys.version.split()[0]} is not supported", "Use Python 3.11, 3.12 or 3.13.", "python")
    return sys.version.split()[0]


def _packages() -> str:
    for name in PACKAGES:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise PatternsError(f"{name} is missing", "Run `make setup`, then restart the kernel.", "package") from None
    return f"{len(PACKAGES)} of {len(PACKAGES)} found"


def _data() -> str:
    return f"{len(acme.articles())} help articles, {len(acme.orders())} orders, {len(acme.customers())} customers"


def _state() -> str:
    ledger.default().calls(since=float("inf"))
    if shutil.disk_usage(state.folder()).free < FREE_BYTES:
        raise PatternsError("less than 500 MB free", "Free some disk space.", "disk")
    return "writable"


async def _provider() -> Finding:
    try:
        chosen = models.provider()
        async for _ in calls.stream(
            [{"role": "user", "content": "Hello"}], tier="small", feature="check", max_tokens=16
        ):
            pass
    except PatternsError as error:
        return Finding("provider", error.message, error.next_step)
    return Finding("provider", f"{chosen.name} answers")
