"""Detection: where the lungs are opaque, as ground glass or consolidation.

The network marks opacities in the frame of the atlas. What is reported lies inside the
lungs: the opaque share of each lung and zone, and contours taken back to the image. An
affine transform keeps ratios of areas, so shares are measured on the atlas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.numbers import sigmoid
from edge.stages.radiograph.case import Alignment, Case
from edge.stages.radiograph.geometry import Labels, Matrix, Pixels, pixel_matrix, squash_labels, with_mirror
from edge.stages.radiograph.registration import lung_image
from edge.stages.radiograph.zones import LEFT_ZONES, NUMBERS, RIGHT_ZONES, share_of
from edge.stages.stage import Outcome, Stage
from edge.types import Finding, Zone

OPACITY, CONSOLIDATION, SEVERITY = range(3)
OUTPUTS = ("opacity", "consolidation", "severity")
_FINE_SIDE = 384
_CONTOUR_TOLERANCE_PX = 1.0

Maps = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def read(case: Case, engine: Engine) -> Outcome[Case]:
    """Mark opacities; without aligned lungs there is nothing to mark."""
    if case.alignment is None:
        return Outcome(case=case)
    maps = opacity_maps(case, engine)
    zones = squash_labels(case.alignment.zones, maps.shape[-1])
    limits = engine.card.thresholds
    values = measured(maps, zones, limits)
    findings = marked(maps, case.alignment, case.pixels.shape, limits)
    is_opaque = bool(findings) or values["percent"]["both"] >= limits["clear_below_percent"]
    return Outcome(case=replace(case, opacity=maps, is_opaque=is_opaque), values=values, findings=findings)


def opacity_maps(case: Case, engine: Engine) -> Maps:
    """Probabilities of ``OUTPUTS`` in the frame of the atlas, float32, shape (3, S, S)."""
    return answer(lung_image(case, engine.card.side), engine)


def answer(shown: Pixels, engine: Engine) -> Maps:
    """Probabilities for a lung image, shape (side, side), on average with those for its mirror image."""
    maps, mirrored = sigmoid(engine.run(with_mirror(shown)))
    return np.asarray((maps + mirrored[..., ::-1]) / 2, np.float32)


def measured(maps: Maps, zones: Labels, limits: Mapping[str, Any]) -> dict[str, Any]:
    """The opaque shares in percent.

    Parameters
    ----------
    maps : float32, shape (3, S, S)
    zones : uint8, shape (S, S)
    limits : ``opaque_from`` and ``consolidated_from``, probabilities.
    """
    opaque = maps[OPACITY] >= limits["opaque_from"]
    consolidated = opaque & (maps[CONSOLIDATION] >= limits["consolidated_from"])
    lungs = {"right_lung": _within(zones, RIGHT_ZONES), "left_lung": _within(zones, LEFT_ZONES), "both": zones > 0}
    return {
        "percent": {name: _percent(opaque, lung) for name, lung in lungs.items()},
        "zones": {zone.value: _percent(opaque, zones == number) for zone, number in NUMBERS.items()},
        "ground_glass_percent": _percent(opaque & ~consolidated, zones > 0),
        "consolidation_percent": _percent(consolidated, zones > 0),
    }


def marked(maps: Maps, alignment: Alignment, shape: tuple[int, ...], limits: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The opacities that are sure and large enough to be marked, largest first.

    Parameters
    ----------
    shape : (height, width) of the upright image.
    limits : as for ``measured``, and ``marked_from``, the least probability at the surest place of a
        mark, and ``least_percent``, its least share of the lung.
    """
    fine = [cv2.resize(plane, (_FINE_SIDE, _FINE_SIDE), interpolation=cv2.INTER_LINEAR) for plane in maps]
    opaque, zones = fine[OPACITY] >= limits["opaque_from"], squash_labels(alignment.zones, _FINE_SIDE)
    found = []
    for part in (part for lung in (RIGHT_ZONES, LEFT_ZONES) for part in _parts(opaque & _within(zones, lung))):
        finding = _finding(part, fine, alignment, shape, limits)
        if finding.peak >= limits["marked_from"] and finding.lung_percent >= limits["least_percent"]:
            found.append(finding)
    return tuple(sorted(found, key=lambda finding: -finding.lung_percent))


def _parts(mask: Flags) -> Iterator[Flags]:
    count, parts = cv2.connectedComponents(mask.astype(np.uint8))
    return (parts == number for number in range(1, count))


def _finding(
    part: Flags,
    fine: list[npt.NDArray[np.float32]],
    alignment: Alignment,
    shape: tuple[int, ...],
    limits: Mapping[str, Any],
) -> Finding:
    zones = squash_labels(alignment.zones, _FINE_SIDE)
    to_source = np.asarray(cv2.invertAffineTransform(pixel_matrix(alignment.matrix, shape, _FINE_SIDE)), np.float64)
    contour = np.clip(_contour(part, to_source), 0, np.array(shape[1::-1]) - 1)
    (column0, row0), (column1, row1) = contour.min(0), contour.max(0)
    zone = _zone(part, zones)
    lung = _within(zones, RIGHT_ZONES if zone in RIGHT_ZONES else LEFT_ZONES)
    is_consolidated = fine[CONSOLIDATION][part].mean() >= limits["consolidated_from"]
    return Finding(
        code="consolidation" if is_consolidated else "ground_glass_opacity",
        confidence=float(fine[OPACITY][part].mean()),
        peak=float(fine[OPACITY][part].max()),
        box_px=(int(row0), int(column0), int(np.ceil(row1)) + 1, int(np.ceil(column1)) + 1),
        contour=tuple((round(float(y), 1), round(float(x), 1)) for x, y in contour),
        laterality=zone.value.split("_")[0],
        zone=zone,
        lung_percent=100 * share_of(part, lung),
    )


def _zone(part: Flags, zones: Labels) -> Zone:
    """The zone of most of a part."""
    counts = np.bincount(zones[part], minlength=len(NUMBERS) + 1)
    return tuple(Zone)[int(counts[1:].argmax())]


def _contour(part: Flags, to_source: Matrix) -> npt.NDArray[np.float64]:
    """Outline of a part as (column, row) points of the source, shape (N, 2)."""
    contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    line = cv2.approxPolyDP(max(contours, key=len), _CONTOUR_TOLERANCE_PX, closed=True)
    return np.asarray(cv2.transform(line.astype(np.float64), to_source)[:, 0])


def _within(zones: Labels, of: tuple[Zone, ...]) -> Flags:
    return np.isin(zones, [NUMBERS[zone] for zone in of])


def _percent(part: Flags, whole: Flags) -> float:
    return round(100 * share_of(part, whole), 1)


STAGE = Stage(name="detection", model="opacity", read=read)
