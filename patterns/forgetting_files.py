"""Forgetting a person in files of lines: logs, reviews, cases that were taken from production."""

import os
from collections.abc import Sequence
from pathlib import Path

from . import state
from .erasing import Needles, files_under

KINDS = (".jsonl", ".log", ".yaml", ".txt")


def of_state() -> list[Path]:
    """The files of lines in the state folder."""
    return [path for path in files_under(state.folder()) if path.suffix in KINDS]


def forget(path: Path, wanted: Needles) -> int:
    """Remove the lines in which one of `wanted` stands. Returns how many there were.

    A log is written over in its place, since whoever logs has it open; any other file is replaced at once, and a note
    above a case goes with it.
    """
    if not path.exists():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    gone = [wanted.find(line) is not None for line in lines]
    if not any(gone):
        return 0
    if path.suffix == ".log":
        _write_over(path, lines, gone)
    else:
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        partial.write_bytes(b"".join(_left(lines, gone)))
        partial.replace(path)
    return sum(gone)


def _left(lines: Sequence[bytes], gone: Sequence[bool]) -> list[bytes]:
    left: list[bytes] = []
    for line, goes in zip(lines, gone, strict=True):
        if not goes:
            left.append(line)
            continue
        while left and left[-1].startswith(b"#"):
            left.pop()
    return left


def _write_over(path: Path, lines: Sequence[bytes], gone: Sequence[bool]) -> None:
    with path.open("r+b") as file:
        for line, goes in zip(lines, gone, strict=True):
            start = file.tell()
            if goes:
                file.write(b"-" * len(line.rstrip(b"\r\n")))
            file.seek(start + len(line))
