"""The embeddings against vectors made with the sentence-transformers library (``minilm_reference.json``).

Needs the installed weights (`make setup`); nothing here downloads.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patterns.standin import embedding
from patterns.standin.weights import WeightsMissing

REFERENCE = json.loads((Path(__file__).parent / "minilm_reference.json").read_text(encoding="utf-8"))["texts"]
TEXTS = [entry["text"] for entry in REFERENCE]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("batch", [[text] for text in TEXTS] + [TEXTS])
def test_equals_the_reference_alone_and_together(batch: list[str]) -> None:
    expected = np.array([entry["vector"] for entry in REFERENCE if entry["text"] in batch])
    assert cosines(embedding.encode(batch), expected).min() >= 0.9999


def test_shape_type_and_length() -> None:
    vectors = embedding.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_no_rows() -> None:
    assert embedding.encode([]).shape == (0, 384)


def test_order_is_kept_when_lengths_are_mixed() -> None:
    texts = [f"{'the parcel is late ' * (17 * index % 29)}number {index}" for index in range(60)]
    together = embedding.encode(texts)
    alone = np.concatenate([embedding.encode([text]) for text in texts])
    assert cosines(together, alone).min() >= 0.9999
    assert (np.argmax(together @ alone.T, axis=1) == np.arange(60)).all()


def test_meaning_beats_shared_words() -> None:
    question, same, other = embedding.encode(
        ["How do I get my money back?", "What is the refund policy?", "How do I get my garden chair back up?"]
    )
    assert question @ same > question @ other


def test_only_the_first_256_pieces_count() -> None:
    # 254 words of one piece each, and the two markers.
    full, longer, shorter = embedding.encode(
        ["late " * 254, "late " * 254 + "refund " * 2000, "late " * 253 + "refund"]
    )
    assert full @ longer >= 0.9999
    assert full @ shorter < 0.9999


@pytest.mark.parametrize(
    "text", ["", " ", "日本語のテキスト", "مرحبا", "👩‍👩‍👧 ☕", "a" * 20_000, "\x00\u200b", "half \ud83d pair"]
)
def test_odd_texts_have_finite_vectors(text: str) -> None:
    vectors = embedding.encode([text])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)


words = st.sampled_from(
    ["order", "refund", "late", "parcel", "screen", "broken", "the", "my", "is", "ü", "日", "E5021", "?"]
)
texts = st.one_of(st.text(max_size=40), st.lists(words, max_size=60).map(" ".join))


@settings(max_examples=40, deadline=None)
@given(text=texts, before=st.lists(texts, max_size=12), after=st.lists(texts, max_size=12))
def test_company_does_not_change_a_vector(text: str, before: list[str], after: list[str]) -> None:
    alone = embedding.encode([text])[0]
    together = embedding.encode([*before, text, *after])[len(before)]
    assert cosines(alone[None], together[None])[0] >= 0.9999


def test_threads_get_the_vectors_of_one_thread() -> None:
    batches = [[f"question {index} about order {index * 7}", "x " * index] for index in range(24)]
    expected = [embedding.encode(batch) for batch in batches]
    with ThreadPoolExecutor(6) as pool:
        for got, want in zip(pool.map(embedding.encode, batches), expected, strict=True):
            assert cosines(got, want).min() >= 0.9999


def test_every_piece_has_a_vector_in_its_context() -> None:
    texts = ["the bank of the river " * 20, "We swam to the bank of the river", "She paid it in at the bank", ""]
    found = {at: (whole, pieces) for at, whole, pieces in embedding.token_vectors(texts)}
    assert [found[at][1].shape for at in range(4)] == [(100, 384), (8, 384), (7, 384), (0, 384)]
    assert cosines(np.array([found[at][0] for at in range(4)]), embedding.encode(texts)).min() >= 0.9999
    (_, _, alone), (_, _, money) = (next(embedding.token_vectors([text])) for text in texts[1:3])
    assert cosines(found[1][1], alone).min() >= 0.9999
    assert cosines(alone[4:5], money[-1:])[0] < 0.9  # the same word of another meaning
    assert list(embedding.token_vectors([])) == []


def test_pieces_are_those_that_have_vectors() -> None:
    text = "Unscrewable lids, 3.5 cm"
    (_, _, vectors) = next(embedding.token_vectors([text]))
    assert len(embedding.pieces(text)) == len(vectors)
    assert "".join(embedding.pieces(text)).replace("##", "") == "unscrewablelids,3.5cm"


def test_importing_it_loads_no_runtime() -> None:
    code = (
        "import sys, patterns.standin.embedding; "
        "print(sorted({'onnxruntime', 'tokenizers', 'onnx', 'torch'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_without_weights_it_names_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_CACHE", str(tmp_path))
    embedding._load.cache_clear()
    try:
        with pytest.raises(WeightsMissing, match="make setup"):
            embedding.encode(["x"])
    finally:
        embedding._load.cache_clear()
