"""The rewriting for processors changes codes and never what they mean."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edge.dicom.reader import Reader
from edge.engines import ort, registry
from edge.engines.ort import OrtEngine
from edge.engines.unsigned import with_unsigned_activations
from edge.stages.radiograph.geometry import tile
from tests.support import inputs
from tests.support.engines import chain_model

STEP = 0.05
Floats = npt.NDArray[np.float32]


def q_dq(name: str, source: str, scale: str = "step") -> list[onnx.NodeProto]:
    """A quantizer and its dequantizer, from ``source`` to ``name``."""
    codes = f"{name}_codes"
    return [
        helper.make_node("QuantizeLinear", [source, scale, "zero"], [codes]),
        helper.make_node("DequantizeLinear", [codes, scale, "zero"], [name]),
    ]


def conv(name: str, source: str, weights: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weights, "bias"], [name], kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def clip(name: str, source: str) -> onnx.NodeProto:
    return helper.make_node("Clip", [source, "least", "most"], [name])


def weights_node(name: str, axis: int = 0) -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", [f"{name}_codes", f"{name}_step", f"{name}_zero"], [name], axis=axis)


def constants() -> dict[str, npt.NDArray[np.generic]]:
    rng = np.random.default_rng(5)

    def codes(*shape: int) -> npt.NDArray[np.int8]:
        return rng.integers(-127, 128, shape).astype(np.int8)

    return {
        "step": np.float32(STEP) * np.ones((), np.float32),
        "zero": np.zeros((), np.int8),
        "least": np.zeros((), np.float32),
        "most": np.full((), 6, np.float32),
        "bias": rng.normal(0, 0.3, 4).astype(np.float32),
        "first_codes": codes(4, 1, 3, 3),
        "first_step": np.full(4, 0.004, np.float32),
        "first_zero": np.zeros(4, np.int8),
        "second_codes": codes(4, 4, 3, 3),
        "second_step": np.full(4, 0.001, np.float32),
        "second_zero": np.zeros(4, np.int8),
        "last_codes": codes(256, 3),
        "last_step": np.full(3, 0.001, np.float32),
        "last_zero": np.zeros(3, np.int8),
    }


def made(*nodes: onnx.NodeProto, output: str, axes: int = 4) -> bytes:
    """A network of these nodes with the constants that they read."""
    read = {name for node in nodes for name in node.input}
    used = {name: np.asarray(value) for name, value in constants().items() if name in read}
    return chain_model(*nodes, constants=used, output=output, axes=axes)


def small_network(*, rectified: bool) -> bytes:
    """Conv (Clip) Q DQ Conv Add Q DQ Flatten Gemm."""
    nodes = [*q_dq("shown", "image"), weights_node("first"), conv("a", "shown", "first")]
    if rectified:
        nodes.append(clip("b", "a"))
    nodes += [*q_dq("c", "b" if rectified else "a"), weights_node("second"), conv("d", "c", "second")]
    nodes += [helper.make_node("Add", ["d", "c"], ["e"]), *q_dq("f", "e"), weights_node("last", axis=1)]
    nodes += [helper.make_node("Flatten", ["f"], ["g"]), helper.make_node("Gemm", ["g", "last"], ["out"])]
    return made(*nodes, output="out", axes=2)


def images(count: int = 3) -> Floats:
    return np.random.default_rng(6).normal(0, 2, (count, 1, 8, 8)).astype(np.float32)


def exact(model: bytes) -> Floats:
    """What a model computes node by node in floating point, nothing fused."""
    return np.asarray(node_by_node(model).run(None, {"image": images()})[0])


def node_by_node(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def fused(model: bytes) -> Floats:
    """What the integer kernels compute that the runtime puts in place of the nodes."""
    session = ort.session(model, 1, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
    return np.asarray(session.run(None, {"image": images()})[0])


def zero_points(model: bytes) -> list[int]:
    graph = onnx.load_model_from_string(model).graph
    known = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    found = [known[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert all(zero.dtype == np.uint8 for zero in found)
    return [int(zero) for zero in found]


def test_without_a_rectifier_every_value_stays_exactly_the_same() -> None:
    signed = small_network(rectified=False)
    unsigned = with_unsigned_activations(signed)
    assert zero_points(unsigned) == [128, 128, 128]
    np.testing.assert_array_equal(exact(unsigned), exact(signed))


def test_behind_a_rectifier_the_step_is_half_as_wide() -> None:
    nodes = [*q_dq("shown", "image"), weights_node("first"), conv("a", "shown", "first"), clip("b", "a")]
    true = exact(made(*nodes, output="b"))
    signed = made(*nodes, *q_dq("c", "b"), output="c")
    unsigned = with_unsigned_activations(signed)
    assert zero_points(unsigned) == [128, 0]
    assert true.max() > 1
    assert np.abs(exact(signed) - true).max() <= STEP / 2 + 1e-6
    assert np.abs(exact(unsigned) - true).max() <= STEP / 2 * 127 / 255 + 1e-6


def test_both_end_at_the_same_highest_value() -> None:
    nodes = [helper.make_node("Relu", ["image"], ["a"]), *q_dq("b", "a", "narrow")]
    narrow = {"narrow": np.full((), 0.01, np.float32), "zero": np.zeros((), np.int8)}
    signed = chain_model(*nodes, constants=narrow, output="b")
    assert exact(signed).max() == pytest.approx(1.27)
    unsigned = with_unsigned_activations(signed)
    assert zero_points(unsigned) == [0]
    assert exact(unsigned).max() == pytest.approx(1.27)


def test_a_whole_network_answers_alike() -> None:
    signed = small_network(rectified=True)
    unsigned = with_unsigned_activations(signed)
    assert zero_points(unsigned) == [128, 0, 128]
    assert np.corrcoef(exact(unsigned).ravel(), exact(signed).ravel())[0, 1] > 0.999


@pytest.mark.parametrize("rectified", [False, True])
def test_integer_kernels_compute_what_the_nodes_say(rectified: bool) -> None:
    unsigned = with_unsigned_activations(small_network(rectified=rectified))
    onnx.checker.check_model(onnx.load_model_from_string(unsigned), full_check=True)
    # A value on the edge between two codes may fall to either side.
    assert np.abs(fused(unsigned) - exact(unsigned)).max() < 2 * STEP


def test_a_model_without_quantizers_computes_the_same() -> None:
    rng = np.random.default_rng(7)
    parts = {"weights": rng.normal(size=(4, 1, 3, 3)).astype(np.float32), "bias": np.zeros(4, np.float32)}
    model = chain_model(conv("out", "image", "weights"), constants=parts, output="out")
    np.testing.assert_array_equal(exact(with_unsigned_activations(model)), exact(model))


def test_codes_that_something_else_reads_are_not_rewritten() -> None:
    nodes = [*q_dq("b", "image"), helper.make_node("Cast", ["b_codes"], ["out"], to=onnx.TensorProto.FLOAT)]
    with pytest.raises(ValueError, match="expected only DequantizeLinear"):
        with_unsigned_activations(made(*nodes, output="out"))


@cache
def radiograph() -> Floats:
    with Reader() as reader:
        return reader.read(inputs.example("RG1_UNCR.dcm")).radiograph.pixels


@pytest.mark.parametrize("name", sorted(registry.cards()))
def test_the_shipped_file_and_what_is_run_answer_alike(name: str) -> None:
    card = registry.card(name)
    shipped = registry.verified_bytes(card)
    image = tile(radiograph(), card.side)[None]
    plain = node_by_node(shipped)
    normalised = ((image[:, None] - card.mean) / card.std).astype(np.float32)
    (expected,) = plain.run(None, {plain.get_inputs()[0].name: normalised})
    found = OrtEngine(card, shipped, threads=1).run(image)
    assert np.corrcoef(found.ravel(), np.asarray(expected).ravel())[0, 1] > 0.99
