"""Bias correction: after it, each channel of a quantized layer has the mean that the exact one has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper

from calibration import correction, quantize
from edge.engines.unsigned import with_unsigned_activations
from tests.support import engines

LAYERS = ["first", "second"]
Images = list[npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def images() -> Images:
    return list(np.random.default_rng(3).random((24, 1, 1, 8, 8)).astype(np.float32))


@pytest.fixture
def pair(tmp_path: Path, images: Images) -> tuple[Path, Path]:
    """A network of two layers, and its INT8 file whose biases were spoilt."""
    rng = np.random.default_rng(8)
    constants = {
        "first_w": rng.normal(0, 0.6, (6, 1, 3, 3)).astype(np.float32),
        "first_b": rng.normal(0, 0.1, 6).astype(np.float32),
        "second_w": rng.normal(0, 0.4, (3, 6, 3, 3)).astype(np.float32),
        "second_b": rng.normal(0, 0.1, 3).astype(np.float32),
    }
    model = engines.chain_model(
        helper.make_node("Conv", ["image", "first_w", "first_b"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="rectifier"),
        helper.make_node("Conv", ["b", "second_w", "second_b"], ["c"], name="second", pads=[1, 1, 1, 1]),
        constants=constants,
        output="c",
    )
    exact, int8 = tmp_path / "exact.onnx", tmp_path / "int8.onnx"
    exact.write_bytes(model)
    quantize.quantize(exact, int8, images)
    spoilt = onnx.load(str(int8))
    for item in spoilt.graph.initializer:
        if item.name.endswith("_b"):
            item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item) + np.float32(0.2), item.name))
    onnx.save(spoilt, str(int8))
    return exact, int8


def off(exact: Path, int8: Path, images: Images) -> float:
    """The greatest difference of a channel's mean, as the processor runs the file."""
    expected = correction.channel_means(exact.read_bytes(), LAYERS, images)
    found = correction.channel_means(with_unsigned_activations(int8.read_bytes()), LAYERS, images)
    return max(float(np.abs(expected[name] - found[name]).max()) for name in LAYERS)


def test_corrected_layers_have_the_means_of_the_exact_ones(pair: tuple[Path, Path], images: Images) -> None:
    assert off(*pair, images) > 0.1
    correction.correct_biases(*pair, images)
    assert off(*pair, images) < 1e-3


def test_nothing_but_biases_is_changed(pair: tuple[Path, Path], images: Images) -> None:
    before = onnx.load(str(pair[1]))
    correction.correct_biases(*pair, images)
    after = onnx.load(str(pair[1]))
    assert [n.SerializeToString() for n in before.graph.node] == [n.SerializeToString() for n in after.graph.node]
    changed = [a.name for a, b in zip(before.graph.initializer, after.graph.initializer, strict=True) if a != b]
    assert sorted(changed) == ["first_b", "second_b"]


def test_means_are_of_each_channel(images: Images) -> None:
    model = engines.chain_model(
        helper.make_node("Conv", ["image", "w", "b"], ["out"], name="layer"),
        constants={"w": np.array([1, -2], np.float32).reshape(2, 1, 1, 1), "b": np.array([0, 1], np.float32)},
        output="out",
    )
    mean = float(np.mean(images))
    np.testing.assert_allclose(
        correction.channel_means(model, ["layer"], images)["layer"], [mean, 1 - 2 * mean], atol=1e-5
    )
