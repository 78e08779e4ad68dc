"""Row 10: throughput of the stand-in's ``encode`` on short texts ÷ Chroma's own default embedder, and exactness.

Both compute the same vectors from the same weights on the same runtime. Chroma's class (``ONNXMiniLM_L6_V2``) runs
unchanged; only its download folder points at a model with the inputs and the output that it expects, made from the
installed graph. So the row compares how the two feed one model, and not the graph that Chroma would download.

``python benchmarks/embeddings.py`` prints the row; it needs the installed weights (`make setup`).
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

TEXTS, ROUNDS = 256, 5
REFERENCE = Path(__file__).parents[1] / "tests" / "standin" / "minilm_reference.json"

OPENINGS = "where is|how do i change|please cancel|i cannot find|can you check|why was i charged for|when will you send"
THINGS = (
    "my order|the invoice|a parcel|this subscription|the blue jacket|my account password|the second payment|a refund"
)
ENDINGS = "today|from last week|for my sister|before friday|again|in the app|that came broken|at the new address|"


def short_texts(count: int) -> list[str]:
    """Questions of 4 to 12 words, put together from word lists with a fixed seed."""
    draw = random.Random(10)
    parts = [column.split("|") for column in (OPENINGS, THINGS, ENDINGS)]
    return [" ".join(draw.choice(column) for column in parts).strip() for _ in range(count)]


def chroma_embedder(folder: Path) -> Any:
    """Chroma's default embedder on the installed weights; ``folder`` receives its model files."""
    import onnx
    from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2

    from patterns.standin.weights import installed

    class OnInstalledWeights(ONNXMiniLM_L6_V2):
        DOWNLOAD_PATH = folder

    files = folder / ONNXMiniLM_L6_V2.EXTRACTED_FOLDER_NAME
    files.mkdir()
    inputs = ["input_ids", "attention_mask"]
    model = onnx.utils.Extractor(onnx.load(installed() / "model.onnx")).extract_model(inputs, ["token_vectors"])
    # Chroma also feeds token types, all 0. Their vector is part of the positions already: nothing reads this input.
    types = onnx.helper.make_tensor_value_info("token_type_ids", onnx.TensorProto.INT64, ["batch", "seq"])
    model.graph.input.append(types)
    onnx.save(model, files / "model.onnx")
    shutil.copy(installed() / "tokenizer.json", files)
    # It only checks that these are there; with all six in place it does not download.
    for name in ("config.json", "special_tokens_map.json", "tokenizer_config.json", "vocab.txt"):
        (files / name).touch()
    return OnInstalledWeights()


def seconds(encode: Any, texts: list[str]) -> float:
    start = time.perf_counter()
    encode(texts)
    return time.perf_counter() - start


def lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def row() -> list[dict[str, object]]:
    """Two entries of the scoreboard: the throughput ratio and the lowest cosine to the reference vectors."""
    from patterns.standin.embedding import encode

    texts = short_texts(TEXTS)
    with tempfile.TemporaryDirectory() as folder:
        chroma = chroma_embedder(Path(folder))
        agreement = lowest_cosine(np.array(chroma(texts[:32])), encode(texts[:32]))  # warms both up, too
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(seconds(encode, texts))
            theirs.append(seconds(chroma, texts))
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))

    entries = json.loads(REFERENCE.read_text(encoding="utf-8"))["texts"]
    reference = np.array([entry["vector"] for entry in entries])
    cosine = lowest_cosine(encode([entry["text"] for entry in entries]), reference)

    per_text = [1000 * statistics.median(times) / TEXTS for times in (ours, theirs)]
    versions = {name: version(name) for name in ("chromadb", "onnxruntime", "tokenizers", "numpy")}
    note = (
        f"{TEXTS} texts of at most 12 words, {ROUNDS} interleaved rounds; median {per_text[0]:.2f} ms a text against "
        f"{per_text[1]:.2f} ms; lowest cosine between the two {agreement:.6f}"
    )
    return [
        {
            "row": 10,
            "metric": "embedding throughput ÷ Chroma's default embedder, short texts",
            "value": round(ratio, 2),
            "goal": "≥ 5",
            "holds": ratio >= 5,
            "peers": {"chromadb ONNXMiniLM_L6_V2": 1.0},
            "versions": versions,
            "note": note,
        },
        {
            "row": 10,
            "metric": "lowest cosine to sentence-transformers' vectors",
            "value": round(cosine, 7),
            "goal": "≥ 0.9999",
            "holds": cosine >= 0.9999,
            "peers": {},
            "versions": versions,
            "note": f"{len(entries)} texts: short, empty, non-Latin, and longer than the model reads",
        },
    ]


if __name__ == "__main__":
    print(json.dumps(row(), indent=1, ensure_ascii=False))
