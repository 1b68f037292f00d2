"""What each model is asked on validation images by the release gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration import fit
from calibration.fit import Origin
from calibration.gate import Answers
from edge.engines.engine import Engine
from edge.stages.numbers import sigmoid, softmax
from edge.stages.radiograph import detection, quality, segmentation
from edge.stages.radiograph.case import first_case
from edge.stages.radiograph.classification import Claim, interpret
from edge.stages.radiograph.geometry import tile
from edge.types import Group, Radiograph, Severity
from models.evaluation.figures import Flags, Numbers
from models.evaluation.lung_field import lung_dice
from models.training import data, outsiders
from models.training import frontal_gate as gate_recipe
from models.training import opacity as opacity_recipe
from models.training import pneumonia as pneumonia_recipe

_FRONTALS, _TURNED = 600, 60
_SLICES = 60


def pneumonia(origin: Origin, engine: Engine) -> Answers:
    """Each class of each head against the others of its group, and the decision."""
    samples = pneumonia_recipe.load(origin.root, ("val",), origin.left_out)
    logits = fit.pneumonia_outputs(engine, samples)
    claims = [_claim(output, engine, sample) for output, sample in zip(logits, samples, strict=True)]
    scores: dict[str, tuple[Numbers, Flags]] = {}
    for group, names in (("child", pneumonia_recipe.CHILD), ("adult", pneumonia_recipe.ADULT)):
        of_group = [
            (claim, pneumonia_recipe.allowed_classes(group, sample.row.label, group))
            for claim, sample in zip(claims, samples, strict=True)
            if sample.group == group
        ]
        scores |= {f"{group}_{name}": _against_others(of_group, name) for name in names}
    told = {name: pair for name, pair in scores.items() if len(np.unique(pair[1])) == 2}
    return Answers(scores=told, decisions=[claim.decision for claim in claims])


def _claim(logits: npt.NDArray[np.float32], engine: Engine, sample: pneumonia_recipe.Sample) -> Claim:
    group = Group.CHILD if sample.group == "child" else Group.ADULT
    return interpret(logits, engine.card, group)


def _against_others(claims: list[tuple[Claim, tuple[str, ...]]], name: str) -> tuple[Numbers, Flags]:
    """Images whose label is this class alone, against those whose label excludes it."""
    told = [(claim.probabilities[name], name in allowed) for claim, allowed in claims
            if allowed == (name,) or name not in allowed]  # fmt: skip
    return np.array([p for p, _ in told]), np.array([is_it for _, is_it in told], bool)


def opacity(origin: Origin, engine: Engine) -> Answers:
    """Every pixel of normal validation images and boxed training images, and whether anything is marked."""
    normal = [s.picture for s in opacity_recipe.normal_samples(origin.root, "val", every=4)]
    boxed = [sample.picture for sample in opacity_recipe.box_samples(origin.root, "train")]
    limits = engine.card.thresholds
    maps = [fit.opacity_maps(engine, picture) for picture in normal + boxed]
    marks = [
        detection.marked(one, picture.alignment, picture.pixels.shape, limits)
        for one, picture in zip(maps, normal + boxed, strict=True)
    ]
    percent = np.array([one[detection.OPACITY].mean() for one in maps])
    is_boxed = np.repeat([False, True], [len(normal), len(boxed)])
    return Answers(
        scores={"opaque": (percent, is_boxed)},
        decisions=[bool(found) for found in marks],
        probabilities=np.stack(maps),
    )


def frontal_gate(origin: Origin, engine: Engine) -> Answers:
    """View, turn and inversion.

    Frontal radiographs are validation images. Of laterals and other images there are only those
    for training and those for the final figures; the former serve here.
    """
    asked = _gate_images(origin.root)
    logits = engine.run(np.stack([tile(data.to_unit(image), engine.card.side) for image, _, _ in asked]))
    views, turns = (np.stack([softmax(row[part]) for row in logits]) for part in (slice(0, 3), slice(3, 7)))
    view, turn = np.array([v for _, v, _ in asked]), np.array([t for _, _, t in asked])
    frontal = view == gate_recipe.FRONTAL
    scores = {name: (views[:, i], view == i) for i, name in enumerate(gate_recipe.OUTPUTS[:3])}
    scores |= {f"turned_{90 * k}": (turns[frontal, k], turn[frontal] == k) for k in range(4)}
    return Answers(scores=scores, decisions=[_gate_decision(image, engine) for image, _, _ in asked])


def _gate_images(root: Path) -> list[tuple[data.Grey, int, int]]:
    """Images with their view and by how many quarters they were turned."""
    rows = [r for r in data.manifest(root) if r.split == "val" and not r.is_lateral]
    frontal = [data.pixels(root, row) for row in rows[:: max(1, len(rows) // _FRONTALS)]]
    turned = [
        (np.rot90(image, k).copy(), gate_recipe.FRONTAL, k)
        for image in frontal[:: max(1, len(frontal) // _TURNED)]
        for k in (1, 2, 3)
    ]
    laterals = outsiders.gate_figures(root, "lateral", held_out=False)
    others = outsiders.gate_figures(root, "ct_figure", held_out=False) + outsiders.ct_slices(root, "val", _SLICES)
    return [
        *((image, gate_recipe.FRONTAL, 0) for image in frontal),
        *turned,
        *((image, gate_recipe.LATERAL, 0) for image in laterals),
        *((image, gate_recipe.OTHER, 0) for image in others),
    ]


def _gate_decision(image: data.Grey, engine: Engine) -> tuple[bool, int, bool]:
    outcome = quality.read(first_case(Radiograph(pixels=data.to_unit(image))), engine)
    codes = {remark.code for remark in outcome.remarks}
    is_refused = any(remark.severity is Severity.STOP for remark in outcome.remarks)
    return is_refused, outcome.case.turned_deg, quality.INVERTED.code in codes


def lung_field(origin: Origin, engine: Engine) -> Answers:
    """Overlap of the lungs with validation masks by source, every pixel, and whether lungs are plausible."""
    rows = [r for r in data.manifest(origin.root) if r.split == "val" and r.mask and not r.is_lateral]
    dice: dict[str, list[float]] = {}
    for row in rows:
        dice.setdefault(f"lungs, {row.source}", []).append(lung_dice(origin.root, row, engine))
    images = [data.to_unit(data.pixels(origin.root, row)) for row in rows]
    return Answers(
        decisions=[_is_plausible(image, engine) for image in images],
        dice=dice,
        probabilities=_probabilities(images, engine),
    )


def _is_plausible(image: npt.NDArray[np.float32], engine: Engine) -> bool:
    return segmentation.read(first_case(Radiograph(pixels=image)), engine).case.lungs is not None


def _probabilities(images: Sequence[npt.NDArray[np.float32]], engine: Engine) -> npt.NDArray[np.float32]:
    said = (sigmoid(engine.run(tile(image, engine.card.side)[None])[0]) for image in images)
    return np.stack([p.astype(np.float32) for p in said])
