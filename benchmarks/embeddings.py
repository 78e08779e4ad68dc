"""Row 10: the stand-in's `encode` next to Chroma's own default embedder: throughput, exactness, retrieval quality.

Both compute the same vectors from the same weights on the same runtime. Chroma's class (`ONNXMiniLM_L6_V2`) runs
unchanged; only its download folder points at a model with the inputs and the output that it expects, made from the
installed graph. So the row compares how the two feed one model, and not the graph that Chroma would download.
"""

import json
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patterns.ranking import interval, ndcg_at

from . import measure
from .measure import Entry

TEXTS = 256
CUTOFF, SEED = 10, 10
REFERENCE = measure.ROOT / "tests" / "standin" / "minilm_reference.json"
PEER = "Chroma's ONNXMiniLM_L6_V2"
VERSIONS = ("chromadb", "onnxruntime", "tokenizers", "numpy")

OPENINGS = "where is|how do i change|please cancel|i cannot find|can you check|why was i charged for|when will you send"
THINGS = (
    "my order|the invoice|a parcel|this subscription|the blue jacket|my account password|the second payment|a refund"
)
ENDINGS = "today|from last week|for my sister|before friday|again|in the app|that came broken|at the new address|"

Encode = Callable[[Sequence[str]], Any]


def short_texts(count: int) -> list[str]:
    """Questions of 4 to 12 words, put together from word lists with a fixed seed."""
    draw = random.Random(SEED)
    parts = [column.split("|") for column in (OPENINGS, THINGS, ENDINGS)]
    return [" ".join(draw.choice(column) for column in parts).strip() for _ in range(count)]


def chroma_embedder(folder: Path) -> Any:
    """Chroma's default embedder on the installed weights; `folder` receives its model files."""
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


def lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def throughput() -> list[Entry]:
    from patterns.standin.embedding import encode

    texts = short_texts(TEXTS)

    def seconds(encode: Encode) -> float:
        started = time.perf_counter()
        encode(texts)
        return time.perf_counter() - started

    with tempfile.TemporaryDirectory() as folder:
        chroma = chroma_embedder(Path(folder))
        agreement = lowest_cosine(np.array(chroma(texts[:32])), encode(texts[:32]))  # warms both up, too
        measured = measure.interleaved({"ours": lambda: seconds(encode), "Chroma": lambda: seconds(chroma)})
    ours, theirs = measured["ours"], measured["Chroma"]
    note = (
        f"{TEXTS} texts of at most 12 words: {measure.milliseconds(ours)} against {measure.milliseconds(theirs)}; "
        f"{measure.spread(theirs, ours)}; lowest cosine between the two {agreement:.6f}"
    )
    metric = "embedding throughput ÷ Chroma's default embedder, short texts"
    return [Entry(10, metric, measure.ratio(theirs, ours), "≥ 5", {PEER: 1.0}, measure.versions(*VERSIONS), note)]


def exactness() -> list[Entry]:
    from patterns.standin.embedding import encode

    entries = json.loads(REFERENCE.read_text(encoding="utf-8"))["texts"]
    reference = np.array([entry["vector"] for entry in entries])
    cosine = lowest_cosine(encode([entry["text"] for entry in entries]), reference)
    note = f"{len(entries)} texts: short, empty, non-Latin, and longer than the model reads"
    metric = "lowest cosine to sentence-transformers' vectors"
    return [Entry(10, metric, cosine, "≥ 0.9999", {}, measure.versions(*VERSIONS), note)]


# retrieval quality on the Cranfield collection


def records(text: str) -> list[str]:
    """Title (.T, which queries lack) and text (.W) of each record of a Cranfield file, in order, on one line."""
    found = []
    for record in re.split(r"^\.I .*\n", text, flags=re.MULTILINE)[1:]:
        head, _, body = record.partition(".W\n")
        title = head.partition(".T\n")[2].partition(".A\n")[0]
        found.append(" ".join(f"{title} {body}".split()))
    return found


def judgements(text: str) -> dict[int, frozenset[int]]:
    """Relevant documents by query, both counted from 0: codes 1 (best) to 4. Code -1 is no judgement of relevance."""
    rows = [tuple(map(int, line.split())) for line in text.splitlines() if line.strip()]
    relevant: dict[int, set[int]] = {query - 1: set() for query, _, _ in rows}
    for query, document, code in rows:
        if code > 0:
            relevant[query - 1].add(document - 1)
    return {query: frozenset(documents) for query, documents in relevant.items()}


def ndcg(ranked: Sequence[int], relevant: frozenset[int]) -> float:
    """nDCG of the first `CUTOFF` documents with gain 1 for each relevant one."""
    return ndcg_at(CUTOFF, ranked, relevant)


def each_ndcg(encode: Encode, documents: Sequence[str], queries: Sequence[str], relevant: Any) -> np.ndarray:
    """One nDCG a query, shape (queries,)."""
    similarity = np.round(np.asarray(encode(queries)) @ np.asarray(encode(documents)).T, 4)
    ranking = np.argsort(-similarity, axis=1, kind="stable")[:, :CUTOFF]
    return np.array([ndcg(ranking[query].tolist(), found) for query, found in relevant.items()])


def retrieval_quality() -> list[Entry]:
    from patterns.standin.embedding import encode

    folder = measure.bench_data("cranfield")
    text = {
        name: (folder / name).read_text(encoding="utf-8") for name in ("cran.all.1400", "cran.qry", "cranqrel.fixed")
    }
    documents, queries = records(text["cran.all.1400"]), records(text["cran.qry"])
    relevant = judgements(text["cranqrel.fixed"])
    ours = each_ndcg(encode, documents, queries, relevant)
    with tempfile.TemporaryDirectory() as name:
        theirs = each_ndcg(chroma_embedder(Path(name)), documents, queries, relevant)
    (low, high), (worse, better) = interval(ours), interval(ours - theirs)
    note = (
        f"{len(queries)} queries, {len(documents)} abstracts, relevant or not; 95% interval {low:.3f} to {high:.3f}. "
        f"Ours less Chroma's: {(ours - theirs).mean():+.4f} ({worse:+.4f} to {better:+.4f})"
    )
    metric = "nDCG@10 on Cranfield (absolute, not a ratio)"
    peers = {PEER: round(float(theirs.mean()), 4)}
    return [Entry(10, metric, float(ours.mean()), "", peers, measure.versions(*VERSIONS), note)]


PARTS = (throughput, exactness, retrieval_quality)
