"""The release gate: what it compares, its limits, and that it stops a file that was quantized badly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper

from calibration import quantize, sensitivity
from calibration.gate import ATTEMPTS, Answers, compare
from edge.engines import registry
from edge.engines.engine import Engine, ModelCard
from tests.support import engines

SIDE = 8
Images = npt.NDArray[np.float32]


def scores(*values: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Scores whose second half is positive."""
    return np.array(values), np.arange(len(values)) >= len(values) // 2


def test_equal_answers_pass() -> None:
    answers = Answers(
        scores={"covid19": scores(0.1, 0.2, 0.7, 0.9)}, decisions=["normal", "refer"], dice={"lungs": [0.9]}
    )
    verdict = compare(answers, answers)
    assert verdict.passed
    assert verdict.measures["auc"] == {"covid19": {"fp32": 1.0, "int8": 1.0, "fall": 0.0}}
    assert (verdict.measures["decisions"], verdict.measures["flipped"]) == (2, 0.0)


@pytest.mark.parametrize(("swapped", "passes"), [(1, True), (3, False)])
def test_no_class_may_lose_more_than_half_a_hundredth_of_auc(swapped: int, passes: bool) -> None:
    """20 negatives and 20 positives are 400 pairs; each positive moved below one negative loses one."""
    exact = np.arange(40, dtype=np.float64)
    moved = exact.copy()
    moved[20 : 20 + swapped] = 18.5
    kept = (exact, np.arange(40) >= 20)
    answers = Answers(scores={"steady": kept, "falling": (moved, np.arange(40) >= 20)})
    verdict = compare(Answers(scores={"steady": kept, "falling": kept}), answers)
    assert verdict.measures["auc"]["falling"]["fall"] == pytest.approx(swapped / 400)
    assert verdict.passed is passes


def test_a_class_that_gains_passes() -> None:
    better, worse = scores(0.1, 0.2, 0.7, 0.9), scores(0.8, 0.2, 0.7, 0.9)
    assert compare(Answers(scores={"covid19": worse}), Answers(scores={"covid19": better})).passed


@pytest.mark.parametrize(("flipped", "passes"), [(1, True), (2, False)])
def test_no_more_than_one_decision_in_a_hundred_may_flip(flipped: int, passes: bool) -> None:
    exact, int8 = ["normal"] * 100, ["refer"] * flipped + ["normal"] * (100 - flipped)
    verdict = compare(Answers(decisions=exact), Answers(decisions=int8))
    assert verdict.measures["flipped"] == flipped / 100
    assert verdict.passed is passes


@pytest.mark.parametrize(("fall", "passes"), [(0.004, True), (0.006, False)])
def test_no_mean_dice_may_fall_by_more_than_half_a_hundredth(fall: float, passes: bool) -> None:
    exact, int8 = {"JSRT": [0.95, 0.97], "Kermany": [0.9]}, {"JSRT": [0.95, 0.97 - 2 * fall], "Kermany": [0.99]}
    assert compare(Answers(dice=exact), Answers(dice=int8)).passed is passes


def test_probabilities_of_pixels_are_compared_one_by_one() -> None:
    exact, int8 = np.array([[0.1, 0.9]], np.float32), np.array([[0.2, 0.8]], np.float32)
    measures = compare(Answers(probabilities=exact), Answers(probabilities=int8)).measures
    assert measures["mean_absolute_difference"] == pytest.approx(0.1)


def test_the_first_attempt_is_the_fastest_and_later_ones_keep_more_layers_exact() -> None:
    kept = [(attempt.ends_exact, attempt.harmful_exact) for attempt in ATTEMPTS]
    assert kept[0] == (False, 0)
    assert kept == sorted(kept)


# A real network through the real quantizer and the real engine: two convolutions and the mean of each of three maps.


@pytest.fixture(scope="module")
def images() -> Images:
    return np.random.default_rng(3).random((200, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def exact_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(8)
    constants = {
        "first_w": rng.normal(0, 0.6, (6, 1, 3, 3)).astype(np.float32),
        "second_w": rng.normal(0, 0.4, (3, 6, 3, 3)).astype(np.float32),
    }
    model = engines.chain_model(
        helper.make_node("Conv", ["image", "first_w"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="rectifier"),
        helper.make_node("Conv", ["b", "second_w"], ["c"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c"], ["logits"], name="mean", axes=[2, 3], keepdims=0),
        constants=constants,
        output="logits",
        axes=2,
    )
    path = tmp_path_factory.mktemp("exact") / "model.onnx"
    path.write_bytes(model)
    return path


def engine_of(path: Path, precision: str) -> Engine:
    """The file as the box runs it."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return registry.load(engines.card(path=path, sha256=sha256, precision=precision, side=SIDE), threads=1)


def quantized(exact: Path, folder: Path, seen: Images, exact_layers: Sequence[str] = ()) -> ModelCard:
    """The card of an INT8 file whose ranges come from these images."""
    target = folder / "int8.onnx"
    normalised = ((image - 0.5) / 0.5 for image in seen)
    quantize.quantize(exact, target, [image[None, None].astype(np.float32) for image in normalised], exact_layers)
    return engine_of(target, "int8").card


def answers(engine: Engine, images: Images, reference: npt.NDArray[np.float32]) -> Answers:
    """Each of three classes against the truth of a reference, and the likeliest one."""
    logits = engine.run(images)
    truth = reference > np.median(reference, 0)
    told = {f"class {i}": (logits[:, i].astype(np.float64), truth[:, i]) for i in range(3)}
    likeliest = (logits - np.median(reference, 0)).argmax(1)
    return Answers(scores=told, decisions=[int(c) for c in likeliest])


def test_a_well_quantized_network_passes_where_decisions_are_clear(
    exact_path: Path, images: Images, tmp_path: Path
) -> None:
    exact = engine_of(exact_path, "fp32")
    reference = exact.run(images)
    int8 = registry.load(quantized(exact_path, tmp_path, images), threads=1)
    measures = compare(answers(exact, images, reference), answers(int8, images, reference)).measures
    assert all(found["fall"] <= 0.005 for found in measures["auc"].values())
    assert measures["flipped"] <= 0.05


def test_a_network_with_ranges_from_nearly_black_images_fails(exact_path: Path, images: Images, tmp_path: Path) -> None:
    exact = engine_of(exact_path, "fp32")
    reference = exact.run(images)
    spoilt = quantized(exact_path, tmp_path, 0.5 + 0.02 * images)
    verdict = compare(answers(exact, images, reference), answers(registry.load(spoilt, threads=1), images, reference))
    assert not verdict.passed
    assert verdict.measures["flipped"] > 0.05


def test_layers_kept_exact_are_not_quantized(exact_path: Path, images: Images, tmp_path: Path) -> None:
    kept = onnx.load(str(quantized(exact_path, tmp_path, images, exact_layers=["second"]).path))
    made = {output: node.op_type for node in kept.graph.node for output in node.output}
    inputs = {node.name: list(node.input) for node in kept.graph.node}
    assert inputs["second"][1] == "second_w"
    assert made[inputs["first"][1]] == "DequantizeLinear"


def test_the_layer_that_was_spoilt_is_found_to_be_the_most_harmful(
    exact_path: Path, images: Images, tmp_path: Path
) -> None:
    exact = engine_of(exact_path, "fp32")
    card = quantized(exact_path, tmp_path, images)
    model = onnx.load(str(card.path))
    second = next(node for node in model.graph.node if node.name == "second")
    scales = {node.output[0]: node.input[1] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    for item in model.graph.initializer:
        if item.name == scales[second.input[1]]:
            item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item) * np.float32(1.5), item.name))
    onnx.save(model, str(card.path))
    assert sensitivity.layers(exact_path) == ["first", "second"]
    assert sensitivity.most_harmful_first(exact, card, list(images[:16])) == ["second", "first"]


def test_a_layer_that_is_set_free_has_its_exact_weights_and_unquantized_inputs(
    exact_path: Path, images: Images, tmp_path: Path
) -> None:
    card = quantized(exact_path, tmp_path, images)
    source = onnx.load(str(exact_path))
    freed = onnx.load_model_from_string(sensitivity.with_exact_layer(onnx.load(str(card.path)), source, "second"))
    inputs = {node.name: list(node.input) for node in freed.graph.node}
    assert inputs["second"] == ["b", "second_w"]
    assert inputs["first"] == {n.name: list(n.input) for n in onnx.load(str(card.path)).graph.node}["first"]
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in freed.graph.initializer}
    expected = {item.name: onnx.numpy_helper.to_array(item) for item in source.graph.initializer}
    assert np.array_equal(weights["second_w"], expected["second_w"])
