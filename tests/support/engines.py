"""Engines that answer as a test tells them, and networks of a few nodes, for tests that need no trained model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.engines.engine import ModelCard, Tensor
from edge.stages.radiograph.measures import SIDE_FEATURES

Answer = Callable[[npt.NDArray[np.float32]], npt.ArrayLike]

GATE_LIMITS = {"frontal": 0.5, "turned": 0.9, "inverted": 0.9}
POSITIONING_LIMITS = {
    "positioning_most_apex_at_edge": 0.25,
    "positioning_most_side_at_edge": 0.1,
    "positioning_most_angle_at_edge": 0.15,
    "positioning_side_weights": [1.0] * (SIDE_FEATURES - 2) + [40.0, 20.0],
    "positioning_least_heart_side": -3.0,
    "positioning_least_width_difference": -0.12,
    "positioning_most_width_difference": 0.15,
    "positioning_most_black_share": 0.15,
    "positioning_most_lung_grey": 0.75,
    "positioning_least_height_to_width": 0.63,
}
LUNG_LIMITS: dict[str, Any] = {
    "least_area": 0.02,
    "most_area": 0.75,
    "most_ratio": 4.0,
    "atlas_right": [[0.06, 0.06], [0.42, 0.06], [0.42, 0.94], [0.06, 0.94]],
    "atlas_left": [[0.58, 0.06], [0.94, 0.06], [0.94, 0.94], [0.58, 0.94]],
    "most_residual": 0.3,
    **POSITIONING_LIMITS,
}
OPACITY_LIMITS = {
    "opaque_from": 0.5,
    "consolidated_from": 0.5,
    "marked_from": 0.6,
    "least_percent": 1.5,
    "clear_below_percent": 5.0,
    "zone_weights": [1.0, 0.0, 0.0],
    "extent_weights": [0.4, 0.0, 0.0],
    "opacity_weights": [0.3, 0.0, 0.0],
    "none_below": 1.0,
    "least_change": 2.0,
}
PNEUMONIA_OUTPUTS = (
    *(f"child_{name}" for name in ("normal", "bacterial", "viral", "covid19")),
    *(f"adult_{name}" for name in ("normal", "other_pneumonia", "covid19", "tuberculosis", "other")),
    "is_child",
    "embedding_00",
    "embedding_01",
)
PNEUMONIA_LIMITS = {
    "most_distance": 9.0,
    **{
        f"{group}_{name}": value
        for group in ("child", "adult")
        for name, value in (("temperature", 1.0), ("normal_below", 0.2), ("abnormal_from", 0.6), ("set_from", 0.16))
    },
}


def card(name: str = "frontal_gate", **changes: Any) -> ModelCard:
    """A registry entry; the limits are those of the gate unless told otherwise."""
    values: dict[str, Any] = {
        "name": name,
        "version": "9.9.9",
        "path": Path("nowhere.onnx"),
        "sha256": "ab" * 32,
        "precision": "int8",
        "side": 64,
        "mean": 0.5,
        "std": 0.5,
        "outputs": (),
        "thresholds": GATE_LIMITS,
    }
    return ModelCard(**values | changes)


class ScriptedEngine:
    """Answers each image, float32 (side, side), with what a function makes of it, and keeps the images."""

    def __init__(self, card: ModelCard, answer: Answer) -> None:
        self._card = card
        self._answer = answer
        self.seen: list[npt.NDArray[np.float32]] = []

    @property
    def card(self) -> ModelCard:
        """The entry that it was made with."""
        return self._card

    def run(self, images: Tensor) -> Tensor:
        """See ``Engine.run``."""
        assert images.dtype == np.float32 and images.shape[1:] == (self._card.side, self._card.side)
        self.seen.extend(images)
        return np.stack([np.asarray(self._answer(image), np.float32) for image in images])


def gate_logits(view: str = "frontal", quarter_turns: int = 0, *, inverted: bool = False) -> list[float]:
    """The gate's answer where it is sure."""
    views = [6.0 * (name == view) for name in ("frontal", "lateral", "other")]
    turns = [8.0 * (turn == quarter_turns) for turn in range(4)]
    return [*views, *turns, 6.0 if inverted else -6.0]


def lung_planes(right: tuple[slice, slice], left: tuple[slice, slice], side: int = 32) -> npt.NDArray[np.float32]:
    """What the lung network answers for two rectangular lungs and a heart between them, shape (5, side, side)."""
    planes = np.full((5, side, side), -4, np.float32)
    for plane, where in ((0, right), (1, left), (3, right), (4, left)):
        planes[plane][where] = 4
    planes[2, side // 2 : side * 3 // 4, side * 3 // 8 : side * 5 // 8] = 4
    return planes


TWO_LUNGS = lung_planes((slice(6, 26), slice(4, 13)), (slice(6, 26), slice(19, 28)))
"""Lungs where the phantom of ``tests.support.inputs`` has them."""


def opacity_logits(*, severity: float = -9.0, side: int = 32, **where: tuple[slice, slice]) -> npt.NDArray[np.float32]:
    """What the opacity network answers, shape (3, side, side), in the frame of the atlas.

    Parameters
    ----------
    severity : logit of the severity, everywhere.
    where : places of ``opacity`` and of ``consolidation``.
    """
    planes = np.full((3, side, side), -9, np.float32)
    for name, place in where.items():
        planes[("opacity", "consolidation").index(name)][place] = 9
    planes[2] = severity
    return planes


def both_ways(maps: npt.NDArray[np.float32]) -> Answer:
    """An answer for images that come in turn with their mirror images, whose maps are mirrored too."""
    turns = cycle((maps, maps[..., ::-1]))
    return lambda image: next(turns)


def pneumonia_logits(**outputs: float) -> list[float]:
    """The classifier's answer, 0 for every output that is not named."""
    assert outputs.keys() <= set(PNEUMONIA_OUTPUTS)
    return [outputs.get(name, 0.0) for name in PNEUMONIA_OUTPUTS]


def chain_model(*nodes: onnx.NodeProto, constants: dict[str, npt.NDArray[Any]], output: str, axes: int = 4) -> bytes:
    """A serialized network from ``image`` (batch, 1, 8, 8) to ``output`` in the opset of the shipped files."""
    shape = ["batch", *(f"axis {number}" for number in range(1, axes))]
    graph = helper.make_graph(
        list(nodes),
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
