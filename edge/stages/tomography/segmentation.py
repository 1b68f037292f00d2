"""Right and left lung on every slice of a volume by the network, and the plausibility of what it says.

The network sees slice by slice, at its own size. Its map is enlarged to that of the slice, and where it is in
doubt, at the border of a lung, the voxel decides: air or soft tissue. Well inside, it does not: dense lung stays lung.
It sees a slice every few millimetres and is interpolated between them. Where it
missed a good part of the air that hangs on to what it found, the chest looks unlike those that it learnt from: then
that air is lung too, with what is dense between it, as the method without a network finds it.
Rejected: a network of three dimensions, which two processor cores do not run in seconds.

Where the network must not be used, ``lungs.segment`` outlines without one, more slowly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, tee
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.stage import Outcome, Stage
from edge.stages.tomography import airways, lungs, planes
from edge.stages.tomography.airways import Hu
from edge.stages.tomography.domes import without_domes
from edge.stages.tomography.lungs import AERATED_BELOW_HU, LEAST_SHARE, LEFT, RIGHT, components
from edge.stages.tomography.scan import Bits, Labels, Scan
from edge.stages.tomography.slices import HIGH_HU, LOW_HU, Pixels, squashed, to_unit
from edge.stages.tomography.zones import thirds
from edge.types import N_, Mask, Remark, Severity, Volume

NO_LUNGS = Remark(
    code="no_lungs",
    text=N_("No lungs found: not a chest CT, or hardly any of the chest is on it. No result."),
    severity=Severity.STOP,
    advice=N_("Check that the right series was sent: axial slices of the whole chest."),
)
IMPLAUSIBLE_VOLUMES = Remark(
    code="implausible_volumes",
    text=N_("The lungs could not be outlined reliably: %(right)s ml on the right, %(left)s ml on the left. No result."),
    severity=Severity.STOP,
    advice=N_("Check that both lungs are wholly on the series. A lung that is gone or wholly dense is not measured."),
)
OUTLINED_WITHOUT_NETWORK = Remark(
    code="outlined_without_network",
    text=N_("The lungs were outlined without the network, which must not be used: dense lung at the wall may be lost."),
    severity=Severity.WARN,
)
NETWORK_MISSED = Remark(
    code="network_missed_lung",
    text=N_("The chest looks unlike those that the box learnt from: parts of the lungs were outlined by density."),
    severity=Severity.WARN,
)
LARGE_DOMES = Remark(
    code="large_domes",
    text=N_("%(volume)s ml of dense tissue above the diaphragm were not counted as lung: they may be consolidation."),
    severity=Severity.WARN,
)
OUTSIDE_BODY = Remark(
    code="outside_body",
    text=N_("Part of what was outlined as lung lies outside of the body: what was measured is not the lungs alone."),
    severity=Severity.WARN,
)

NAMES = {RIGHT: "right lung", LEFT: "left lung"}
LIMITS: Mapping[str, Any] = {"least_lung_ml": 250.0, "most_lung_ml": 6000.0, "most_ratio": 5.0}
"""Of the method without a network: the same as those of the card."""
_HARDLY_ML = 100.0
_TRACHEA_BELOW_HU = -850.0
_AIRWAY_WALL_MM = 1.5
_SEEN_EVERY_MM = 4.0
_LEAST_KNOWN = 0.4
"""Share of a piece of air that has to be outlined so that the rest of it counts as lung."""
_MISSED = 1.08
"""By how much the lungs may grow with that air; more, and the network missed a part. Gas of the stomach that touches
the dome of the diaphragm was seen to add 4 %."""
_MOST_DOMES_ML = 30.0
"""The three public series have 0, 5 and 18 ml."""
_LEAST_INSIDE, _MOSTLY_INSIDE = 0.95, 0.5
_BATCH = 4
_AERATED = (AERATED_BELOW_HU - LOW_HU) / (HIGH_HU - LOW_HU)
_EDGE = 150 / (HIGH_HU - LOW_HU)
_AIR_SAYS, _TISSUE_SAYS = 0.5, 2.0
"""How much a voxel may add to the logit of the network, and take away from it: there is air outside of lungs too."""


def segment(volume: Volume, engine: Engine) -> Labels:
    """Lungs of every slice, uint8, shape as ``volume.hu``: 1 right, 2 left, of the patient.

    Raises
    ------
    ModelError
        Where the runtime fails.
    """
    labels = _every_few(volume, engine)
    pieces, sizes = components(labels > 0)
    # Gas in the bowel looks like lung on a slice; in the volume it hangs on to none.
    kept = np.concatenate([[False], sizes >= LEAST_SHARE * sizes[:1].sum()])
    return np.where(kept[pieces], labels, np.uint8(0))


def _every_few(volume: Volume, engine: Engine) -> Labels:
    """The network on a slice every few millimetres; between two of them its answers go over into each other."""
    count, step = len(volume.hu), max(1, int(_SEEN_EVERY_MM / volume.spacing_mm[0]))
    seen = [*range(0, count - 1, step), count - 1]
    logits = list(_answers((to_unit(volume.hu[number]) for number in seen), engine))
    found = np.empty(volume.hu.shape, np.uint8)
    for number, plane in enumerate(volume.hu):
        place = min(number // step, len(seen) - 2) if count > 1 else 0
        after = min(place + 1, len(seen) - 1)
        share = np.float32((number - seen[place]) / max(1, seen[after] - seen[place]))
        found[number] = _labels((1 - share) * logits[place] + share * logits[after], to_unit(plane))
    return found


def labels_of(pixels: Pixels, engine: Engine) -> Labels:
    """The same of slices that look like Hounsfield units as ``slices.to_unit`` shows them, float32, shape (N, H, W)."""
    return _segmented(iter(pixels), engine)


def _segmented(slices: Iterator[Pixels], engine: Engine) -> Labels:
    shown, asked = tee(slices)
    return np.stack([_labels(*pair) for pair in zip(_answers(asked, engine), shown, strict=True)])


def _answers(slices: Iterator[Pixels], engine: Engine) -> Iterator[npt.NDArray[np.float32]]:
    """Maps of right and left of each slice, shape (2, S / 2, S / 2)."""
    while batch := list(islice(slices, _BATCH)):
        yield from engine.run(np.stack([squashed(plane, engine.card.side) for plane in batch]))


def _labels(logits: npt.NDArray[np.float32], pixels: Pixels) -> Labels:
    """Maps of right and left, shape (2, S / 2, S / 2), as labels of their slice, shape (H, W)."""
    size = pixels.shape[::-1]
    right, left = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in logits)
    smooth = cv2.GaussianBlur(pixels, (0, 0), 0.7)
    says = np.clip((_AERATED - smooth) / _EDGE, -1, 1)
    says *= np.where(says > 0, np.float32(_AIR_SAYS), np.float32(_TISSUE_SAYS))
    labels = np.where(right >= left, np.uint8(RIGHT), np.uint8(LEFT))
    return np.asarray(np.where(np.maximum(right, left) + says > 0, labels, np.uint8(0)), np.uint8)


def read(scan: Scan, engine: Engine) -> Outcome[Scan]:
    """Outline the lungs by the network."""
    hu = planes.smoothed(scan.volume.hu)
    seen = segment(scan.volume, engine)
    within = _share_inside(seen, hu, scan.volume)
    if within < _MOSTLY_INSIDE:
        return _outcome(scan, np.zeros_like(seen), seen < 0, "network", engine.card.thresholds)
    outlined = without_domes(seen, hu, scan.volume)
    remarks = _doubts(within, int(np.count_nonzero(seen) - np.count_nonzero(outlined)), scan.volume)
    inside = planes.each(outlined > 0, planes.hull)
    tree = airways.grown(hu, inside, scan.volume, _TRACHEA_BELOW_HU)
    wall = planes.grown(tree, _AIRWAY_WALL_MM, scan.volume.spacing_mm)
    if not _misses_lung(outlined, hu, wall, scan.volume):
        labels = np.where(wall, np.uint8(0), outlined)
        return _noting(_outcome(scan, labels, tree, "network", engine.card.thresholds), remarks)
    aerated = _with_aerated(outlined, hu, wall, scan.volume)
    outcome = _outcome(scan, lungs.with_dense(aerated, hu, tree, scan.volume), tree, "network", engine.card.thresholds)
    return _noting(outcome, (*remarks, NETWORK_MISSED))


def _noting(outcome: Outcome[Scan], remarks: tuple[Remark, ...]) -> Outcome[Scan]:
    return replace(outcome, case=outcome.case.noting(remarks), remarks=(*outcome.remarks, *remarks))


def _share_inside(seen: Labels, hu: Hu, volume: Volume) -> float:
    """Share of what was outlined that lies in the body; every other pixel tells."""
    few = np.s_[:, ::2, ::2]
    between, row, column = volume.spacing_mm
    inside = planes.each(hu[few], lambda plane: lungs.body(plane, (between, 2 * row, 2 * column)))
    found = seen[few] > 0
    return int(np.count_nonzero(found & inside)) / max(int(np.count_nonzero(found)), 1)


def _doubts(within: float, left_out: int, volume: Volume) -> tuple[Remark, ...]:
    """What is to be said of lungs that reach out of the body, and of so many voxels taken for the diaphragm."""
    domes_ml = left_out * float(np.prod(volume.spacing_mm)) / 1000
    outside = (OUTSIDE_BODY,) if within < _LEAST_INSIDE else ()
    large = (replace(LARGE_DOMES, values={"volume": f"{domes_ml:.0f}"}),) if domes_ml > _MOST_DOMES_ML else ()
    return (*outside, *large)


def _misses_lung(outlined: Labels, hu: Hu, no_lung: Bits, volume: Volume) -> bool:
    """Whether a good part of the air that hangs on to what was outlined is not; every other pixel tells."""
    few = np.s_[:, ::2, ::2]
    between, row, column = volume.spacing_mm
    coarse = replace(volume, hu=volume.hu[few], spacing_mm=(between, 2 * row, 2 * column))
    aerated = _with_aerated(outlined[few], hu[few], no_lung[few], coarse)
    return bool(np.count_nonzero(aerated) > _MISSED * np.count_nonzero(outlined[few]))


def _with_aerated(outlined: Labels, hu: Hu, no_lung: Bits, volume: Volume) -> Labels:
    """What was outlined, with the rest of each piece of aerated lung of which a good part was.

    Parameters
    ----------
    hu : smoothed Hounsfield units.
    no_lung : airways and their walls.
    """
    inside = planes.each(hu, lambda plane: lungs.body(plane, volume.spacing_mm))
    pieces, sizes = components(lungs.lung_pieces(hu, (hu < AERATED_BELOW_HU) & inside & ~no_lung))
    known = np.bincount(pieces[outlined > 0], minlength=len(sizes) + 1)[1:]
    is_lung = np.concatenate([[False], known > _LEAST_KNOWN * sizes])
    added = is_lung[pieces] & (outlined == 0)
    return np.where(added, _sides(outlined, added), outlined) if added.any() else outlined


def _sides(outlined: Labels, added: Bits) -> Labels:
    """The side of each added voxel: that of the nearest outlined one of its slice, else by the middle of both lungs."""
    sides = np.zeros_like(outlined)
    middle = np.mean([np.argwhere(outlined == side)[:, 2].mean() for side in (RIGHT, LEFT)])
    fallback = np.where(np.arange(outlined.shape[2]) < middle, np.uint8(RIGHT), np.uint8(LEFT))
    for number in np.flatnonzero(added.any((1, 2))):
        near = [cv2.distanceTransform((outlined[number] != side).astype(np.uint8), cv2.DIST_L2, 3) for side in (1, 2)]
        has_both = all((outlined[number] == side).any() for side in (RIGHT, LEFT))
        nearest = np.where(near[0] <= near[1], np.uint8(RIGHT), np.uint8(LEFT)) if has_both else fallback
        sides[number] = np.where(added[number], nearest, np.uint8(0))
    return sides


def unaided(scan: Scan) -> Outcome[Scan]:
    """Outline the lungs by thresholds."""
    found = lungs.segment(scan.volume)
    outcome = _outcome(scan, found.labels, found.airways, "classical", LIMITS)
    return _noting(outcome, (OUTLINED_WITHOUT_NETWORK,))


def _outcome(scan: Scan, labels: Labels, tree: Bits, method: str, limits: Mapping[str, Any]) -> Outcome[Scan]:
    voxel_ml = float(np.prod(scan.volume.spacing_mm)) / 1000
    right, left = (float((labels == side).sum()) * voxel_ml for side in (RIGHT, LEFT))
    fault = _implausible(right, left, limits)
    values = {
        "method": method,
        "lung_volume_ml": {"right_lung": round(right, 1), "left_lung": round(left, 1), "both": round(right + left, 1)},
        "airways_ml": round(float(tree.sum()) * voxel_ml, 1),
        "plausible": fault is None,
        "fault": fault,
    }
    if fault:
        shown = {"right": f"{right:.0f}", "left": f"{left:.0f}"}
        stop = NO_LUNGS if right + left < _HARDLY_ML else replace(IMPLAUSIBLE_VOLUMES, values=shown)
        return Outcome(case=scan, values=values, remarks=(stop,))
    mask = Mask(labels=labels, names=NAMES)
    return Outcome(
        case=replace(scan, lungs=mask, airways=tree, zones=thirds(labels)), values=values, masks={"lungs": mask}
    )


def _implausible(right_ml: float, left_ml: float, limits: Mapping[str, Any]) -> str | None:
    """What is wrong with the volumes of the lungs, or None."""
    if right_ml + left_ml < _HARDLY_ML:
        return "no lungs"
    if min(right_ml, left_ml) < limits["least_lung_ml"]:
        return "a lung is missing or too small"
    if max(right_ml, left_ml) > limits["most_lung_ml"]:
        return "a lung is too large"
    if max(right_ml, left_ml) > limits["most_ratio"] * min(right_ml, left_ml):
        return "one lung is much larger than the other"
    return None


STAGE = Stage(name="segmentation", model="ct_lung", read=read, unaided=unaided)
