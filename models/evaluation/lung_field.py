"""Dice of the shipped lung segmentation, by source, each against its own definition of a lung."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph.geometry import tile
from edge.stages.radiograph.segmentation import cardiothoracic_ratio, outlines
from models.evaluation.figures import Figures, summary
from models.training import data

Mask = npt.NDArray[np.bool_]

_FIELD, _FULL = ("right_field", "left_field"), ("right_full", "left_full")
COHEN = "lung Dice, Cohen (held-out patients)"
_V7_SOURCES = ("Kermany", "Cohen")


def evaluate(root: Path, engine: Engine) -> Figures:
    """Dice by source; of Cohen and of lesion.zip, whose images taught in part, of patients who did not."""
    used = data.lesion_patients(root)
    rows = [r for r in data.manifest(root) if r.mask and not r.is_lateral and r.split not in ("train", "val")]
    rows = [r for r in rows if r.patient not in used]
    lungs: dict[str, list[float]] = {}
    hearts: list[float] = []
    ratios: list[float] = []
    for row in rows:
        planes = planes_of(engine, data.pixels(root, row))
        true = data.mask(root, row)
        where = f"{row.source} ({'held-out patients' if row.source == 'Cohen' else 'test'})"
        lungs.setdefault(where, []).append(_lung_dice(planes, true, row))
        if row.source == "JSRT":
            hearts.append(dice(planes["heart"], true == 3))
            ratios.append(_ratio_error(planes, true == 3, np.isin(true, (1, 2))))
    lesions = list(_lesions(root, engine))
    lungs["lesion.zip (held-out patients)"] = [dice(_union(planes, _FULL), true) for planes, true, _ in lesions]
    outside = [_ratio_error(planes, heart, true) for planes, true, heart in lesions]
    figures = {f"lung Dice, {name}": summary(values) for name, values in sorted(lungs.items())}
    return {
        **figures,
        "lung Dice, masks of V7 against those of lesion.zip, same images": summary(_annotators(root)),
        "heart Dice, JSRT (test)": summary(hearts),
        "cardiothoracic ratio error, JSRT (test)": summary(ratios),
        "cardiothoracic ratio error, lesion.zip (held-out patients, against the cardiomediastinum)": summary(outside),
    }


def _lesions(root: Path, engine: Engine) -> Iterator[tuple[Mapping[str, Mask], Mask, Mask]]:
    """Found planes, true lungs and true cardiomediastinum of images whose patients served no training."""
    for row in data.lesion_rows(root, of_known_patients=False):
        true = data.image(root, "cxr/lesion.zip", row["mask"])
        if (true & data.LESION_MEDIASTINUM).any():
            planes = planes_of(engine, data.image(root, "cxr/lesion.zip", row["file"]))
            lungs = (true & (data.LESION_RIGHT | data.LESION_LEFT)) > 0
            yield planes, lungs, (true & data.LESION_MEDIASTINUM) > 0


def _annotators(root: Path) -> list[float]:
    """How far two sets of hand-made masks of the same images agree: no model can be expected to agree further."""
    masked = {Path(r.file).stem: r for r in data.manifest(root) if r.archive == "cohen.zip" and r.mask}
    found = []
    for row in data.lesion_rows(root, of_known_patients=True):
        known = masked.get(Path(row["file"]).stem)
        if known is not None:
            lesion = data.image(root, "cxr/lesion.zip", row["mask"]) & (data.LESION_RIGHT | data.LESION_LEFT)
            found.append(dice(np.isin(data.mask(root, known), (1, 2, 4)), lesion > 0))
    return found


def lung_dice(root: Path, row: data.Row, engine: Engine) -> float:
    """Overlap of the lungs with the mask of a row, by the definition of a lung of its source."""
    return _lung_dice(planes_of(engine, data.pixels(root, row)), data.mask(root, row), row)


def _lung_dice(planes: Mapping[str, Mask], true: data.Grey, row: data.Row) -> float:
    names = _FULL if row.source in _V7_SOURCES else _FIELD
    return dice(_union(planes, names), np.isin(true, (1, 2, 4)))


def planes_of(engine: Engine, grey: data.Grey) -> dict[str, Mask]:
    """What the network outlines of an image, by the name of its output."""
    logits = engine.run(tile(data.to_unit(grey), engine.card.side)[None])[0]
    return {
        name: plane.astype(bool)
        for name, plane in zip(engine.card.outputs, outlines(logits, (grey.shape[0], grey.shape[1])), strict=True)
    }


def _ratio_error(planes: Mapping[str, Mask], heart: Mask, lungs: Mask) -> float:
    """How far the cardiothoracic ratio lies from that of true masks; 1 where no heart was outlined."""
    found = [planes["heart"], _union(planes, _FULL)]
    if not found[0].any():
        return 1.0
    ratios = [cardiothoracic_ratio(*(mask.astype(np.uint8) for mask in pair)) for pair in (found, [heart, lungs])]
    return abs(ratios[0] - ratios[1])


def _union(planes: Mapping[str, Mask], names: tuple[str, str]) -> Mask:
    return planes[names[0]] | planes[names[1]]


def dice(found: Mask, true: Mask) -> float:
    """Overlap of two masks, twice their intersection over their sum (Dice 1945)."""
    if found.shape != true.shape:
        found = cv2.resize(found.astype(np.uint8), true.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    return 2 * int((found & true).sum()) / max(1, int(found.sum() + true.sum()))
