"""Export to ONNX and quantize to INT8 with explicit Q/DQ nodes.

The file is made for its strictest reader, TensorRT: opset 17, IR version 8, symmetric
signed activations, symmetric per-channel signed weights, biases left in floating point,
one quantizer behind a convolution and its ReLU6 instead of one between them. ONNX
Runtime is served from the same file (``edge/engines/unsigned.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

OPSET, IR_VERSION = 17, 8
_EXTRA = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


def export(model: object, side: int, path: Path) -> None:
    """Write a torch module that takes (N, 1, side, side) as a floating point ONNX file."""
    import torch

    assert isinstance(model, torch.nn.Module)  # noqa: S101 (torch is not needed to import this module)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model.eval(),
        (torch.zeros(1, 1, side, side),),
        str(path),
        opset_version=OPSET,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        dynamo=False,
    )
    _finish(onnx.load(str(path)), path)


def quantize(
    source: Path,
    target: Path,
    images: Iterable[npt.NDArray[np.float32]],
    exact_layers: Sequence[str] = (),
) -> None:
    """Quantize an exported file with the activation ranges seen on normalised images.

    Parameters
    ----------
    images : float32 arrays of shape (1, 1, side, side) from training images, never from test images.
    exact_layers : names of nodes that stay in FP32.
    """
    quantize_static(
        str(source),
        str(target),
        _Reader(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=list(exact_layers),
        extra_options=_EXTRA,
    )
    _finish(_one_quantizer_per_rectifier(onnx.load(str(target))), target)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Iterable[npt.NDArray[np.float32]]) -> None:
        self._images: Iterator[npt.NDArray[np.float32]] = iter(images)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        image = next(self._images, None)
        return None if image is None else {"image": image}


def _one_quantizer_per_rectifier(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take out the Q/DQ pair between a convolution and its rectifier."""
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        dequantizer = makers.get(node.input[0]) if node.op_type in ("Clip", "Relu") else None
        if dequantizer is not None and dequantizer.op_type == "DequantizeLinear":
            node.input[0] = makers[dequantizer.input[0]].input[0]
    return _without_unread_nodes(model)


def _without_unread_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    while True:
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        unread = [node for node in graph.node if not read.intersection(node.output)]
        if not unread:
            break
        for node in unread:
            graph.node.remove(node)
    for initializer in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(initializer)
    return model


def _finish(model: onnx.ModelProto, path: Path) -> None:
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
