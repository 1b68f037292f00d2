"""Where the detection marks opacities, against radiologists' boxes on images of no training.

The boxes are of NIH images of the split ``external``. The hospital is that of some training
boxes: "same hospital". Five-fold figures of lesions and severity are copied from the file beside the
model that ``calibration.folds`` wrote: the shipped model has seen those patients.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge.engines.engine import Engine
from edge.types import Finding
from models.evaluation.figures import Figures, auc_with_interval, share
from models.evaluation.readings import Reading
from models.training import data

Corners = tuple[float, float, float, float]
FOLDS_FILE = "folds.json"
FOUND = "boxed images, a mark's centre inside a box (NIH external, same hospital)"
BOXES_FOUND = "boxes that hold a mark's centre (NIH external, same hospital)"
FALSE_MARKS = "marks a normal image (all external)"
_OPACITIES = ("lung_opacity", "Pneumonia", "Infiltrate")


def evaluate(root: Path, engine: Engine, readings: Sequence[Reading]) -> Figures:
    """Localisation on boxed images, marks on normal ones, and what severity tells apart."""
    read = [r for r in readings if r.severity is not None]
    boxes = boxes_by_file(root)
    boxed = [r for r in read if r.row.file in boxes]
    normal = [r for r in read if r.row.label == "normal"]
    outside = [r for r in normal if r.row.split == "external"]
    nih = [r for r in outside if r.row.source == "NIH"]
    boxed_found = [hits(r, boxes[r.row.file]) for r in boxed]
    return {
        FOUND: share([any(h) for h in boxed_found]),
        BOXES_FOUND: share([h for hit in boxed_found for h in hit]),
        FALSE_MARKS: _marks(outside),
        **{f"marks a normal image ({name})": _marks(group) for name, group in sorted(_by_source(normal).items())},
        "opaque percent, boxed against normal (NIH external)": _percent_auc(boxed, nih),
        **json.loads((engine.card.path.parent / FOLDS_FILE).read_text(encoding="utf-8"))["figures"],
    }


def boxes_by_file(root: Path) -> dict[str, list[Corners]]:
    """Boxes of opacities, (x0, y0, x1, y1) in shares of width and height, by file."""
    found: dict[str, list[Corners]] = {}
    for box in data.table(root, "boxes.csv"):
        if box["finding"] in _OPACITIES:
            found.setdefault(box["file"], []).append(data.box_corners(box))
    return found


def hits(reading: Reading, boxes: Sequence[Corners]) -> list[bool]:
    """For each box, whether the centre of a mark lies inside."""
    centres = [centre(finding, reading.size_px) for finding in reading.findings]
    return [any(x0 <= x <= x1 and y0 <= y <= y1 for x, y in centres) for x0, y0, x1, y1 in boxes]


def centre(finding: Finding, size_px: tuple[int, int]) -> tuple[float, float]:
    """Centroid of a contour, (x, y) in shares of the image's (height, width)."""
    moments = cv2.moments(np.array(finding.contour, np.float32)[:, ::-1])
    row0, column0, row1, column1 = finding.box_px
    if moments["m00"] == 0:
        return (column0 + column1) / 2 / size_px[1], (row0 + row1) / 2 / size_px[0]
    return moments["m10"] / moments["m00"] / size_px[1], moments["m01"] / moments["m00"] / size_px[0]


def _marks(group: Sequence[Reading]) -> dict[str, float | int]:
    counts = [len(r.findings) for r in group]
    return {
        "n": len(counts),
        "mean": round(float(np.mean(counts)), 3),
        "without": round(float(np.mean([not c for c in counts])), 3),
    }


def _by_source(group: Sequence[Reading]) -> dict[str, list[Reading]]:
    found: dict[str, list[Reading]] = {}
    for reading in group:
        found.setdefault(f"{reading.row.source} {reading.row.split}", []).append(reading)
    return found


def _percent_auc(positive: Sequence[Reading], negative: Sequence[Reading]) -> dict[str, object]:
    both = (*positive, *negative)
    scores = np.array([r.severity["percent"] for r in both if r.severity is not None])
    truth = np.repeat([True, False], [len(positive), len(negative)])
    return auc_with_interval(scores, truth, [r.row.patient for r in both])
