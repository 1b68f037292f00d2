"""Corrects the biases of a quantized network (Nagel 2019, "bias correction").

Rounded weights and activations shift the mean output of a layer. On calibration images the
mean of each channel of each layer is compared with that of the exact network, and the
difference is taken off the layer's bias. A layer's shift moves all layers behind it, so the
biases are corrected one after the other, from the input to the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edge.engines import ort
from edge.engines.unsigned import with_unsigned_activations

_LAYERS = ("Conv", "Gemm")
_BATCH = 8
_THREADS = 2

Images = Sequence[npt.NDArray[np.float32]]
Means = dict[str, npt.NDArray[np.float64]]


def correct_biases(exact: Path, quantized: Path, images: Images) -> None:
    """Write the quantized file anew with corrected biases.

    Parameters
    ----------
    images : float32 arrays of shape (1, 1, side, side), normalised.
    """
    source, model = onnx.load(str(exact)), onnx.load(str(quantized))
    names = [node.name for node in source.graph.node if node.op_type in _LAYERS]
    expected = channel_means(source.SerializeToString(), names, images)
    for name in names:
        # Measured as the processor runs it: with codes that the file does not hold.
        found = channel_means(with_unsigned_activations(model.SerializeToString()), [name], images)
        _shift(model, name, expected[name] - found[name])
    onnx.save(model, str(quantized))


def channel_means(model: bytes, names: Sequence[str], images: Images) -> Means:
    """Mean of each output channel, shape (C,), of the layers of these names."""
    proto = onnx.load_model_from_string(model)
    outputs = {node.name: node.output[0] for node in proto.graph.node if node.name in names}
    del proto.graph.output[:]
    proto.graph.output.extend(helper.make_empty_tensor_value_info(output) for output in outputs.values())
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.session(proto.SerializeToString(), _THREADS, level)  # with the kernels that the box uses
    batches = [np.concatenate(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
    sums = [[_channels(values) * len(batch) for values in session.run(None, {"image": batch})] for batch in batches]
    means = (np.sum(layer, axis=0) / len(images) for layer in zip(*sums, strict=True))
    return dict(zip(outputs, means, strict=True))


def _channels(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Mean of each channel of (N, C) or (N, C, H, W)."""
    axes = tuple(i for i in range(values.ndim) if i != 1)
    return np.asarray(values.mean(axis=axes, dtype=np.float64))


def _shift(model: onnx.ModelProto, name: str, by: npt.NDArray[np.float64]) -> None:
    (layer,) = [node for node in model.graph.node if node.name == name]
    (bias,) = [item for item in model.graph.initializer if item.name == layer.input[2]]
    bias.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(bias) + by).astype(np.float32), bias.name))
