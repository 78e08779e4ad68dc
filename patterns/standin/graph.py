"""MiniLM as an ONNX graph, built from the tensors of its checkpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

HIDDEN, HEADS, LAYERS, EPSILON = 384, 12, 6, 1e-12  # the model's config.json


def read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """The float32 tensors of a safetensors file: eight bytes of header length, a JSON header, then the raw values."""
    import numpy as np

    start = 8 + int.from_bytes(data[:8], "little")
    tensors: dict[str, np.ndarray] = {}
    for name, entry in json.loads(data[8:start]).items():
        if entry.get("dtype") == "F32":
            first, last = entry["data_offsets"]
            tensors[name] = np.frombuffer(data[start + first : start + last], dtype="<f4").reshape(entry["shape"])
    return tensors


def build_graph(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """BERT as an ONNX graph (opset 20) from the names and shapes of the Hugging Face checkpoint.

    Inputs: ``input_ids`` and ``attention_mask``, int64 [batch, seq], seq <= 512. Outputs: ``sentence_vectors``
    [batch, 384], the mean over the unmasked tokens, L2-normalised; ``token_vectors`` [batch, seq, 384], the last
    hidden state.
    """
    import numpy as np
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def dense(x: str, name: str, weight: np.ndarray, bias: np.ndarray) -> str:
        product = node("MatMul", [x, constant(f"{name}.weight", weight.T)], f"{name}.product")
        return node("Add", [product, constant(f"{name}.bias", bias)], name)

    def layer_norm(x: str, name: str) -> str:
        scale, bias = (constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return node("LayerNormalization", [x, scale, bias], f"{name}.out", axis=-1, epsilon=EPSILON)

    def int64s(name: str, *values: int) -> str:
        return constant(name, np.array(values, dtype=np.int64))

    last_two, zero, one = int64s("last_two", 1, 2), int64s("zero", 0), int64s("one", 1)
    split_heads, join_heads = int64s("split_heads", 0, 0, HEADS, HIDDEN // HEADS), int64s("join_heads", 0, 0, HIDDEN)

    # One sentence has one token type, so its vector is added to the positions here instead of at every call.
    types, positions = (weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("token_type", "position"))
    words = constant("words", weights["embeddings.word_embeddings.weight"])
    length = node("Shape", ["input_ids"], "length", start=1, end=2)
    places = node("Slice", [constant("positions", positions + types[0]), zero, length, zero], "places")
    x = node("Add", [node("Gather", [words, "input_ids"], "looked_up"), places], "embedded")
    x = layer_norm(x, "embeddings.LayerNorm")

    # 0 where a token is, -10000 where padding is: after softmax, exactly 0 in float32.
    mask = node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    absent = node("Sub", [mask, constant("float_one", np.array([1], dtype=np.float32))], "absent")
    penalty = node("Mul", [absent, constant("large", np.array([10000], dtype=np.float32))], "penalty_2d")
    penalty = node("Unsqueeze", [penalty, last_two], "penalty")

    for index in range(LAYERS):
        layer = f"encoder.layer.{index}"
        heads = {}
        for part, order in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3))):
            name = f"{layer}.attention.self.{part}"
            # The scaling of the scores, 1/sqrt(head size), is folded into the query.
            scale = np.float32((HIDDEN // HEADS) ** -0.5 if part == "query" else 1)
            flat = dense(x, name, weights[f"{name}.weight"] * scale, weights[f"{name}.bias"] * scale)
            heads[part] = node(
                "Transpose", [node("Reshape", [flat, split_heads], f"{name}.split")], f"{name}.heads", perm=order
            )
        scores = node("MatMul", [heads["query"], heads["key"]], f"{layer}.scores")
        shares = node("Softmax", [node("Add", [scores, penalty], f"{layer}.masked")], f"{layer}.shares", axis=-1)
        mixed = node("MatMul", [shares, heads["value"]], f"{layer}.mixed")
        mixed = node("Transpose", [mixed], f"{layer}.mixed_by_token", perm=(0, 2, 1, 3))
        mixed = node("Reshape", [mixed, join_heads], f"{layer}.joined")

        name = f"{layer}.attention.output"
        out = dense(mixed, f"{name}.dense", weights[f"{name}.dense.weight"], weights[f"{name}.dense.bias"])
        x = layer_norm(node("Add", [out, x], f"{name}.sum"), f"{name}.LayerNorm")

        name = f"{layer}.intermediate.dense"
        wide = node("Gelu", [dense(x, name, weights[f"{name}.weight"], weights[f"{name}.bias"])], f"{layer}.gelu")
        name = f"{layer}.output"
        out = dense(wide, f"{name}.dense", weights[f"{name}.dense.weight"], weights[f"{name}.dense.bias"])
        x = layer_norm(node("Add", [out, x], f"{name}.sum"), f"{name}.LayerNorm")

    tokens = node("Identity", [x], "token_vectors")
    row = node("Unsqueeze", [mask, one], "mask_row")
    total = node("MatMul", [row, tokens], "sum_of_tokens")
    count = node("ReduceSum", [row, int64s("last", -1)], "count")
    mean = node("Squeeze", [node("Div", [total, count], "mean_3d"), one], "mean")
    node("LpNormalization", [mean], "sentence_vectors", axis=-1, p=2)

    batch_by_seq = ["batch", "seq"]
    graph = helper.make_graph(
        nodes,
        "all-MiniLM-L6-v2",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, batch_by_seq),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, batch_by_seq),
        ],
        [
            helper.make_tensor_value_info("sentence_vectors", TensorProto.FLOAT, ["batch", HIDDEN]),
            helper.make_tensor_value_info("token_vectors", TensorProto.FLOAT, [*batch_by_seq, HIDDEN]),
        ],
        initializer=constants,
    )
    # IR 9 is the one that came with opset 20: older runtimes read it too.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    checker.check_model(model)
    return model
