"""Makes the signed INT8 file fast on processors: the same numbers in unsigned codes.

The shipped files are symmetric signed INT8 because TensorRT accepts nothing else. ONNX
Runtime fuses convolution, ReLU and quantizer into one integer kernel only where the
quantizer's own range starts at zero, which a symmetric range never does. So, in memory:

- behind a ReLU or ReLU6 no value is negative and the codes -128..-1 are idle; the same
  range [0, 127 * scale] is written with the codes 0..255, and the step is half as wide;
- everywhere else code c becomes c + 128 with zero point 128: the same values.

Rejected: shipping a second, unsigned file. Two files would need two hashes, two sets of
thresholds and two evaluations, and could drift apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

_SIGNED_CODES, _UNSIGNED_CODES = 127, 255
_RECTIFIERS = ("Clip", "Relu")


def with_unsigned_activations(model: bytes) -> bytes:
    """Rewrite the quantizers behind rectifiers of a symmetric signed Q/DQ model.

    Parameters
    ----------
    model : a serialized ONNX model with signed, symmetric, per-tensor activation quantizers.

    Returns
    -------
    The serialized rewritten model; a model without quantizers comes back unchanged.
    """
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    rectified = {node.output[0] for node in graph.node if node.op_type in _RECTIFIERS}
    scales = {item.name: item for item in graph.initializer}
    for quantizer in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        scale = numpy_helper.to_array(scales[quantizer.input[1]])
        if quantizer.input[0] in rectified:
            parameters = _parameters(quantizer, scale * (_SIGNED_CODES / _UNSIGNED_CODES), zero_point=0)
        else:
            parameters = _parameters(quantizer, scale, zero_point=128)
        graph.initializer.extend(parameters)
        for node in (quantizer, *_dequantizers(graph, quantizer.output[0])):
            node.input[1:] = [parameter.name for parameter in parameters]
    return bytes(proto.SerializeToString())


def _parameters(
    quantizer: onnx.NodeProto, scale: npt.NDArray[np.floating], zero_point: int
) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    name = quantizer.output[0]
    return (
        numpy_helper.from_array(scale.astype(np.float32), f"{name}_unsigned_scale"),
        numpy_helper.from_array(np.array(zero_point, np.uint8), f"{name}_unsigned_zero"),
    )


def _dequantizers(graph: onnx.GraphProto, codes: str) -> list[onnx.NodeProto]:
    readers = [node for node in graph.node if codes in node.input]
    others = {node.op_type for node in readers} - {"DequantizeLinear"}
    if others:
        raise ValueError(f"expected only DequantizeLinear to read {codes}, got {sorted(others)}")
    return readers
