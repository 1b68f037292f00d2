"""Which layers of a network lose most by being quantized.

A layer is set free: it gets its exact weights and unquantized inputs, while all others
stay as they are. The nearer the output then comes to the exact one, the more harm the
quantization of this layer had done.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from edge.engines.engine import Engine, ModelCard, Tensor
from edge.engines.ort import OrtEngine

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def layers(exact: Path) -> list[str]:
    """Names of the nodes with weights, in the order of the network."""
    return [node.name for node in onnx.load(str(exact)).graph.node if node.op_type in _LAYERS]


def most_harmful_first(exact: Engine, quantized: ModelCard, images: Sequence[npt.NDArray[np.float32]]) -> list[str]:
    """Layers in the order of what their quantization costs.

    Parameters
    ----------
    images : float32 arrays of shape (side, side), in [0, 1].
    """
    model, source = onnx.load(str(quantized.path)), onnx.load(str(exact.card.path))
    shown = np.stack(images)
    expected = exact.run(shown)
    names = layers(exact.card.path)
    errors = [_error(quantized, with_exact_layer(model, source, name), shown, expected) for name in names]
    return [names[i] for i in np.argsort(errors, kind="stable")]


def with_exact_layer(model: onnx.ModelProto, source: onnx.ModelProto, name: str) -> bytes:
    """A Q/DQ model in which one layer computes in floating point."""
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    makers = {output: node for node in freed.graph.node for output in node.output}
    (layer,) = [node for node in freed.graph.node if node.name == name]
    (original,) = [node for node in source.graph.node if node.name == name]
    weights = {item.name: item for item in source.graph.initializer}
    present = {item.name for item in freed.graph.initializer}
    for i, (given, exact) in enumerate(zip(list(layer.input), original.input, strict=True)):
        if exact in weights:
            layer.input[i] = exact
            freed.graph.initializer.extend([weights[exact]] if exact not in present else [])
        elif given in makers and makers[given].op_type == "DequantizeLinear":
            layer.input[i] = makers[makers[given].input[0]].input[0]
    return bytes(freed.SerializeToString())


def _error(card: ModelCard, model: bytes, images: Tensor, expected: Tensor) -> float:
    return float(np.square(OrtEngine(card, model, threads=2).run(images) - expected).mean())
