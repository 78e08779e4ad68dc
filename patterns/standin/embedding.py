"""Sentence embeddings: all-MiniLM-L6-v2 on ONNX Runtime, 384 numbers a text, no torch and no network.

The same text gives the same vector whatever batch it travels in (to about 1e-6: matrix products of another size round
differently). Only the first 256 word pieces of a text count, the model's own ``max_seq_length``.

ONNX Runtime and the tokenizer load at the first call. The weights come from ``patterns.standin.weights``, which raises
``WeightsMissing`` when set-up has not run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import weights

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

DIMENSIONS = 384
MAX_PIECES = 256  # sentence_bert_config.json of the model
BATCH_PIECES = 1024  # padded word pieces in one call: the activations stay in the processor's cache

_loading = threading.Lock()


class _Model(NamedTuple):
    tokenizer: Tokenizer
    session: InferenceSession


def encode(texts: Sequence[str]) -> np.ndarray:
    """One L2-normalised vector a text: float32 [len(texts), 384], in the order given. Safe to call from threads."""
    vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
    if not texts:
        return vectors
    model = _model()
    ids = [_pieces(model.tokenizer, text).ids for text in texts]
    for batch in _batches(ids):
        vectors[batch] = _run(model.session, ["sentence_vectors"], [ids[index] for index in batch])[0]
    return vectors


def token_vectors(texts: Sequence[str]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each text's position, the vector of the whole, and one for each of its word pieces in its context.

    float32 [384], L2-normalised, and [pieces, 384], not normalised. The markers that the model puts before and after a
    text are left out. Texts come batch by batch, shortest first: one takes up to 390 kB, and a caller who keeps less of
    each need not hold them all at once. Safe to call from threads.
    """
    if not texts:
        return
    model = _model()
    ids = [_pieces(model.tokenizer, text).ids for text in texts]
    for batch in _batches(ids):
        whole, vectors = _run(model.session, ["sentence_vectors", "token_vectors"], [ids[index] for index in batch])
        for row, index in enumerate(batch):
            yield index, whole[row], vectors[row, 1 : len(ids[index]) - 1]


def pieces(text: str) -> list[str]:
    """The word pieces that a text is read as ("screen", "##s"), without the markers before and after it."""
    return _pieces(_model().tokenizer, text).tokens[1:-1]


def _batches(pieces: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Positions that travel together: texts of about one length, padded to the longest among them, not to 256."""
    order = sorted(range(len(pieces)), key=lambda index: len(pieces[index]))
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * len(pieces[order[end]]) <= BATCH_PIECES:
            end += 1
        yield order[start:end]
        start = end


def _model() -> _Model:
    with _loading:  # `cache` alone would let two first callers load it twice
        return _load()


@cache
def _load() -> _Model:
    folder = weights.installed()
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()  # the file says 128 for both
    tokenizer.enable_truncation(MAX_PIECES)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(4, os.cpu_count() or 1)  # so small a model gains nothing beyond
    options.inter_op_num_threads = 1
    # Idle threads sleep instead of spinning: the stand-in's server shares these cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return _Model(tokenizer, session)


def _pieces(tokenizer: Tokenizer, text: str) -> Encoding:
    # One at a time: a batch call starts a thread pool, after which every fork prints a warning. Half of a surrogate
    # pair, which JSON can carry, becomes "?", because the tokenizer accepts only what UTF-8 can say.
    return tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8"))


def _run(session: InferenceSession, outputs: list[str], pieces: list[list[int]]) -> list[np.ndarray]:
    ids = np.zeros((len(pieces), max(map(len, pieces))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, values in enumerate(pieces):
        ids[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return [np.asarray(one) for one in session.run(outputs, {"input_ids": ids, "attention_mask": mask})]
