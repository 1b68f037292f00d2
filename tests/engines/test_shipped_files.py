"""Every shipped file is one that both ONNX Runtime and TensorRT can build from.

TensorRT takes symmetric signed INT8 only, per tensor for activations and per channel for
weights, and wants biases in floating point. A file in floating point says why.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from edge.engines import registry

NAMES = sorted(registry.cards())
INT8_NAMES = [name for name in NAMES if registry.card(name).precision == "int8"]
REPORTS = registry.default_folder().parent / "calibration" / "reports"
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Network:
    """A shipped model as data."""

    def __init__(self, name: str) -> None:
        self.card = registry.card(name)
        self.proto = onnx.load_model_from_string(registry.verified_bytes(self.card))
        self.nodes = list(self.proto.graph.node)
        self.constants = {item.name: numpy_helper.to_array(item) for item in self.proto.graph.initializer}
        self.makers = {output: node for node in self.nodes for output in node.output}

    def of_type(self, *kinds: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if node.op_type in kinds]

    def parameters(self, node: onnx.NodeProto) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
        """Scale and zero point of a quantizer or dequantizer."""
        return self.constants[node.input[1]], self.constants[node.input[2]]


@pytest.fixture(scope="module", params=NAMES)
def network(request: pytest.FixtureRequest) -> Network:
    return Network(request.param)


@pytest.fixture(scope="module", params=INT8_NAMES)
def int8(request: pytest.FixtureRequest) -> Network:
    return Network(request.param)


def test_it_is_valid_and_of_the_agreed_version(network: Network) -> None:
    onnx.checker.check_model(network.proto, full_check=True)
    assert network.proto.ir_version == 8
    assert [(item.domain, item.version) for item in network.proto.opset_import if item.domain in ("", "ai.onnx")] == [
        ("", 17)
    ]


def test_it_uses_no_operator_outside_the_standard(network: Network) -> None:
    assert {node.domain for node in network.nodes} <= {"", "ai.onnx"}


def test_any_number_of_images_may_be_run_at_once(network: Network) -> None:
    graph = network.proto.graph
    (image,), (logits,) = graph.input, graph.output
    shape = image.type.tensor_type.shape.dim
    side = network.card.side
    assert shape[0].dim_param and not shape[0].HasField("dim_value")
    assert [axis.dim_value for axis in shape[1:]] == [1, side, side]
    assert logits.type.tensor_type.shape.dim[0].dim_param == shape[0].dim_param


def test_activations_are_symmetric_signed_and_per_tensor(int8: Network) -> None:
    quantizers = int8.of_type("QuantizeLinear")
    assert len(quantizers) > 10
    for quantizer in quantizers:
        scale, zero = int8.parameters(quantizer)
        assert (zero.dtype, zero.shape, scale.shape) == (np.int8, (), ()), quantizer.name
        assert (zero == 0).all() and scale > 0


def test_quantizer_and_dequantizer_agree(network: Network) -> None:
    for node in network.of_type("DequantizeLinear"):
        maker = network.makers.get(node.input[0])
        if maker is not None:
            assert maker.op_type == "QuantizeLinear"
            assert [a.tolist() for a in network.parameters(node)] == [a.tolist() for a in network.parameters(maker)]


def test_weights_are_symmetric_signed_and_per_channel(int8: Network) -> None:
    layers = int8.of_type(*WEIGHTED)
    assert layers
    for layer in layers:
        dequantizer = int8.makers[layer.input[1]]
        assert dequantizer.op_type == "DequantizeLinear", layer.name
        codes, (scale, zero) = int8.constants[dequantizer.input[0]], int8.parameters(dequantizer)
        assert (codes.dtype, zero.dtype) == (np.int8, np.int8), layer.name
        assert not zero.any() and (scale > 0).all()
        axis = next((item.i for item in dequantizer.attribute if item.name == "axis"), 1)
        assert scale.shape == (codes.shape[axis],), layer.name
        assert np.abs(codes.astype(int)).max() <= 127


def test_inputs_of_convolutions_are_quantized(int8: Network) -> None:
    for layer in int8.of_type(*WEIGHTED):
        assert int8.makers[layer.input[0]].op_type == "DequantizeLinear", layer.name


def test_biases_are_floating_point(network: Network) -> None:
    biased = [layer for layer in network.of_type(*WEIGHTED) if len(layer.input) > 2]
    assert biased
    for layer in biased:
        assert network.constants[layer.input[2]].dtype == np.float32, layer.name


def test_no_quantizer_stands_between_a_convolution_and_its_rectifier(int8: Network) -> None:
    rectifiers = int8.of_type("Clip", "Relu")
    assert rectifiers
    for rectifier in rectifiers:
        assert int8.makers[rectifier.input[0]].op_type in ("Conv", "Add"), rectifier.name
        readers = [node for node in int8.nodes if rectifier.output[0] in node.input]
        assert {node.op_type for node in readers} <= {"QuantizeLinear"}, rectifier.name


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(INT8_NAMES)))
def test_a_model_is_exact_only_where_no_quantized_file_agreed_with_it(name: str) -> None:
    network = Network(name)
    assert network.of_type("QuantizeLinear", "DequantizeLinear") == []
    report = json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))
    assert report["sha256"] == network.card.sha256
    assert len(report["attempts"]) > 1 and not any(attempt["passed"] for attempt in report["attempts"])


def test_the_outputs_are_named(network: Network) -> None:
    assert len(set(network.card.outputs)) == len(network.card.outputs) > 0


def test_it_has_a_card(network: Network) -> None:
    card = (network.card.path.parent / "card.md").read_text(encoding="utf-8")
    assert network.card.version in card
    assert "not a medical device" in card.lower()


def test_all_models_together_stay_small() -> None:
    files = [
        path for path in registry.default_folder().rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert sum(path.stat().st_size for path in files) < 60e6
    assert {path.parent.name for path in files if path.suffix == ".onnx"} == set(NAMES)
    assert [path.name for path in files if path.suffix in {".pt", ".npz", ".data"}] == []


def test_no_file_is_outside_the_folder_of_the_models() -> None:
    folder = registry.default_folder().resolve()
    assert all(folder in Path(card.path).resolve().parents for card in registry.cards().values())
